"""Encryption at rest as a whole: a daemon with it, what it refuses, keys that go, and the commands for keys."""

import asyncio
import base64
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from vcond.app import encryption
from vcond.app.wiring import Parts
from vcond.base.errors import ConfigError
from vcond.capture.clock import SteadyClock
from vcond.cli import loopback
from vcond.cli.app import app
from vcond.config import KeysConfig, load
from vcond.media.codecs import Codec, decode
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import FILE, INDEX, KeyStore
from vcond.storage.whole_files import WholeFiles

CALL = "018f0000-0001-8000-8000-000000000000"
LOST = f"calls that nobody can read without their keys: 1, of which 1 not delivered yet ({CALL})"
MASTER, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture
def keys(tmp_path) -> KeysConfig:
    return KeysConfig(master=MASTER, store=str(tmp_path / "keys"))


@pytest.fixture
def state(tmp_path) -> Path:
    (tmp_path / "state" / "outbox" / "pending").mkdir(parents=True)
    return tmp_path / "state"


@pytest.fixture
def config(tmp_path, state) -> Path:
    file = tmp_path / "vcond.toml"
    (tmp_path / "master").write_text(MASTER)
    file.write_text(
        f'[vcond]\nname = "e.example.com"\nstate_dir = "{state}"\nadmin_socket = "{tmp_path}/admin"\nmin_free_mb = 0\n'
        f'[keys]\nmaster = "{tmp_path}/master"\nstore = "{tmp_path}/keys"\n'
        f'[speech]\nengine = "none"\n[[sinks]]\ntype = "folder"\npath = "{tmp_path}/vcons"\n'
        '[adapters.twilio]\npublic_url = "https://e.example.com"\nauth_tokens = ["0123456789abcdef0123"]\n'
    )
    return file


def kept_one(keys: KeysConfig, state: Path, body: bytes = b"{}", *, encrypt: bool = True) -> Path:
    """A vCon in the outbox."""
    store = encryption.key_store(keys, state, writes=True)
    file = state / "outbox" / "pending" / f"{CALL}.vcon.json"
    WholeFiles(encryption.disk(msgspec.structs.replace(keys, encrypt=encrypt), store, state)).publish(file, body)
    store.close()
    return file


class Heard(Files):
    """The real disk, and all that was written to it."""

    def __init__(self, written: list[bytes]) -> None:
        self.written = written

    def pwrite(self, fd, data, offset):
        self.written.append(bytes(data))
        return super().pwrite(fd, data, offset)


def test_a_daemon_writes_nothing_of_a_call_in_plain_and_delivers_it(tmp_path, config, monkeypatch):
    monkeypatch.setattr(loopback, "SECONDS", 0.5)
    written: list[bytes] = []
    monkeypatch.setattr(encryption, "Files", lambda: Heard(written))
    folder, loop, loaded = tmp_path / "run", loopback.LOOPS["twilio"], load(config, {})
    monkeypatch.setattr(loopback, "KeysConfig", lambda **_: loaded.config.keys)
    found = asyncio.run(loopback.through(loaded, "twilio", loop, folder))
    assert [one.level for one in found] == ["ok"] * 4, found
    (vcon,) = (folder / "vcons").glob("*.vcon.json")
    assert b"vcond check" in vcon.read_bytes()
    tones = [decode(Codec.PCMU, track)[400:420].tobytes() for track in loopback.recording().tracks]
    marks = [b"vcond check", b"CallOpened", b'"parties"', *tones]
    assert any(data.startswith(b"\x89vcond-crypt") for data in written)
    left = [path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file()]
    for mark in marks:
        assert not any(mark in data for data in [*written, *left]), mark
    store = KeyStore(tmp_path / "keys", base64.b64decode(MASTER))
    kept = [path for path in (folder / "state" / "outbox").rglob("*") if path.is_file()]  # wherever it was at the end
    files = WholeFiles(EncryptedFiles(Files(), store, folder / "state"))
    assert [files.read(path, 1 << 24) == vcon.read_bytes() for path in kept] == [True]
    assert len({*store.ids()} - {INDEX}) == 1
    store.close()


def test_without_a_master_key_files_are_as_ever(state):
    off = KeysConfig(store=str(state.parent / "keys"))
    assert encryption.key_store(off, state, writes=True) is None
    assert type(encryption.disk(off, None, state)) is Files
    assert not (state.parent / "keys").exists()


def test_keys_of_another_state_folder_keep_nobody_from_starting_without(keys, state, tmp_path):
    kept_one(keys, state)
    other = msgspec.structs.replace(keys, master="")
    assert encryption.key_store(other, tmp_path / "other", writes=True) is None


