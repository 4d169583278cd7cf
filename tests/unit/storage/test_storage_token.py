"""A master key that a PKCS#11 token opens: SoftHSM, of Debian, is the token."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.app import encryption
from vcond.base.errors import ConfigError, MissingExtraError
from vcond.cli.app import app
from vcond.config import load
from vcond.storage.key_store import FILE, master_key
from vcond.storage.token import MARK, TokenKey
from vcond.testing.needs import needs

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "471108151"
MASTER = bytes(range(32))
needs(find_spec("pkcs11"), "python-pkcs11 is missing: make setup")
needs(shutil.which("softhsm2-util") and Path(MODULE).exists(), "softhsm2 is missing: tools/setup.sh test")


@pytest.fixture
def token(tmp_path, monkeypatch) -> TokenKey:
    """With an AES key on it that cannot be read."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    made_token("edge")
    return TokenKey(MODULE, "edge", "vcond", PIN)


def made_token(label: str, *, key: str = "vcond") -> None:
    """By a process of its own: a library of a token is loaded once in each."""
    arguments = ["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
    make = (
        "import pkcs11, sys\n"
        f"with pkcs11.lib({MODULE!r}).get_token(token_label={label!r}).open(rw=True, user_pin={PIN!r}) as session:\n"
        f"    key = session.generate_key(pkcs11.KeyType.AES, 256, label={key!r}, store=True)\n"
        "    assert key[pkcs11.Attribute.SENSITIVE] and not key[pkcs11.Attribute.EXTRACTABLE]\n"
    )
    subprocess.run([sys.executable, "-c", make], check=True)


def config(tmp_path: Path, master: Path, *, pin: str = "", label: str = "edge") -> Path:
    (tmp_path / "pin").write_text(f"{PIN}\n")
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nname = "e.example.com"\nstate_dir = "{tmp_path}/state"\nadmin_socket = "{tmp_path}/admin"\nmin_free_mb = 0\n'
        f'[keys]\nmaster = "{master}"\nstore = "{tmp_path}/keys"\n'
        f'[keys.token]\nmodule = "{MODULE}"\ntoken = "{label}"\npin = "{pin or f"${{file:{tmp_path}/pin}}"}"\n'
        f'[speech]\nengine = "none"\n[[sinks]]\ntype = "folder"\npath = "{tmp_path}/vcons"\n'
        '[adapters.twilio]\npublic_url = "https://e.example.com"\nauth_tokens = ["0123456789abcdef0123"]\n'
    )
    return file


