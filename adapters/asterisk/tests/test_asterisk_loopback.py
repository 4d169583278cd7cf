"""``vcond check --loopback`` through an Asterisk: two channels of its own, and nothing of anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcond.cli.loopback import LOOPS, through
from vcond.config import Loaded, load
from vcond_asterisk import Config
from vcond_asterisk.config import LOOPBACK
from vcond_asterisk.loopback import section


@pytest.fixture
async def pbx(make_fake):
    async with make_fake() as made:
        yield made


@pytest.fixture
def configured(pbx, login, tmp_path: Path) -> Loaded:
    file = tmp_path / "vcond.toml"
    file.write_text(
        f'[vcond]\nname = "e.example.com"\nstate_dir = "{tmp_path}/state"\n[adapters.asterisk]\nurl = "{pbx.url}"\n'
        f'user = "{login["user"]}"\npassword = "{login["password"]}"\nrecord_supervisors = true\nport = 9\n'
    )
    return load(file, {})


async def placed(folder: Path, loaded: Loaded) -> list[tuple[str, str]]:
    found = await through(loaded, "asterisk", LOOPS["asterisk"], folder / "loopback")
    return [(one.level, one.detail) for one in found]


async def test_the_pair_becomes_a_vcon_and_calls_that_go_on_are_left_alone(pbx, configured, tmp_path: Path):
    ann, bob = pbx.channel("PJSIP/1001", number="1001"), pbx.channel("PJSIP/1002", number="1002")
    pbx.up(ann), pbx.up(bob)
    pbx.bridge(ann, bob)
    before = set(pbx.channels) | set(pbx.bridges)
    found = await placed(tmp_path, configured)
    assert [level for level, _ in found] == ["ok"] * 4, found
    assert found[2][1] == "audio of 2 parties arrived completely"
    assert [one for one in pbx.requests if ann in one or bob in one] == [], "nobody listened to them, nor asked of them"
    assert set(pbx.channels) | set(pbx.bridges) == before


async def test_without_a_way_back_the_check_says_so(pbx, configured, tmp_path: Path):
    pbx.refuse["POST channels/externalMedia"] = 500
    found = await placed(tmp_path, configured)
    assert [level for level, _ in found] == ["ok", "error"]
    assert found[1][1].startswith("call: external media: 500, Asterisk failed")
    assert pbx.helpers(LOOPBACK) == []


async def test_the_wrong_password_ends_it_with_what_asterisk_says(pbx, configured, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vcond.cli.loopback.READY_LIMIT", 1.0)
    pbx.password = "another"
    ((level, said),) = await placed(tmp_path, configured)
    assert (level, said.partition(":")[0]) == ("error", "start")
    assert "refuses this user or its password" in said


def test_its_section_has_nothing_that_could_meet_the_daemon_that_runs():
    mine = section({"url": "http://pbx", "port": 9092, "advertise": "10.0.0.5:9092", "bind": "0.0.0.0", "app": "vcond"})
    made = Config(**mine).checked()
    assert (made.port, made.advertise, made.app) == (0, "10.0.0.5", LOOPBACK)
