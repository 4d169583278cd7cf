"""``vcond check --loopback`` through a FreeSWITCH: a pair of its own, and nothing of anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakeswitch import FakeSwitch

from vcond.cli.loopback import LOOPS, loopback, through
from vcond.config import Loaded, load


@pytest.fixture
async def switch(tmp_path: Path):
    directory = tmp_path / "taps"
    directory.mkdir()
    made = FakeSwitch(directory)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        assert made.harm == []


def configured(switch: FakeSwitch) -> Loaded:
    file = switch.directory.parent / "vcond.toml"
    file.write_text(
        f'[vcond]\nname = "e.example.com"\nstate_dir = "{file.parent}/state"\n[adapters.freeswitch]\nport = {switch.port}\n'
        f'password = "secret"\ndirectory = "{switch.directory}"\n'
    )
    return load(file, {})


async def placed(switch: FakeSwitch) -> list[tuple[str, str]]:
    found = await through(configured(switch), "freeswitch", LOOPS["freeswitch"], switch.directory.parent / "loopback")
    return [(one.level, one.detail) for one in found]


async def test_the_pair_becomes_a_vcon_and_calls_that_go_on_are_left_alone(switch):
    ann, bob = switch.call()
    found = await placed(switch)
    assert [level for level, _ in found] == ["ok"] * 4, found
    assert found[2][1] == "audio of 2 parties arrived completely"
    assert [line for line in switch.commands if "uuid_record" in line and (ann.uuid in line or bob.uuid in line)] == []
    assert switch.channels.keys() == {ann.uuid, bob.uuid}
    assert list(switch.directory.iterdir()) == [], "its directory is gone"


async def test_who_may_not_originate_is_told_so_and_it_is_no_error(switch, monkeypatch):
    real = switch._run
    monkeypatch.setattr(
        switch, "_run", lambda line: "-ERR permission denied\n" if line.startswith("originate") else real(line)
    )
    found = await placed(switch)
    assert [level for level, _ in found] == ["ok", "warning"]
    assert found[1][1] == "call: originate: not permitted; add it to the user's esl-allowed-api"
    assert list(switch.directory.iterdir()) == []


def test_where_its_audio_would_come_to_the_running_daemon_it_says_so(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_text('[adapters.freeswitch]\nhost = "10.0.0.9"\nurl = "ws://10.0.0.5:8470/freeswitch/audio/x"\n')
    (one,) = loopback(load(file, {}))
    assert (one.level, one.fix) == ("warning", "place a call by hand and check it with vcond doctor")
    assert "its audio would come to the port of the daemon that runs" in one.detail
