"""A switch whose clock steps in the midst of a call, or is an hour off."""

from __future__ import annotations

import asyncio

import pytest
from fakeswitch import FakeSwitch
from fslab import Lab, lab

from vcond.sdk.contract import SECOND
from vcond.testing.sounds import voice

ANN, BEN = voice(1, 1.0), voice(2, 1.0)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_switch_whose_clock_steps_in_a_call_has_what_happens_in_it_where_it_was(monkeypatch, step):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            before = it.host.clock.now()
            right = FakeSwitch.stamp
            monkeypatch.setattr(FakeSwitch, "stamp", lambda switch: right(switch) + step * 1_000_000)
            await it.speak((one, ANN), (two, BEN))
            it.switch.hold(two, on=True)
            await asyncio.sleep(2)
            it.switch.hold(two, on=False)
            await asyncio.sleep(2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            since = [moment.at - before for moment in call.state.history if moment.at > before]
            assert [moment.event for moment in call.state.history if moment.at > before][:2] == ["hold", "unhold"]
            assert all(0 < at < 8 * SECOND for at in since)
            assert call.state.ended - before < 8 * SECOND

    lab(main)
