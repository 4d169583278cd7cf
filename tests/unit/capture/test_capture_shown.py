"""What the operator is shown of a call that is not as it should be."""

import asyncio
from pathlib import Path

import pytest

from vcond.base.errors import AmbiguousError, RefusedError
from vcond.cli import journals, render
from vcond.config import DaemonConfig
from vcond.publish.summary import detail, summary


async def test_a_call_that_is_not_recorded_says_so_and_why(house):
    house.free = 400_000_000
    house.registry.tick(house.now(0))
    call = house.host.call("k", at=house.now(0))
    call.party("a", at=house.at(0))
    row = summary(call.state, call.not_recorded)
    assert row["recorded"] is False
    (line,) = render.calls([row])
    assert "NOT RECORDED (disk: 400 MB free, 500 wanted (vcond.min_free_mb))" in line
    shown = "\n".join(render.call(detail(call.state, call.not_recorded)))
    assert "NOT RECORDED" in shown
    assert "received" not in shown
    assert "will have no vCon" in shown
    house.free = 10**12
    for second in (1, 11):
        house.registry.tick(house.now(second))
    kept = house.host.call("k2", at=house.now(11))
    assert summary(kept.state, kept.not_recorded)["recorded"] is True
    assert "NOT" not in next(iter(render.calls([summary(kept.state, kept.not_recorded)])))


async def test_calls_of_a_daemon_that_is_gone_do_not_look_alive(house, tmp_path: Path):
    calls = [house.host.call(key, at=house.now(second)) for second, key in enumerate("ab")]
    for call in calls:
        call.party("a", at=house.clock.now())
        await call.journal.flush()
    config = DaemonConfig(state_dir=str(tmp_path), admin_socket=str(tmp_path / "admin"))
    rows = await asyncio.to_thread(journals.summaries, config)
    assert [row["daemon"] for row in rows] == [False, False]
    lines = list(render.calls(rows))
    assert "vcond is not running" in lines[0]
    assert "systemctl start vcond" in lines[1]
    assert all("cut off" in line for line in lines[2:])
    assert (await asyncio.to_thread(journals.find, config, calls[0].uuid))["daemon"] is False
    with pytest.raises(AmbiguousError, match="ambiguous call id prefix"):
        await asyncio.to_thread(journals.find, config, "0")
    with pytest.raises(RefusedError, match="not running"):
        await asyncio.to_thread(journals.find, config, "zz")
