"""The suite that every adapter passes, ours and third parties'.

    class TestConformance(AdapterConformance):
        @pytest.fixture
        def rig(self):
            return MyRig()

Each test places calls through the rig, lets the adapter tell them to a ``MemoryHost``, and looks at the record. After
each one the rules that hold always are checked: lawful events, indices that never move, nothing private in a log.
What a rig cannot do (``Rig.can``) is skipped.
"""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import asyncio

import msgspec
import pytest

from vcond.call.stopped_audio import STOPPED_AFTER
from vcond.sdk.contract import Finding
from vcond.testing.checks import (
    ANN,
    BEN,
    OTHER,
    OWN,
    check_ended,
    check_voices,
    moments,
    private_words,
)
from vcond.testing.host import MemoryHost
from vcond.testing.rig import Rig
from vcond.testing.session import Session, drive, in_session, serving
from vcond.testing.sounds import RATE, find, voice
from vcond.testing.watch import tasks_of
from vcond.testing.wrong_clocks import WhenClocksAreWrong

SECRET = 7
"""Seed of a voice that must not be kept."""


class OneCall:
    """One call, from its beginning to its end."""

    @in_session()
    async def test_a_call_becomes_a_record(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 3.0), voice(BEN, 3.0))
        await line.hang_up()
        call = await run.over(line.key)
        assert len(run.host.calls) == 1
        assert len(call.state.parties) >= 2
        assert call.state.answered is not None
        assert call.state.disposition is None
        check_ended(run.rig, call)
        check_voices(run.rig, run.host, call)

    @in_session()
    async def test_a_call_of_no_length(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.hang_up()
        check_ended(run.rig, await run.over(line.key))

    @in_session("unanswered")
    async def test_a_call_that_nobody_answers(self, run: Session) -> None:
        line = await run.rig.place(run.host, answered=False)
        await line.hang_up()
        call = await run.over(line.key)
        assert call.state.answered is None
        assert call.state.disposition is not None
        check_ended(run.rig, call)

    @in_session("digits")
    async def test_digits_are_told_in_order(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        for digit in "4*2#":
            await line.press(digit)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await line.hang_up()
        call = await run.over(line.key)
        downs = [moment for moment in call.state.history if moment.event == "keydown"]
        assert [moment.button for moment in downs] == list("4*2#")
        assert {moment.party for moment in downs} == {0}

    @in_session("hold")
    async def test_hold_is_told_and_its_time_stays(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await line.hold(on=True)
        await run.until(lambda: "hold" in moments(run.host, line.key), "hold")
        await line.hold(on=False)
        await run.until(lambda: "unhold" in moments(run.host, line.key), "unhold")
        await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
        await line.hang_up()
        call = await run.over(line.key)
        check_ended(run.rig, call)
        assert find(voice(ANN, 2.0), run.host.audio(call, 0))[0] >= OWN
        assert moments(run.host, line.key).count("hold") == moments(run.host, line.key).count("unhold") == 1

    @in_session("pause")
    async def test_while_recording_is_paused_nothing_is_kept(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await line.pause(on=True)
        await run.until(lambda: run.host.by_key(line.key).state.paused, "RecordingPaused")
        await line.speak(voice(SECRET, 2.0), voice(SECRET + 1, 2.0))
        await line.pause(on=False)
        await run.until(lambda: not run.host.by_key(line.key).state.paused, "RecordingResumed")
        await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
        await line.hang_up()
        call = await run.over(line.key)
        check_ended(run.rig, call)
        for party, own in enumerate((ANN, BEN)):
            audio = run.host.audio(call, party, rate=RATE)
            assert find(voice(SECRET + party, 2.0), audio)[0] <= OTHER, "kept, and yet said in a pause"
            assert find(voice(own, 2.0), audio)[0] >= OWN
        (pause,) = call.state.pauses
        assert pause.by in {"party", "platform"}


class SeveralCalls:
    """Calls beside one another and one after another."""

    @in_session()
    async def test_two_calls_at_once_stay_apart(self, run: Session) -> None:
        lines = [await run.rig.place(run.host), await run.rig.place(run.host)]
        async with asyncio.TaskGroup() as group:
            for number, line in enumerate(lines):
                seed = 10 * number
                group.create_task(line.speak(voice(seed + ANN, 2.0), voice(seed + BEN, 2.0)))
        for line in lines:
            await line.hang_up()
        calls = [await run.over(line.key) for line in lines]
        assert len({call.uuid for call in calls}) == 2
        for number, call in enumerate(calls):
            check_voices(run.rig, run.host, call, seed=10 * number, seconds=2.0)
            assert find(voice(10 * (1 - number) + ANN, 2.0), run.host.audio(call, 0))[0] <= OTHER

    @in_session()
    async def test_calls_one_after_another_have_records_of_their_own(self, run: Session) -> None:
        for number in range(3):
            line = await run.rig.place(run.host)
            await line.speak(voice(number, 0.5), voice(number + 5, 0.5))
            await line.hang_up()
            await run.over(line.key)
        assert len({call.uuid for call in run.host.calls}) == len(run.host.calls) == 3
        assert not run.host.open_calls()


class WhenThingsGoWrong:
    """Connections, peers and adapters that fail."""

    @in_session("cut")
    async def test_a_connection_that_is_cut_ends_the_call_or_is_mended(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await line.cut()
        if "resume" in run.rig.can:
            uuid = run.host.by_key(line.key).uuid
            await line.resume(run.host)
            await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
            await line.hang_up()
            call = await run.over(line.key)
            assert call.uuid == uuid, "the same call must go on under the same uuid"
            alike = find(voice(ANN, 2.0), run.host.audio(call, 0))[0]
            assert alike >= OWN, (
                "what the caller said after `resume` is not in its audio, or not whole; did `resume` wait for the new connection?"
            )
        check_ended(run.rig, await run.over(line.key))
        assert not run.host.open_calls()

    @in_session("stop")
    async def test_audio_that_stops_is_told_and_asked_for_anew_where_that_is_possible(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await line.stop_audio()
        call = run.host.by_key(line.key)
        async with asyncio.timeout(4 * STOPPED_AFTER):
            while not (said := [warning.text for warning in call.state.warnings if warning.code == "audio-stopped"]):
                await asyncio.sleep(0.5)
                run.host.tick()
        assert run.host.drops["tap", "stopped"] >= 1
        assert not call.over, "its leg lives"
        if "renew" in run.rig.can:
            assert "asked for again" in said[0]
            await line.renewed(run.host)
            await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
        else:
            assert "cannot be asked" in said[0], (
                "an adapter that can have a tap made again gives `host.taps` its `again`"
            )
        await line.hang_up()
        check_ended(run.rig, await run.over(line.key))
        if "renew" in run.rig.can:
            assert find(voice(ANN, 2.0), run.host.audio(call, 0))[0] >= OWN

    @in_session("garbage")
    async def test_garbage_is_counted_and_not_raised(self, run: Session) -> None:
        await run.rig.garbage(run.host)
        await run.until(lambda: run.host.drops.total() > 0, "a count of what was garbage")
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
        await line.hang_up()
        check_voices(run.rig, run.host, await run.over(line.key), seconds=2.0)

    @in_session()
    async def test_nothing_is_left_behind(self, run: Session) -> None:
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 0.5), voice(BEN, 0.5))
        await line.hang_up()
        await run.over(line.key)
        line = await run.rig.place(run.host)
        await line.speak(voice(ANN, 0.5), voice(BEN, 0.5))
        await run.cancel()
        left = [*await run.rig.leftovers(), *tasks_of(run.adapter)]
        assert not left, f"left behind: {left}"
        assert not run.host.by_key(line.key).over, "an adapter that is cancelled leaves its calls to the core"

    @in_session("restart")
    async def test_after_a_restart_the_same_call_goes_on(self, first: Session) -> None:
        line = await first.rig.place(first.host)
        await line.speak(voice(ANN, 1.0), voice(BEN, 1.0))
        await first.cancel()
        old = first.host.by_key(line.key)
        async with serving(first.rig, MemoryHost.after_crash(first.host)) as second:
            await line.resume(second.host)
            await line.speak(voice(ANN, 2.0), voice(BEN, 2.0))
            await line.hang_up()
            call = await second.over(line.key)
            assert call.uuid == old.uuid
            keys = [party.key for party in old.state.parties]
            assert [party.key for party in call.state.parties][: len(keys)] == keys, "parties never move"
            assert find(voice(ANN, 2.0), second.host.audio(call, 0))[0] >= OWN
            check_ended(first.rig, call)


class AdapterConformance(OneCall, SeveralCalls, WhenThingsGoWrong, WhenClocksAreWrong):
    """Subclass it in a test file, name the class ``Test…`` and give it a fixture ``rig``."""

    @pytest.fixture
    def rig(self) -> Rig:
        """The system to test with; to be overridden."""
        raise NotImplementedError("override the fixture `rig`")

    # What the adapter is.

    def test_it_says_what_it_is(self, rig: Rig) -> None:
        adapter = rig.adapter()
        assert adapter.name.isidentifier()
        assert issubclass(adapter.Config, msgspec.Struct)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"no-such-key-anywhere": 1}, adapter.Config)

    def test_check_tells_what_is_wrong_and_what_to_do(self, rig: Rig) -> None:
        async def main() -> None:
            await rig.start()
            try:
                found = [finding async for finding in rig.adapter().check()]
            finally:
                await rig.stop()
            assert found, "check() must find something to say"
            for finding in found:
                assert isinstance(finding, Finding)
                assert finding.what
                assert finding.level == "ok" or finding.fix, f"{finding.what}: {finding.level} without a fix"
                told = private_words(rig, [finding.what, finding.detail, finding.fix])
                assert not told, f"private, and yet in a finding: {told}"

        drive(rig, main())

    @in_session()
    async def test_it_says_when_it_is_attached(self, run: Session) -> None:
        assert run.host.is_attached
