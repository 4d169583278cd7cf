"""What goes wrong, with a switch that can do it on purpose."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from fakeswitch import FakeSwitch

from vcond.calls import events as ev
from vcond.testing.desk import MemoryDesk
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_freeswitch import Config, FreeSwitchAdapter

RATE = 8000


class Lab:
    """A switch, a desk, and the adapter between them."""

    def __init__(self, switch: FakeSwitch, **config) -> None:
        self.switch = switch
        self.config = {"rate": RATE, "timeout": 2.0, "password": "secret", **config}
        self.desk = MemoryDesk("freeswitch")
        self.task: asyncio.Task | None = None

    @asynccontextmanager
    async def attached(self, desk: MemoryDesk | None = None):
        self.desk = desk or self.desk
        async with self.desk:
            config = {"port": self.switch.port, "directory": str(self.switch.directory), **self.config}
            if config.get("url"):
                token = self.desk.ingress.token
                config["url"] = f"{self.desk.ingress.bound_url.replace('http', 'ws')}/freeswitch/audio/{token}"
            self.task = asyncio.create_task(FreeSwitchAdapter(Config(**config)).run(self.desk))
            try:
                await self.until(lambda: self.desk.is_attached)
                yield self
            finally:
                self.task.cancel()
                await asyncio.wait([self.task])
                assert self.task.cancelled(), self.task.exception()
        assert self.desk.faults == []
        assert ("event", "mistake") not in self.desk.drops

    async def until(self, predicate, within: float = 120.0) -> None:
        async with asyncio.timeout(within):
            while True:
                try:
                    if predicate():
                        return
                except LookupError:
                    pass
                await asyncio.sleep(0.05)

    async def listened(self, *channels) -> None:
        await self.until(lambda: all(channel.bugs for channel in channels))

    async def speak(self, *parts) -> None:
        await self.switch.speak(*[(channel, samples.astype("<i2").tobytes()) for channel, samples in parts])

    def warnings(self, call=None) -> list[str]:
        call = call or self.desk.calls[0]
        return [event.code for event in call.events if isinstance(event, ev.Warned)]

    async def over(self, key: str):
        await self.until(lambda: self.desk.by_key(key).over)
        return self.desk.by_key(key)

    def heard(self, call, party, said) -> float:
        return find(said, self.desk.audio(call, party, rate=RATE))[0]


def lab(main, *, harm=(), **config) -> None:
    async def inside() -> None:
        directory = Path(tempfile.mkdtemp(prefix="vcond-test-"))
        switch = FakeSwitch(directory)
        await switch.start()
        try:
            async with asyncio.timeout(3000):
                await main(Lab(switch, **config))
        finally:
            await switch.stop()
            shutil.rmtree(directory)
        assert switch.harm == list(harm)

    run_virtual(inside())


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
            await it.until(lambda: it.desk.attachments[-1][0] and len(it.desk.attachments) > 1)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert len(it.desk.calls) == 1
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
            await it.until(lambda: it.desk.is_attached)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95

    lab(main)


def test_a_call_that_ended_while_we_were_away_ends_when_we_lost_it():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.switch.refuse()
            lost = it.desk.clock.now()
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
            await it.until(lambda: it.desk.is_attached)
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
            await it.until(lambda: it.desk.by_key(one.uuid))
            it.switch.core = "core-of-another-run"
            it.switch.tell("HEARTBEAT")
            assert (await it.over(one.uuid)).state.cause.text == "SYSTEM_SHUTDOWN"

    lab(main)


def test_a_switch_that_says_nothing_any_more_is_left_and_attached_again():
    async def main(it: Lab) -> None:
        async with it.attached():
            it.switch.mute = True
            await it.until(lambda: not it.desk.is_attached)
            it.switch.mute = False
            await it.until(lambda: it.desk.is_attached)

    lab(main, heartbeat_seconds=20)


def test_a_refusal_is_told_and_tried_again():
    async def main(it: Lab) -> None:
        it.switch.password = "changed"
        task = asyncio.create_task(
            FreeSwitchAdapter(Config(port=it.switch.port, password="secret", directory=str(it.switch.directory))).run(
                it.desk
            )
        )
        await it.until(lambda: it.desk.attachments)
        assert "password in event_socket.conf.xml" in it.desk.attachments[0][1]
        it.switch.password = "secret"
        await it.until(lambda: it.desk.is_attached)
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
            await it.until(lambda: len(it.desk.calls[0].state.parties) == 2)
            call = it.desk.calls[0]
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


def test_the_table_lags_and_is_looked_at_twice():
    async def main(it: Lab) -> None:
        one, _ = it.switch.call()
        assert 'row_count": 0' in it.switch._run("show channels as json")
        async with it.attached():
            await it.until(lambda: it.desk.calls and len(it.desk.calls[0].state.parties) == 2)
            assert it.desk.calls[0].key == one.uuid

    lab(main)


def test_after_a_crash_the_taps_of_the_earlier_run_are_taken_up():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            await it.switch.refuse()  # so that nothing can be tidied up, as in a crash
            await asyncio.sleep(0.1)
        first = it.desk
        starts = [line for line in it.switch.commands if " start " in line]
        await it.switch.start()
        async with it.attached(MemoryDesk.after_crash(first)):
            await it.until(it.desk.open_calls)
            later, other = voice(3, 1.5), voice(4, 1.5)
            await asyncio.sleep(1)
            await it.speak((one, later), (two, other))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert call.uuid == first.calls[0].uuid
            assert it.heard(call, 0, later) > 0.95
            assert it.heard(call, 1, other) > 0.95
            assert [line for line in it.switch.commands if " start " in line] == starts
        assert not list(it.switch.directory.iterdir())

    lab(main)


def test_calls_of_an_earlier_run_that_are_over_are_ended():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
        it.switch.end(one, two)
        async with it.attached(MemoryDesk.after_crash(it.desk)):
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


# Taps.


def test_a_leg_that_rings_is_never_tapped():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call(answered=False)
            await asyncio.sleep(5)
            assert not one.bugs
            assert not two.bugs
            it.switch.answer(two)
            await it.listened(two)
            assert not one.bugs

    lab(main)


def test_a_tap_that_never_delivers_is_reported():
    async def main(it: Lab) -> None:
        it.switch.deaf_taps = True
        async with it.attached():
            one, _two = it.switch.call()
            await it.until(lambda: it.warnings().count("no-audio") == 2)
            assert it.desk.drops["tap", "no-audio"] == 2
            assert not it.desk.by_key(one.uuid).over

    lab(main)


def test_bypassed_media_is_named():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.bypass = True
            it.switch.answer(one)
            await it.until(lambda: "no-audio" in it.warnings())
            texts = [event.text for event in it.desk.calls[0].events if isinstance(event, ev.Warned)]
            assert "bypasses the switch" in texts[-1]
            assert not any("uuid_media" in line for line in it.switch.commands)

    lab(main)


def test_bypassed_media_is_pulled_back_where_the_operator_wants_it():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.bypass = True
            it.switch.answer(one)
            await it.listened(one)
            await it.speak((one, ANN))
            it.switch.hang_up(one)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main, pull_media=True)


def test_a_full_file_system_is_told_in_the_record():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(1)
            it.switch.full = True
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.warnings(call).count("audio-missing") == 2
            assert it.desk.drops["frame", "not-written"] > 100

    lab(main)


def test_a_start_that_hangs_stops_nothing_else():
    async def main(it: Lab) -> None:
        it.switch.hang_starts = True
        async with it.attached():
            one, two = it.switch.call()
            await asyncio.sleep(1)
            it.switch.press(one, "5")
            await it.until(lambda: any(isinstance(event, ev.Digit) for event in it.desk.calls[0].events))
            it.switch.end(one, two)
            await it.over(one.uuid)

    lab(main)


def test_a_start_that_is_refused_is_tried_again():
    async def main(it: Lab) -> None:
        good = it.switch.directory
        async with it.attached():
            moved = good.with_name(good.name + "-away")
            good.rename(moved)
            one, two = it.switch.call()
            await asyncio.sleep(0.3)
            moved.rename(good)
            await it.listened(one, two)
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main)


def test_a_tap_that_cannot_be_started_is_told_in_the_record():
    async def main(it: Lab) -> None:
        async with it.attached():
            it.switch._record = lambda channel, words: "-ERR Cannot record session!\n"
            it.switch.call()
            await it.until(lambda: it.warnings().count("tap-failed") == 2)

    lab(main)


def test_a_tap_that_the_switch_moved_to_another_leg_is_made_anew():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            path = one.bugs[0].target
            bug = one.bugs.pop()
            two.bugs.append(bug)
            it.switch.tell("MEDIA_BUG_START", two, **{"Media-Bug-Function": "session_record", "Media-Bug-Target": path})
            await it.until(lambda: one.bugs and len(two.bugs) == 1)
            assert it.desk.drops["tap", "moved"] == 1
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.heard(call, 0, BEN) < 0.3

    lab(main)


def test_a_tap_that_somebody_removed_is_made_anew_at_the_next_attachment():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await it.switch.refuse()
            it.switch._unbug(one, one.bugs[0])
            await it.switch.start()
            await it.listened(one)

    lab(main)


def test_a_leg_that_is_renamed_stays_the_same_party():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            old, one.uuid = one.uuid, "renamed-uuid"
            it.switch.channels[one.uuid] = it.switch.channels.pop(old)
            it.switch.tell("CHANNEL_UUID", one, **{"Old-Unique-ID": old})
            it.switch.press(one, "7")
            await it.speak((one, ANN), (two, BEN))
            it.switch.end(one, two)
            call = await it.over(old)
            assert len(call.state.parties) == 2
            assert it.heard(call, 0, ANN) > 0.95

    lab(main)


def test_while_recording_is_paused_the_switch_sends_silence():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            await asyncio.sleep(0.5)
            it.desk.calls[0].pause(it.desk.clock.now())
            await it.until(lambda: one.bugs[0].masked and two.bugs[0].masked)
            it.desk.calls[0].pause(it.desk.clock.now(), on=False)
            await it.until(lambda: not one.bugs[0].masked and not two.bugs[0].masked)

    lab(main)


def test_a_lone_leg_and_what_it_hears_when_that_is_wanted():
    async def main(it: Lab) -> None:
        async with it.attached():
            one = it.switch.create()
            one.app = "ivr"
            it.switch.answer(one)
            await it.listened(one)
            assert one.bugs[0].variables["RECORD_STEREO"] == "true"
            await it.speak((one, ANN))
            it.switch.hang_up(one, variable_sip_hangup_disposition="recv_bye")
            call = await it.over(one.uuid)
            assert [party.who.name for party in call.state.parties] == ["Ann Example", "system"]
            assert it.heard(call, 0, ANN) > 0.95
            system = it.desk.audio(call, 1)
            assert set(np.unique(system)) <= {0, 16}
            assert it.warnings(call) == []

    lab(main, system_audio=True)


def test_a_hundred_legs():
    async def main(it: Lab) -> None:
        async with it.attached():
            pairs = [it.switch.call() for _ in range(50)]
            await it.listened(*(channel for pair in pairs for channel in pair))
            said = [voice(n, 1.0) for n in range(100)]
            await it.speak(*((channel, said[n]) for n, channel in enumerate(c for pair in pairs for c in pair)))
            for one, two in pairs:
                it.switch.end(one, two)
            for n, (one, _) in enumerate(pairs):
                call = await it.over(one.uuid)
                assert it.heard(call, 0, said[2 * n]) > 0.95
                assert it.heard(call, 1, said[2 * n + 1]) > 0.95
            assert it.desk.drops.total() == 0
        assert not list(it.switch.directory.iterdir())

    lab(main)


# Over a WebSocket.


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_audio_over_a_websocket(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            await asyncio.sleep(0.3)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            call = await it.over(one.uuid)
            assert it.heard(call, 0, ANN) > 0.95
            assert it.heard(call, 1, BEN) > 0.95
            assert it.heard(call, 0, BEN) < 0.3
            assert it.desk.drops.total() == 0

    lab(main, tap=kind, url="yes")


@pytest.mark.parametrize("kind", ["stream", "fork"])
def test_a_websocket_that_breaks_is_stopped_and_started_again(kind):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
            broken = one.bugs[0]
            await broken.socket.close()
            await it.until(lambda: one.bugs and one.bugs[0] is not broken and one.bugs[0].socket)
            await it.speak((one, ANN), (two, BEN))
            await asyncio.sleep(0.2)
            it.switch.end(one, two)
            assert it.heard(await it.over(one.uuid), 0, ANN) > 0.95

    lab(main, tap=kind, url="yes")


def test_taps_over_a_websocket_are_removed_when_we_leave():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.until(lambda: all(c.bugs and c.bugs[0].socket for c in (one, two)))
        assert not one.bugs
        assert not two.bugs

    lab(main, tap="fork", url="yes")