def vcond(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vcond", *arguments], capture_output=True, text=True, check=False)


def test_what_a_token_wrapped_only_it_opens_and_the_file_has_nothing_of_the_key(token):
    text = token.wrap(MASTER)
    assert text.startswith(MARK)
    assert MASTER not in base64.b64decode(text.removeprefix(MARK))
    assert token.unwrap(text) == master_key(text, token) == MASTER
    assert token.wrap(MASTER) != text
    made_token("other")
    with pytest.raises(ConfigError, match="does not open it"):
        TokenKey(MODULE, "other", "vcond", PIN).unwrap(text)
    with pytest.raises(ConfigError, match=r"set \[keys\.token\]"):
        master_key(text)


@pytest.mark.parametrize("change", ["flipped", "cut", "empty", "no base64"])
def test_a_wrapped_key_that_was_changed_is_refused(token, change):
    raw = base64.b64decode(token.wrap(MASTER).removeprefix(MARK))
    bad = {"flipped": raw[:-1] + bytes([raw[-1] ^ 1]), "cut": raw[:20], "empty": b""}.get(change)
    text = MARK + ("?" if bad is None else base64.b64encode(bad).decode())
    with pytest.raises(ConfigError, match=r"^keys\.master: .*damaged"):
        token.unwrap(text)


@pytest.mark.parametrize(("change", "at", "says"), [
    ({"token": "gone"}, "keys.token.token", "'gone' is not there"),
    ({"key": "gone"}, "keys.token.key", "'gone' is the label of no AES key"),
    ({"pin": "999999"}, "keys.token.pin", "is not the one"),
    ({"module": "/nowhere.so"}, "keys.token.module", "cannot load"),
    ({"module": "softhsm.so"}, "keys.token.module", "absolute"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_that_names_the_key_and_never_the_pin(token, change, at, says):
    text = token.wrap(MASTER)
    wrong = TokenKey(**{"module": MODULE, "token": "edge", "key": "vcond", "pin": PIN, **change})
    with pytest.raises(ConfigError, match=says) as why:
        wrong.unwrap(text)
    assert why.value.path == at
    assert "\n" not in str(why.value)
    assert not any(pin in f"{why.value}{wrong!r}" for pin in (PIN, "999999"))
    assert token.unwrap(text) == MASTER, "a token that is there again is used"


def test_without_the_library_the_line_says_how_to_get_it(token, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkcs11"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(MissingExtraError, match="python-pkcs11"):
        token.wrap(MASTER)


@pytest.mark.parametrize("pin", [PIN, "${env:PIN}", "x${file:/etc/hostname}"])
def test_a_pin_in_the_configuration_is_refused_and_not_shown(tmp_path, pin, monkeypatch):
    monkeypatch.setenv("PIN", PIN)
    with pytest.raises(ConfigError, match=r"keys\.token\.pin: must be by reference") as why:
        load(config(tmp_path, tmp_path / "master", pin=pin), os.environ)
    assert PIN not in str(why.value)


def test_the_pin_is_shown_nowhere(token, tmp_path):
    shown = repr(load(config(tmp_path, tmp_path / "master"), os.environ).config)
    assert PIN not in shown
    assert "keys" in shown


def test_the_commands_make_show_and_rotate_a_wrapped_master_key(token, tmp_path):
    plain, file = tmp_path / "plain", config(tmp_path, tmp_path / "plain")
    plain.write_text(base64.b64encode(MASTER).decode())
    state = tmp_path / "state"
    state.mkdir()
    run = CliRunner().invoke
    store = encryption.key_store(load(file, os.environ).config.keys, state, writes=True)
    secret = store.make(b"\1" * 16)
    store.close()
    new, again = tmp_path / "new", tmp_path / "again"
    for target in (new, again):
        assert run(app, ["keys", "wrap", str(target), "--config", str(file)]).exit_code == 0
        assert target.stat().st_mode & 0o777 == 0o600
    assert "is there already" in str(run(app, ["keys", "wrap", str(new), "--config", str(file)]).exception)
    assert run(app, ["keys", "rotate", str(new), "--config", str(file)]).exit_code == 0
    file = config(tmp_path, new)
    shown = run(app, ["keys", "status", "--config", str(file)])
    assert shown.exit_code == 0
    assert "opened by key 'vcond' on token 'edge'" in shown.output
    assert run(app, ["keys", "rotate", str(again), "--config", str(file)]).exit_code == 0
    assert "is not the master key" in str(run(app, ["keys", "status", "--config", str(file)]).exception)
    store = encryption.key_store(load(config(tmp_path, again), os.environ).config.keys, state, writes=False)
    assert store.get(b"\1" * 16) == secret
    store.close()


def test_a_daemon_whose_token_is_missing_leaves_with_2_and_one_line_and_touches_nothing(token, tmp_path):
    master, state = tmp_path / "master", tmp_path / "state"
    file = config(tmp_path, master)
    master.write_text(token.wrap(MASTER))
    state.mkdir()
    (tmp_path / "tokens").rename(tmp_path / "unplugged")
    (tmp_path / "tokens").mkdir()
    done = vcond("run", "--config", str(file))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "keys.token.token: 'edge' is not there" in done.stderr
    assert PIN not in done.stdout + done.stderr
    assert not list(state.iterdir())
    assert not (tmp_path / "keys" / FILE).exists()
    checked = vcond("check", "--config", str(file))
    assert "keys.token.token: 'edge' is not there" in checked.stdout
