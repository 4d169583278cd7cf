"""``vcond check``, and configurations that cannot work."""

from __future__ import annotations

import os

import pytest
from fakeswitch import FakeSwitch
from fslab import lab

from vcond.sdk.contract import ConfigError
from vcond_freeswitch import Config, FreeSwitchAdapter
from vcond_freeswitch.check import _directory
from vcond_freeswitch.commands import EVENTS, SUBCLASSES

RIGHTS = "uuid_record uuid_dump uuid_buglist show global_getvar version module_exists"


def found(prepare=lambda switch: None, **config) -> dict[str, tuple[str, str, str]]:
    """The findings: by what, (level, detail, fix)."""
    findings = {}

    async def main(it) -> None:
        switch: FakeSwitch = it.switch
        switch.users["vcond@pbx"] = {
            "password": "secret",
            "events": " ".join((*EVENTS, "CUSTOM", *SUBCLASSES)),
            "api": RIGHTS,
        }
        prepare(switch)
        given = {
            "port": switch.port,
            "directory": str(switch.directory),
            "user": "vcond@pbx",
            "password": "secret",
            **config,
        }
        async for finding in FreeSwitchAdapter(Config(**given)).check():
            what = finding.what.replace(str(switch.directory), "DIR").replace(str(switch.port), "PORT")
            findings[what] = (finding.level, finding.detail, finding.fix)

    lab(main)
    return findings


def test_all_is_well():
    findings = found()
    assert findings.pop("directory DIR")[0] in {"ok", "warning"}  # a test's directory may lie on a disk
    assert {level for level, *_ in findings.values()} == {"ok"}
    assert findings["version"][1] == "FreeSWITCH Version 1.10.12-release"


def test_the_password_of_the_whole_switch_is_noticed():
    assert found(user="")["rights"][0] == "warning"
    findings = found(lambda switch: setattr(switch, "password", "ClueCon"), user="", password="ClueCon")
    assert findings["password"][0] == "warning"


@pytest.mark.parametrize(
    ("prepare", "config", "said"),
    [
        (lambda switch: setattr(switch, "greeting", "text/rude-rejection"), {}, "apply-inbound-acl"),
        (lambda switch: None, {"password": "wrong"}, "esl-password"),
        (lambda switch: switch.users["vcond@pbx"].update(events="DTMF"), {}, "esl-allowed-events"),
        (lambda switch: setattr(switch, "greeting", ""), {"timeout": 0.5}, "not an event socket"),
        (lambda switch: None, {"port": 1}, "cannot be reached"),
    ],
)
def test_a_refusal_is_one_error_that_says_what_to_do(prepare, config, said):
    findings = found(prepare, **config)
    (detail,) = [detail for level, detail, fix in findings.values() if level == "error" and fix]
    assert said in detail


def test_rights_that_are_missing_are_named():
    def few(switch):
        switch.users["vcond@pbx"].update(api="uuid_record", events=" ".join(EVENTS))

    findings = found(few)
    assert findings["events"][0] == "warning"
    assert findings["version"][0] == "warning"
    assert findings["channels"][0] == "error"
    assert findings["module mod_sndfile"][0] == "warning"


def test_a_directory_that_is_not_there():
    assert found(directory="/nowhere/at/all")["directory /nowhere/at/all"][0] == "error"


def test_events_of_modules_are_not_missed_where_audio_comes_by_files():
    def documented(switch):
        names = (*EVENTS, "CUSTOM", *(one for one in SUBCLASSES if not one.startswith("mod_")))
        switch.users["vcond@pbx"].update(events=" ".join(names))

    assert found(documented)["events"][0] == "ok"
    assert found(documented, tap="stream", url="ws://h/p/t")["events"][0] == "warning"


@pytest.mark.parametrize(
    ("user", "groups", "mode", "level"),
    [
        ("4001", "4002 4003", 0o770, "error"),
        ("4001", "4002 {gid}", 0o770, "fine"),
        ("4001", "4002 {gid}", 0o750, "error"),
        ("{uid}", "4002", 0o700, "fine"),
        ("0", "0", 0o700, "fine"),
    ],
)
def test_a_directory_that_freeswitch_may_not_write_to(tmp_path, user, groups, mode, level):
    directory, process = tmp_path / "taps", tmp_path / "proc" / "77"
    directory.mkdir()
    directory.chmod(mode)
    process.mkdir(parents=True)
    uid, gid = directory.stat().st_uid, directory.stat().st_gid
    user, groups = user.format(uid=uid), groups.format(gid=gid)
    (process / "status").write_text(
        f"Name:\tfreeswitch\nUid:\t{user}\t{user}\t{user}\t{user}\nGid:\t4002\t4002\nGroups:\t{groups}\n"
    )
    (tmp_path / "proc" / "78").mkdir()
    (tmp_path / "proc" / "78" / "status").write_bytes(b"\xff\n")
    if uid == 0 and user == "0":
        level = "fine"
    finding = _directory(directory, tmp_path / "proc")
    assert (finding.level == "error") == (level == "error")
    assert ("FreeSWITCH" in finding.detail) == (level == "error")


def test_audio_that_was_left_is_told(tmp_path):
    left = tmp_path / "vcond-a-b.r16"
    left.write_bytes(b"xx")
    assert "left there" not in _directory(tmp_path, tmp_path).detail
    os.utime(left, (1, 1))
    assert "1 audio files" in _directory(tmp_path, tmp_path).detail


def test_a_module_that_is_not_loaded():
    def none(switch):
        switch.modules.clear()

    assert found(none)["module mod_sndfile"][0] == "error"
    assert found(none, tap="fork", url="ws://h/p/t")["module mod_audio_fork"][0] == "error"
    assert found(tap="stream", url="ws://h/p/t")["module mod_audio_stream"][0] == "ok"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"password": "two words"}, "password"),
        ({"password": "line\nbreak"}, "password"),
        ({"directory": "/dev/../etc"}, "directory"),
        ({"directory": "/dev/shm/"}, "directory"),
        ({"tap": "fork"}, "url"),
        ({"tap": "stream"}, "url"),
        ({"tap": "stream", "url": "ws://h/p/t", "system_audio": True}, "system_audio"),
    ],
)
def test_values_that_cannot_work_together(config, path):
    with pytest.raises(ConfigError) as told:
        FreeSwitchAdapter(Config(**config))
    assert told.value.path == f"adapters.freeswitch.{path}"


def test_a_password_in_a_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    assert Config(password_file=str(file)).secret() == "from-a-file"
    with pytest.raises(ConfigError, match="password_file"):
        Config(password_file=str(tmp_path / "none")).secret()


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.9", False), ("pbx", False)]
)
def test_what_this_machine_is(host, local):
    assert Config(host=host).local is local
