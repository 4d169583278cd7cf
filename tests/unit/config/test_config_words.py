"""What is wrong with a configuration, in the operator's words, and in which file."""

from pathlib import Path

import pytest

from vcond.app import plugins
from vcond.base.errors import ConfigError
from vcond.cli.check import _files, _name
from vcond.config import Config, DaemonConfig, load, naming_files


def refused(tmp_path: Path, text: str, more: str = "") -> str:
    (tmp_path / "vcond.d").mkdir(exist_ok=True)
    (tmp_path / "vcond.toml").write_text(text)
    (tmp_path / "vcond.d" / "asterisk.toml").write_text(more)
    with pytest.raises(ConfigError) as why:
        whole(tmp_path / "vcond.toml")
    return str(why.value)


def whole(file: Path) -> None:
    loaded = load(file, {})
    with naming_files(loaded.origin):
        plugins.adapters(loaded.config)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[vcond]\ngrace = '5'", "vcond.grace: must be a number, without quotes; here is text"),
        ("[vcond]\ngrace = -5", "vcond.grace: must be 0 or more"),
        ("[vcond]\nmin_free_mb = 1.5", "vcond.min_free_mb: must be a whole number, without quotes"),
        ("[vcond]\nlog_level = 'loud'", "vcond.log_level: must be one of: debug, info, warning, error"),
        ("[vcond]\nstate_dir = 5", "vcond.state_dir: must be text in quotes"),
        ("[record]\nunanswered = 'yes'", "record.unanswered: must be true or false, without quotes"),
        ("[web]\nlisten = '8470'", "web.listen: must be host:port, as in 127.0.0.1:8470"),
        ("[ops]\nlisten = 'x'", "ops.listen: must be host:port, as in 127.0.0.1:8470"),
        ("[ops]\nlisten = '127.0.0.1:65536'", "ops.listen: must be host:port, as in 127.0.0.1:8470"),
        ("[web]\nlisten = '[::1]:99999'", "web.listen: must be host:port, as in 127.0.0.1:8470"),
        ("[web]\npublic_url = 'edge'", "web.public_url: must be an address that begins with http:// or https://"),
        ("[speech]\nengine = '9'", "speech.engine: must be a name, or package.module:Class"),
        ("[speech]\nurl = 'http://there'", "speech.url: must be an address that begins with ws:// or wss://,"),
        ("[speech]\ntoken = 'a b'", "speech.token: must be printable ASCII without spaces"),
        ("sinks = 'x'", "sinks: must be a list"),
        ("web = 'x'", "web: must be a section"),
    ],
)
def test_values_are_said_in_the_operators_words_with_their_file(tmp_path: Path, line: str, says: str):
    told = refused(tmp_path, line)
    assert told.startswith(says), told
    assert told.endswith(f"(in {tmp_path}/vcond.toml)")
    for word in ("regex", "Expected", "`", "float", "str"):
        assert word not in told.partition(" (in ")[0].replace("stream", ""), told


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("app = 'my app'", "adapters.asterisk.app: may only have: letters, digits, _, -, 1 to 40 of them"),
        ("internal = 'PJSIP/*'", "adapters.asterisk.internal: must be a list"),
        ("passwort = 'x'", "adapters.asterisk.passwort: unknown key, did you mean 'password'?"),
        ("bind = 'nowhere'", "adapters.asterisk.bind: "),
    ],
)
def test_those_of_an_adapter_too_also_from_vcond_d(tmp_path: Path, line: str, says: str):
    told = refused(tmp_path, "", f"[adapters.asterisk]\n{line}\n")
    assert told.startswith(says)
    assert told.endswith(f"(in {tmp_path}/vcond.d/asterisk.toml)")


def test_a_key_in_two_files_and_a_secret_for_everybody_are_warnings(tmp_path: Path):
    (tmp_path / "vcond.d").mkdir()
    first, second = tmp_path / "vcond.toml", tmp_path / "vcond.d" / "asterisk.toml"
    first.write_text("[adapters.asterisk]\nuser = 'a'\napp = 'x'\n")
    second.write_text("[adapters.asterisk]\nuser = 'b'\npassword = 'hush'\n")
    first.chmod(0o644)
    second.chmod(0o644)
    found = _files(load(first, {}))
    assert [(one.level, one.what) for one in found] == [
        ("warning", "adapters.asterisk.user"), ("warning", "adapters.asterisk.password"),
    ]  # fmt: skip
    assert str(first) in found[0].detail
    assert str(second) in found[0].detail
    assert f"chmod 0640 {second}" in found[1].fix
    assert "hush" not in repr(found)
    second.chmod(0o640)
    second.write_text("[adapters.asterisk]\npassword = '${env:PW}'\n")
    assert _files(load(first, {"PW": "x"})) == []
    second.chmod(0o644)
    second.write_text("[adapters.siprec.users]\nsbc = 'hush'\n")
    assert [one.what for one in _files(load(first, {}))] == ["adapters.siprec.users.sbc"]


@pytest.mark.parametrize(("host", "level"), [("edge.example.com", "ok"), ("edge", "warning")])
def test_a_machine_without_a_full_name_is_a_warning(monkeypatch, host: str, level: str):
    monkeypatch.setattr("vcond.config.schema.machine_name", lambda: host)
    (told,) = _name(Config())
    assert (told.level, host in told.detail) == (level, True)
    assert _name(Config(vcond=DaemonConfig(name="edge-1.example.com"))) == []
