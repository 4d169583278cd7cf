"""What goes wrong with the connection, with a switch that can do it on purpose."""

from __future__ import annotations

import asyncio

import pytest
from fslab import Lab, lab

from vcond.sdk.contract import Cause
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond_freeswitch import Config, FreeSwitchAdapter

ANN, BEN = voice(1, 1.5), voice(2, 1.5)


# The connection.


def test_a_cut_in_the_middle_of_an_event_costs_nothing():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            it.switch.send(b'Content-Length: 9000\nContent-Type: text/event-json\n\n{"Event-Name":')
            await asyncio.sleep(0.1)
            it.switch.drop()
            await it.until(lambda: it.host.attachments[-1][0] and len(it.host.attachments) > 1)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert len(it.host.calls) == 1
            assert len(call.state.tracks) == 2

    lab(main)


def test_audio_goes_on_while_the_event_socket_is_away():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.switch.refuse()
            await it.speak((one, ANN), (two, BEN))
            await it.switch.start()
            await it.until(lambda: it.host.is_attached)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95

    lab(main)


def test_a_hold_that_came_and_went_while_we_were_away_is_told_at_the_end():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            it.switch.hold(one, on=True)
            await asyncio.sleep(0.5)
            it.switch.hold(one, on=False)
            await asyncio.sleep(0.5)
            await it.switch.refuse()
            await asyncio.sleep(0.5)
            it.switch.hold(one, on=True)
            began = it.host.clock.now()
            await asyncio.sleep(1)
            it.switch.hold(one, on=False)
            await it.switch.start()
            await it.until(lambda: it.host.is_attached)
            await asyncio.sleep(1.5)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            holds = [(m.at, m.event) for m in call.state.history if m.event in {"hold", "unhold"}]
            assert [event for _, event in holds] == ["hold", "unhold"] * 2
            assert abs(holds[2][0] - began) < 50_000_000
            assert abs(holds[3][0] - began - 1_000_000_000) < 50_000_000

    lab(main)


def test_a_call_that_ended_while_we_were_away_ends_when_we_lost_it():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.switch.refuse()
            lost = it.host.clock.now()
            it.switch.end(one, two)
            await asyncio.sleep(20)
            await it.switch.start()
            call = await it.over(one.uuid)
            assert abs(call.state.ended - lost) < 1_000_000_000

    lab(main)


@pytest.mark.parametrize("form", ["json", "plain"])
def test_a_restart_of_the_switch_ends_its_calls_and_new_ones_are_recorded(form):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            it.switch.crash()
            call = await it.over(one.uuid)
            assert call.state.cause.text == "SYSTEM_SHUTDOWN"
            await it.until(lambda: it.host.is_attached)
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95

    lab(main, format=form)


def test_another_core_uuid_in_an_event_is_a_restart_too():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, _two = it.switch.call()
            await it.until(lambda: it.host.by_key(one.uuid))
            it.switch.core = "core-of-another-run"
            it.switch.tell("HEARTBEAT")
            assert (await it.over(one.uuid)).state.cause.text == "SYSTEM_SHUTDOWN"

    lab(main)


def test_a_switch_that_says_nothing_any_more_is_left_and_attached_again():
    async def main(it: Lab) -> None:
        async with it.attached():
            it.switch.mute = True
            await it.until(lambda: not it.host.is_attached)
            it.switch.mute = False
            await it.until(lambda: it.host.is_attached)

    lab(main, heartbeat_seconds=20)


def test_a_refusal_is_told_and_tried_again():
    async def main(it: Lab) -> None:
        it.switch.password = "changed"
        task = asyncio.create_task(
            FreeSwitchAdapter(Config(port=it.switch.port, password="secret", directory=str(it.switch.directory))).run(
                it.host
            )
        )
        await it.until(lambda: it.host.attachments)
        assert "password in event_socket.conf.xml" in it.host.attachments[0][1]
        it.switch.password = "secret"
        await it.until(lambda: it.host.is_attached)
        task.cancel()
        await asyncio.wait([task])

    lab(main)


def test_a_user_with_few_rights_is_enough():
    from vcond_freeswitch.commands import EVENTS

    async def main(it: Lab) -> None:
        it.switch.users["vcond@pbx"] = {
            "password": "secret",
            "events": " ".join(EVENTS),
            "api": "uuid_record uuid_dump uuid_buglist show global_getvar",
        }
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main, user="vcond@pbx")