def test_what_would_lose_calls_is_refused_and_nothing_is_touched(keys, state, tmp_path):
    kept_one(keys, state)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    replace = msgspec.structs.replace
    for bad, at, says in [
        (replace(keys, master=""), "keys.master", "is empty"),
        (replace(keys, master=OTHER), "keys.master", "nothing was changed"),
        (replace(keys, store=str(tmp_path / "elsewhere")), "keys.store", "vcond keys restore"),
        (replace(keys, store="keys"), "keys.store", "absolute"),
        (replace(keys, store=str(state / "keys")), "keys.store", "must not lie in"),
    ]:
        with pytest.raises(ConfigError, match=says) as why:
            encryption.key_store(bad, state, writes=True)
        assert why.value.path == at
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_daemon_with_another_master_key_leaves_with_2_and_one_line(config, keys, state, tmp_path):
    kept_one(keys, state)
    (tmp_path / "master").write_text(OTHER)
    done = subprocess.run(
        [sys.executable, "-m", "vcond", "run", "--config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "keys.master" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_without_files_goes_at_the_second_look_and_others_stay(keys, state, monkeypatch):
    file = kept_one(keys, state)
    store = encryption.key_store(keys, state, writes=True)
    gone = store.make(b"\1" * 16)
    sweep = encryption.Sweep(store, state)
    now = [2e9]
    monkeypatch.setattr(encryption.time, "time", lambda: now[0])
    assert gone
    assert (sweep.look(), sweep.look()) == (0, 1)
    assert len(store) == 1
    copy = file.read_bytes()
    file.unlink()
    assert (sweep.look(), sweep.look()) == (0, 1)
    file.write_bytes(copy)  # a backup comes back
    with pytest.raises(OSError, match="key"):
        WholeFiles(encryption.disk(keys, store, state)).read(file, 1000)
    store.close()


def test_a_key_just_used_stays_though_no_file_was_seen(keys, state):
    store = encryption.key_store(keys, state, writes=True)
    store.make(b"\1" * 16)
    sweep = encryption.Sweep(store, state)
    assert (sweep.look(), sweep.look(), len(store)) == (0, 0, 1)
    store.close()


def test_vcons_on_another_disk_keep_their_keys_while_it_is_there_and_when_it_is_not(keys, state, tmp_path):
    pending, disk = state / "outbox" / "pending", tmp_path / "disk"
    pending.rename(disk)
    pending.symlink_to(disk)
    kept_one(keys, state)
    store = encryption.key_store(keys, state, writes=True)
    sweep = encryption.Sweep(store, state)
    assert (sweep.look(), sweep.look(), len(store)) == (0, 0, 1)
    disk.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(OSError, match="replaced"):
            sweep.look()
    assert len(store) == 1
    store.close()


def test_keys_of_calls_that_are_not_seen_at_all_keep_a_daemon_from_erasing_them(config, keys, state):
    kept_one(keys, state)
    (state / "outbox").rename(state.parent / "away")
    with pytest.raises(ConfigError, match=r"keys\.store.* mount"):
        Parts(load(config, {}), SteadyClock())
    assert list(state.iterdir()) == []  # the next start refuses it, too


@pytest.mark.parametrize("trouble", ["unmounted", "unreadable"])
def test_folders_that_cannot_be_seen_cost_no_key(keys, state, monkeypatch, trouble):
    kept_one(keys, state)
    store = encryption.key_store(keys, state, writes=True)
    store._used.clear()
    sweep = encryption.Sweep(store, state)
    assert sweep.look() == 0
    if trouble == "unmounted":
        (state / "outbox").rename(state / "away")
        (state / "outbox").mkdir()
    else:
        monkeypatch.setattr(os, "scandir", refused)
    for _ in range(3):
        with pytest.raises(OSError, match=r"replaced|denied"):
            sweep.look()
    assert len(store) == 1
    store.close()


def refused(path: object) -> NoReturn:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_check_says_what_is_encrypted_and_what_is_not(keys, state, tmp_path):
    (off,) = encryption.look(KeysConfig(store=str(tmp_path / "keys")), state)
    assert (off.level, "not encrypted" in off.detail) == ("ok", True)
    (new,) = encryption.look(keys, state)
    assert (new.level, "media_dir" in new.detail) == ("ok", True)
    assert not (tmp_path / "keys").exists()
    kept_one(keys, state)
    (state / "journal" / CALL).mkdir(parents=True)
    (state / "journal" / CALL / "0.pcm").write_bytes(b"old")
    (there,) = encryption.look(keys, state)
    assert (there.level, "1 files, 1 plain, 0 whose" in there.detail) == ("ok", True)
    assert "media_dir" in there.detail
    store = KeyStore(tmp_path / "keys", base64.b64decode(MASTER))
    store.erase(store.ids())
    store.close()
    (lost,) = encryption.look(keys, state)
    assert (lost.level, f"1 whose key is gone: {LOST}" in lost.detail) == ("warning", True)
    (tmp_path / "keys" / FILE).unlink()
    (none,) = encryption.look(keys, state)
    assert (none.level, none.detail) == ("error", f"has no data keys: {LOST}")
    KeyStore(tmp_path / "keys", base64.b64decode(MASTER)).close()
    (wrong,) = encryption.look(msgspec.structs.replace(keys, master=OTHER), state)
    assert (wrong.level, "keys.master" in wrong.detail) == ("error", True)


def test_a_restore_without_keys_says_how_many_calls_are_lost_and_which_were_not_delivered_first(
    config, keys, state, tmp_path
):
    delivered, waiting, recorded = (f"018f0000-000{n}-8000-8000-000000000000" for n in (1, 2, 3))
    store = encryption.key_store(keys, state, writes=True)
    files = WholeFiles(encryption.disk(keys, store, state))
    for place in (f"outbox/kept/{delivered}.vcon.json", f"outbox/pending/{waiting}.vcon.json",
                  f"journal/{recorded}/pieces/0", f"outbox/kept/{recorded}.vcon.json"):  # fmt: skip
        (state / place).parent.mkdir(parents=True, exist_ok=True)
        files.publish(state / place, b"{}")
    copy = store.export(2**33)
    store.close()
    (tmp_path / "copy").write_bytes(copy)
    (tmp_path / "keys" / FILE).unlink()
    said = f"calls that nobody can read without their keys: 3, of which 2 not delivered yet ({waiting}, {recorded}, {delivered})"
    with pytest.raises(ConfigError) as why:
        encryption.key_store(keys, state, writes=True)
    assert str(why.value) == f"keys.store: has no data keys: {said}: {encryption.WITHOUT}"
    done = CliRunner().invoke(app, ["keys", "status", "--config", str(config)])
    assert (done.exit_code, said in str(done.exception)) == (1, True)
    later = "018f0000-0004-8000-8000-000000000000"  # of a call after the copy of the keys
    other = KeyStore(tmp_path / "other", base64.b64decode(MASTER))
    WholeFiles(encryption.disk(keys, other, state)).publish(state / f"outbox/pending/{later}.vcon.json", b"{}")
    other.close()
    done = CliRunner().invoke(app, ["keys", "restore", str(tmp_path / "copy"), "--config", str(config)])
    assert done.exit_code == 0
    assert done.stdout == f"3 keys are back\n{LOST.replace(CALL, later)}\n"
    done = CliRunner().invoke(app, ["keys", "status", "--config", str(config), "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["lost_calls"], told["lost_undelivered"]) == (1, 1, 1)


def test_the_commands_rotate_copy_and_restore(config, keys, state, tmp_path):
    def run(*words: str) -> tuple[int, dict]:
        done = CliRunner().invoke(app, ["keys", *words, "--config", str(config), "--json"])
        return done.exit_code, json.loads(done.stdout) if done.stdout else {}

    assert run("status") == (0, {"keys": None})
    kept_one(keys, state, b'{"uuid":"%s"}' % CALL.encode())
    assert run("status")[1] | {"store": ""} == {
        "store": "", "keys": 1, "encrypt": True, "token": "", "encrypted": 1, "plain": 0, "lost": 0,
        "lost_calls": 0, "lost_undelivered": 0,
    }  # fmt: skip
    code, told = run("export", str(tmp_path / "copy"), "--days", "2")
    assert (code, told["keys"]) == (0, 1)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert run("export", str(tmp_path / "copy"))[0] == 1  # it is there
    (tmp_path / "keys" / FILE).unlink()
    assert run("status")[0] == 1  # the keys are lost
    assert run("restore", str(tmp_path / "copy")) == (0, {"keys": 1, "lost_calls": 0, "lost_undelivered": 0})
    (tmp_path / "new").write_text(OTHER)
    assert run("rotate", str(tmp_path / "new")) == (0, {"keys": 1})
    assert run("status")[0] == 1  # keys.master is still the old one
    (tmp_path / "master").write_text(OTHER)
    assert run("status")[0] == 0
    done = CliRunner().invoke(app, ["export", "--to", str(tmp_path / "out"), "--config", str(config)])
    assert done.exit_code == 0
    assert json.loads((tmp_path / "out" / f"{CALL}.vcon.json").read_text())["uuid"] == CALL


def test_no_key_is_shown(config):
    done = CliRunner().invoke(app, ["config", "show", "--config", str(config)])
    assert MASTER not in done.stdout
    assert MASTER not in repr(KeysConfig(master=MASTER))
    assert np.any([line.startswith("keys.master = (set)") for line in done.stdout.splitlines()])
