import sys
from pathlib import Path

import msgspec
import pytest

from vcond.base.errors import ConfigError
from vcond.config import load, plugin_configs


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str, name: str = "vcond.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return tmp_path / "vcond.toml"

    return written


def test_an_empty_file_gives_the_defaults(write):
    config = load(write(""), {}).config
    assert config.web.listen == "127.0.0.1:8470"
    assert config.vcond.state_dir == "/var/lib/vcond"
    assert config.adapters == {}
    assert config.sinks == []


def test_later_files_and_the_environment_win_and_their_origin_is_known(write, tmp_path: Path):
    write('[web]\nlisten = "127.0.0.1:2"\n[vcond]\nlog_level = "debug"', "vcond.d/20-b.toml")
    write('[web]\nlisten = "127.0.0.1:1"\n', "vcond.d/10-a.toml")
    loaded = load(write('[web]\nlisten = "127.0.0.1:0"\n[vcond]\ngrace = 5'), {"VCOND_VCOND__GRACE": "7"})
    assert loaded.config.web.port == 2
    assert loaded.config.vcond.grace == 7
    assert loaded.config.vcond.log_level == "debug"
    assert loaded.origin["vcond.grace"] == "VCOND_VCOND__GRACE"
    assert loaded.origin["web.listen"] == str(tmp_path / "vcond.d/20-b.toml")


def test_sinks_of_several_files_are_joined(write):
    write('[[sinks]]\ntype = "folder"\nname = "b"', "vcond.d/b.toml")
    config = load(write('[[sinks]]\ntype = "folder"\nname = "a"'), {}).config
    assert [sink["name"] for sink in config.sinks] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ('[web]\nlissten = "x"', "web.lissten", "did you mean 'listen'"),
        ("[speach]", "speach", "did you mean 'speech'"),
        ("[zzz]", "zzz", "known are"),
        ("[vcond]\ngrace = -1", "vcond.grace", "must be 0 or more"),
        ('[vcond]\ngrace = "soon"', "vcond.grace", "must be a number, without quotes"),
        ('[web]\nlisten = "nowhere"', "web.listen", "host:port"),
        ('[web]\nlisten = "1.2.3.4:99999999"', "web.listen", "host:port"),
        ('[web]\npublic_url = "ftp://x"', "web.public_url", "begins with http"),
        ('[vcond]\nname = "a b"', "vcond.name", "letters, digits"),
        ('[adapters.asterisk]\nurl = "http://[pbx"', "adapters.asterisk.url", "IPv6 address stands in [ ]"),
        ('[speech.queue]\nurl = "nats://nats:99999"', "speech.queue.url", "up to 65535"),
        ('[[sinks]]\ntype = "nats"\nurl = "nats://[::1"', "sinks[0].url", "is no URL"),
        ('[web]\npublic_url = "https://[1]x"', "web.public_url", "is no URL"),
        ("sinks = 3", "sinks", "must be a list"),
        ("[web", "vcond.toml", ""),
        ("[adapters]\nberlin = 3", "adapters.berlin: must be a section", "here is a number"),
        ('[adapters.rome]\n[adapters]\nberlin = "x"', "", ""),
        ("adapters = { rome = {}, berlin = [1] }", "adapters.berlin: must be a section", "here is a list"),
        ("adapters = 3", "adapters", "must be a section"),
        ("sinks = [3]", "sinks[0]", "must be a section"),
        ("sinks = " + "[" * 5000 + "]" * 5000, "vcond.toml", "too deep"),
    ],
)
def test_each_mistake_names_its_key(write, text: str, path: str, says: str):
    with pytest.raises(ConfigError) as why:
        load(write(text), {})
    assert path in str(why.value)
    assert says in str(why.value)


def test_a_missing_file_says_how_to_begin(tmp_path: Path):
    with pytest.raises(ConfigError, match="vcond config sample"):
        load(tmp_path / "none.toml", {})


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="larger"):
        load(file, {})
    file.write_bytes("\ufeff[web]\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load(file, {})


def test_the_mark_that_editors_put_before_a_text_is_no_part_of_it(tmp_path: Path):
    file, key = tmp_path / "vcond.toml", tmp_path / "key"
    key.write_bytes("\ufeffsecret\r\n".encode())
    file.write_bytes(f'\ufeff[web]\r\ntoken = "${{file:{key}}}"\r\n'.encode())
    assert load(file, {}).config.web.token == "secret"


def test_secrets_come_by_reference(write, tmp_path: Path):
    (tmp_path / "creds").mkdir()
    (tmp_path / "creds" / "web").write_text("from-systemd\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "creds"), "MINE": "from-env"}
    assert load(write('[web]\ntoken = "${credential:web}"'), environ).config.web.token == "from-systemd"
    assert load(write('[web]\ntoken = "${env:MINE}"'), environ).config.web.token == "from-env"
    assert load(write(f'[web]\ntoken = "${{file:{tmp_path}/creds/web}}"'), environ).config.web.token == "from-systemd"


def test_a_reference_may_be_a_part_of_a_text(write, tmp_path: Path):
    (tmp_path / "ingress-token").write_text("t0ken")
    text = '[adapters.freeswitch]\nurl = "ws://10.0.0.5:8470/audio/${credential:ingress-token}"'
    loaded = load(write(text), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.config.adapters["freeswitch"]["url"] == "ws://10.0.0.5:8470/audio/t0ken"
    assert set(loaded.referred) == {"adapters.freeswitch.url"}


def test_a_command_by_hand_reads_a_credential_where_systemd_does(write, tmp_path: Path, monkeypatch):
    (tmp_path / "web").write_text("from-the-store\n")
    monkeypatch.setattr(sys.modules["vcond.config.load"], "CREDSTORE", str(tmp_path))
    assert load(write('[web]\ntoken = "${credential:web}"'), {}).config.web.token == "from-the-store"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("${env:NONE}", "environment"),
        ("${credential:x}", "LoadCredential"),
        ("${file:/nonexistent/x}", "cannot read /nonexistent/x: No such file or directory"),
    ],
)
def test_a_secret_that_is_not_there_is_an_error_that_says_what_to_do(write, reference: str, says: str):
    with pytest.raises(ConfigError, match=says) as why:
        load(write(f'[web]\ntoken = "{reference}"'), {})
    assert "web.token" in str(why.value)


def test_a_credentials_name_cannot_leave_its_folder(write, tmp_path: Path):
    with pytest.raises(ConfigError, match="not be a path"):
        load(write('[web]\ntoken = "${credential:../x}"'), {"CREDENTIALS_DIRECTORY": str(tmp_path)})


class Line(msgspec.Struct, forbid_unknown_fields=True):
    port: int = 1


def test_a_plug_in_brings_its_own_section():
    assert plugin_configs({"line": {"port": 5}}, {"line": Line}, "adapters") == {"line": Line(5)}
    with pytest.raises(ConfigError, match=r"adapters\.line\.prt: unknown key, did you mean 'port'"):
        plugin_configs({"line": {"prt": 5}}, {"line": Line}, "adapters")
    with pytest.raises(ConfigError, match=r"adapters\.lime: .*did you mean 'line'"):
        plugin_configs({"lime": {}}, {"line": Line}, "adapters")