# Calls that were there before.


def test_a_call_that_goes_on_already_is_found():
    async def main(it: Lab) -> None:
        one, two = it.switch.call()
        it.switch.hold(two, on=True)
        await asyncio.sleep(5)
        async with it.attached():
            await it.until(lambda: len(it.host.calls[0].state.parties) == 2)
            call = it.host.calls[0]
            assert (call.key, it.warnings()) == (one.uuid, ["joined-late"])
            assert [(m.party, m.event) for m in call.state.history if m.event == "hold"] == [(1, "hold")]
            it.switch.hold(two, on=False)
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert call.state.answered is not None

    lab(main)


def test_a_call_that_the_core_ended_is_not_listened_to_any_more():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            it.host.calls[0].end(at=it.host.clock.now())
            await it.until(lambda: not one.bugs and not two.bugs)
            it.switch.end(one, two)
            await asyncio.sleep(5)
            assert len(it.host.calls) == 1

    lab(main)


def test_a_call_that_the_core_cut_off_is_recorded_from_then_on():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            it.host.calls[0].end(at=it.host.clock.now(), cause=Cause(text="limit"))
            await it.until(lambda: len(it.host.calls) == 2)
            call = it.host.calls[1]
            await it.until(lambda: len(call.state.tracks) == 2)
            assert [warning.code for warning in call.state.warnings] == ["joined-late"]
            it.switch.end(one, two)
            await it.until(lambda: call.over)

    lab(main)


def test_more_calls_than_the_limit_are_not_found_either():
    async def main(it: Lab) -> None:
        pairs = [it.switch.call() for _ in range(3)]
        await asyncio.sleep(5)
        async with it.attached():
            await it.until(lambda: len(it.host.calls) == 2)
            await asyncio.sleep(5)
            assert [reason for _, reason in it.host.drops] == ["limit"]
            for one, two in pairs:
                it.switch.end(one, two)
            await it.until(lambda: all(call.over for call in it.host.calls))
            assert len(it.host.calls) == 2

    lab(main, max_calls=2)


def test_the_table_lags_and_is_looked_at_twice():
    async def main(it: Lab) -> None:
        one, _ = it.switch.call()
        assert 'row_count": 0' in it.switch._run("show channels as json")
        async with it.attached():
            await it.until(lambda: it.host.calls and len(it.host.calls[0].state.parties) == 2)
            assert it.host.calls[0].key == one.uuid

    lab(main)


def test_after_a_crash_the_taps_of_the_earlier_run_are_taken_up():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            await it.switch.refuse()  # so that nothing can be tidied up, as in a crash
            await asyncio.sleep(0.1)
        first = it.host
        starts = [line for line in it.switch.commands if " start " in line]
        meanwhile = voice(5, 1.5)
        await asyncio.sleep(0.3)
        await it.speak((one, meanwhile))
        await it.switch.start()
        async with it.attached(MemoryHost.after_crash(first)):
            await it.until(it.host.open_calls)
            later, other = voice(3, 1.5), voice(4, 1.5)
            await asyncio.sleep(1)
            await it.speak((one, later), (two, other))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert call.uuid == first.calls[0].uuid
            assert it.heard(call, 0, later) > 0.95
            assert it.heard(call, 1, other) > 0.95
            assert it.heard(call, 0, meanwhile) > 0.9, "what was said while nobody listened is in the file"
            assert [line for line in it.switch.commands if " start " in line] == starts
        assert not list(it.switch.directory.iterdir())

    lab(main)


def test_calls_of_an_earlier_run_that_are_over_are_ended():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
        it.switch.end(one, two)
        async with it.attached(MemoryHost.after_crash(it.host)):
            assert (await it.over(one.uuid)).state.cause.text == "gone"

    lab(main)


def test_files_that_nobody_writes_to_any_more_are_removed():
    async def main(it: Lab) -> None:
        stale, foreign = it.switch.directory / "vcond-old-1.r16", it.switch.directory / "other.r16"
        stale.write_bytes(b"x")
        foreign.write_bytes(b"x")
        async with it.attached():
            assert not stale.exists()
            assert foreign.exists()

    lab(main)
