"""What a crash of vcond, or of the adapter, leaves: read once, to its end, and ended when it ended."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from fslab import RATE, Lab, lab

from vcond.call import events as ev
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond_freeswitch import resync

ANN, BEN = voice(1, 1.5), voice(2, 1.5)


def loud(samples) -> float:
    return float(np.sqrt((samples.astype(float) ** 2).sum()))


async def crashed(it: Lab) -> MemoryHost:
    """The host of the next run; nothing on the switch was tidied up."""
    await it.switch.refuse()
    await asyncio.sleep(0.1)
    return it.host


async def begun(it: Lab):
    one, two = it.switch.call()
    await it.listened(one, two)
    await it.until(lambda: it.host.by_key(one.uuid).state.answered)
    return one, two


def test_another_call_that_is_quiet_has_nothing_to_do_with_what_is_read_again():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            it.switch.call(answered=False, number="1005", destination="1006")
            said = [voice(10 + n, 2.0) for n in range(4)]
            for part in said:
                await it.speak((one, part))
            first = await crashed(it)
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(first)):
            await it.until(it.host.open_calls)
            await asyncio.sleep(2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert 0.9 < loud(it.host.audio(call, 0, rate=RATE)) / loud(np.concatenate(said)) < 1.1

    lab(main)


@pytest.mark.parametrize("event", [True, False])
def test_what_recovery_writes_itself_costs_nothing_of_the_outage(event):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            await it.speak((one, ANN), (two, BEN))
            first = await crashed(it)
        meanwhile = voice(5, 2.0)
        await it.speak((one, meanwhile))
        await it.switch.start()
        again = MemoryHost.after_crash(first)
        if event:
            again.unfinished()[0].record(ev.CallAttribute(at=again.clock.now(), name="note", value="x"))
        async with it.attached(again):
            await it.until(it.host.open_calls)
            await asyncio.sleep(1)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, meanwhile) > 0.9
            assert it.heard(call, 0, ANN) > 0.95
            whole = loud(it.host.audio(call, 0, rate=RATE)) / loud(np.concatenate([ANN, meanwhile]))
            assert 0.9 < whole < 1.1, "and all of it once"

    lab(main)


def test_a_party_that_held_is_not_read_twice():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            await it.speak((one, ANN), (two, BEN))
            it.switch.hold(one, on=True)
            await asyncio.sleep(3)
            first = await crashed(it)
        await asyncio.sleep(1)
        it.switch.hold(one, on=False)
        await asyncio.sleep(0.5)
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(first)):
            await it.until(it.host.open_calls)
            await asyncio.sleep(1)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert 0.9 < loud(it.host.audio(call, 0, rate=RATE)) / loud(ANN) < 1.1

    lab(main)


def test_a_call_that_ended_meanwhile_is_read_to_its_end_and_ends_there():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            await it.speak((one, ANN), (two, BEN))
            first = await crashed(it)
        meanwhile = voice(5, 1.5)
        await it.speak((one, meanwhile))
        it.switch.end(one, two)
        ended = it.host.clock.now()
        await asyncio.sleep(5)
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(first)):
            call = await it.over(one.uuid)
            assert it.heard(call, 0, meanwhile) > 0.9
            assert it.heard(call, 1, BEN) > 0.95
            assert abs(call.state.ended - ended) < 200_000_000
            assert call.state.cause.text == "gone"
        assert not list(it.switch.directory.iterdir())

    lab(main)


def test_who_left_and_who_came_meanwhile_did_so_when_they_did():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            await it.speak((one, ANN), (two, BEN))
            first = await crashed(it)
        await asyncio.sleep(1)
        it.switch.hang_up(two)
        left = it.host.clock.now()
        await asyncio.sleep(1)
        three = it.switch.create(inbound=False, other=one.uuid, number="1001", destination="1003")
        it.switch.answer(three)
        it.switch.bridge(one, three)
        came = it.host.clock.now()
        await asyncio.sleep(3)
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(first)):
            await it.until(lambda: len(it.host.by_key(one.uuid).state.parties) == 3)
            state = it.host.by_key(one.uuid).state
            assert abs(state.parties[1].presences[-1].left - left) < 200_000_000
            assert abs(state.parties[2].presences[0].joined - came) < 200_000_000
            it.switch.end(one, three)
            await it.over(one.uuid)

    lab(main)


def test_an_adapter_that_is_started_again_goes_on_with_its_calls():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            three = it.switch.create(inbound=False, other=two.uuid, number="1007", destination="1008")
            it.switch.answer(three)
            it.switch.bridge(two, three)
            gone, other = it.switch.call(number="1011", destination="1012")
            await it.listened(three, gone, other)
            it.switch.hang_up(one)
            await asyncio.sleep(1)
        it.switch.end(gone, other)
        async with it.attached():
            await it.over(gone.uuid)
            await it.listened(two, three)
            assert [call.key for call in it.host.open_calls()] == [one.uuid]
            await it.speak((two, ANN), (three, BEN))
            it.switch.end(two, three)
            call = await it.over(one.uuid)
            assert it.heard(call, 1, ANN) > 0.95
            assert not it.host.open_calls()

    lab(main)


def test_a_mistake_while_the_state_is_asked_for_ends_nothing(monkeypatch):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = await begun(it)
            real, times = resync.table, []

            async def wrong(connection):
                times.append(1)
                if len(times) == 1:
                    raise KeyError("x")
                return await real(connection)

            monkeypatch.setattr(resync, "table", wrong)
            await it.switch.refuse()
            await it.switch.start()
            await it.until(lambda: len(times) > 1 and it.host.is_attached)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95
            assert it.host.drops.pop(("event", "mistake")) == 1

    lab(main)


def test_two_vconds_with_one_directory_leave_each_others_taps_alone():
    async def main(it: Lab) -> None:
        other = Lab(it.switch)
        async with it.attached():
            one, two = await begun(it)
            async with other.attached():
                await other.until(lambda: len(one.bugs) == 2 and len(two.bugs) == 2)
                await it.speak((one, ANN), (two, BEN))
                await asyncio.sleep(0.2)
                assert len(one.bugs) == 2
            await it.speak((one, voice(7, 1.0)))
            assert len(one.bugs) == 1
            it.switch.end(one, two)
            for each in (it, other):
                call = each.host.by_key(one.uuid)
                assert each.heard(call, 0, ANN) > 0.95
                assert each.warnings(call) in ([], ["joined-late"])
        assert not list(it.switch.directory.iterdir())

    lab(main)
