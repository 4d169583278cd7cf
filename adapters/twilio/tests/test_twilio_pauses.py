"""``stop_on_pause``: the stream of a call is away while its recording is paused, and back afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext

import pytest
from fake_twilio_rest import known
from test_twilio_running import attached as attached_to
from test_twilio_running import streaming, virtual

from vcond.sdk.contract import Cause, RecordingPaused, RecordingResumed
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond_twilio.running import WAIT
from vcond_twilio.starts import MOST

CUT = Cause(text="limit")
FIRST = "MZ" + "2" * 32
"""The stream that ``streaming`` opens."""


@asynccontextmanager
async def attached(b, host=None, **config):
    """The adapter, which asks for streams to be stopped, and a call that goes on at Twilio."""
    b.fake.calls[b.key] = known("in-progress")
    async with attached_to(host or b.host, b.fake, stop_on_pause=True, **config):
        yield


def pause(b):
    b.call().emit(RecordingPaused(at=b.host.now(), by="platform"))


def resume(b):
    b.call().emit(RecordingResumed(at=b.host.now(), by="platform"))


@asynccontextmanager
async def paused(b):
    """The stream of a call that is paused by now, and that Twilio was asked to stop."""
    async with streaming(b) as client:
        await b.host.until(lambda: b.host.calls)
        pause(b)
        await b.fake.until(lambda: b.fake.of("POST"))
        yield client


async def stopped(b):
    """A call whose stream is away for a pause."""
    async with paused(b) as client:
        await client.stop()


@virtual
async def test_a_pause_stops_the_stream_and_what_comes_after_is_the_same_call(b):
    async with attached(b):
        b.fake.streams[FIRST] = {"status": "in-progress"}
        async with streaming(b) as client:
            await client.play(voice(1, 1.0), voice(2, 1.0))
            pause(b)
            await b.fake.until(lambda: b.fake.streams[FIRST]["status"] == "stopped")
            await client.stop()
        await asyncio.sleep(60)
        assert (b.call().over, len(b.fake.of("POST"))) == (False, 1)
        resume(b)
        await b.fake.until(lambda: len(b.fake.streams) == 2)
        async with streaming(b, list(b.fake.streams)[1]) as client:
            await client.play(voice(3, 1.0), voice(4, 1.0))
            b.fake.calls[b.key] = known()
            await client.stop()
        await b.host.until(lambda: b.call().over)
    state = b.call().state
    assert (len(b.host.calls), len(state.tracks), len(state.pauses)) == (1, 4, 1)
    for party, said in ((0, 1), (1, 2), (0, 3), (1, 4)):
        assert find(voice(said, 1.0), b.host.audio(b.call(), party))[0] > 0.95
    assert len(b.fake.of("POST")) == 2


@virtual
async def test_a_stream_that_does_not_come_back_after_a_pause_is_asked_for_so_often_and_no_more(b):
    """Each request costs. It was one every ten seconds, for four hours."""
    async with attached(b):
        await stopped(b)
        resume(b)
        await asyncio.sleep(3 * 3600)
        assert len(b.fake.streams) == MOST
        assert [warning.code for warning in b.call().state.warnings] == ["stream-lost"]
        assert not b.call().over
        b.fake.calls[b.key] = known()
        await b.host.until(lambda: b.call().over, within=40)


@virtual
async def test_however_often_a_call_is_paused_its_stream_comes_back_at_once(b):
    """As for each field of a payment. Streams that were stopped for pauses counted as failures: they came later and later, then never."""
    async with attached(b):
        b.fake.streams[FIRST] = {"status": "in-progress"}
        for _ in range(MOST + 5):
            stream = list(b.fake.streams)[-1]
            async with streaming(b, stream) as client:
                await b.host.until(lambda: b.host.calls and b.call().state.tracks)
                await asyncio.sleep(15)
                pause(b)
                await b.fake.until(lambda stream=stream: b.fake.streams[stream]["status"] == "stopped")
                await client.stop()
            resume(b)
            await b.fake.until(lambda stream=stream: list(b.fake.streams)[-1] != stream, within=3)
        assert (len(b.host.calls), b.call().over, b.call().state.warnings) == (1, False, [])


@virtual
async def test_a_stream_that_is_stopped_for_a_pause_is_stopped_once(b):
    async with attached(b), paused(b):
        await asyncio.sleep(100)
        assert len(b.fake.of("POST")) == 1


@virtual
async def test_a_stream_that_was_stopped_for_a_pause_stays_away_however_its_connection_ends(b):
    async with attached(b, start_streams=True):
        async with paused(b) as client:
            await client.cut()
        await asyncio.sleep(60)
        assert not b.fake.streams
        resume(b)
        await b.fake.until(lambda: b.fake.streams)


@pytest.mark.parametrize("killed", [False, True])
def test_after_a_restart_in_a_pause_the_stream_comes_back(twilio, killed):
    @virtual
    async def test(b):
        async with attached(b):
            await stopped(b)
        after = MemoryHost.after_crash(b.host) if killed else b.host
        b.host.ingress._routes.clear()  # as the core does when an adapter is over
        b.fake.trouble.append((400, {}, {}))
        async with after if killed else nullcontext(), attached(b, after):
            b.host = after
            await b.fake.until(lambda: b.fake.streams)
            async with streaming(b, next(iter(b.fake.streams))) as client:
                await b.fake.until(lambda: len(b.fake.of("POST")) == 3)
                await client.stop()
            await asyncio.sleep(60)
            assert (len(after.calls), after.calls[-1].over, len(b.fake.streams)) == (1, False, 1)
            after.calls[-1].emit(RecordingResumed(at=after.now(), by="platform"))
            await b.fake.until(lambda: len(b.fake.streams) == 2)

    test(twilio)


@virtual
async def test_a_stream_that_could_not_be_stopped_for_a_pause_is_stopped_later_in_it(b):
    async with attached(b):
        b.fake.streams[FIRST] = {"status": "in-progress"}
        async with streaming(b):
            await b.host.until(lambda: b.host.calls)
            b.fake.trouble.append((400, {}, {}))
            pause(b)
            await b.fake.until(lambda: b.fake.streams[FIRST]["status"] == "stopped", within=30)


@virtual
async def test_who_hangs_up_in_a_pause_has_a_record_until_then(b):
    async with attached(b):
        await stopped(b)
        await asyncio.sleep(60)
        b.fake.calls[b.key] = known()
        await b.host.until(lambda: b.call().over, within=40)
        await asyncio.sleep(60)
        assert len(b.fake.of("POST")) == 1


@virtual
async def test_a_pause_that_is_over_before_the_stream_stopped_ends_no_call(b):
    async with attached(b):
        async with paused(b) as client:
            resume(b)
            await asyncio.sleep(1.5)
            await client.stop()
        await b.fake.until(lambda: len(b.fake.of("POST")) == 2)
        assert not b.call().over


@pytest.mark.parametrize("ends", [4, 40])
def test_a_stream_that_takes_its_time_to_stop_after_the_pause_is_over_ends_no_call(twilio, ends):
    @virtual
    async def test(b):
        async with attached(b):
            b.fake.streams[FIRST] = {"status": "in-progress"}
            async with paused(b) as client:
                resume(b)
                await asyncio.sleep(ends)
                assert len(b.fake.of("POST")) == 1, "there is a stream: none is started beside it"
                await client.stop()
            await b.fake.until(lambda: len(b.fake.streams) == 2, within=WAIT)
            assert not b.call().over

    test(twilio)


@virtual
async def test_a_second_pause_while_the_stream_of_the_first_still_stops_keeps_it_away(b):
    async with attached(b):
        b.fake.streams[FIRST] = {"status": "in-progress"}
        async with paused(b) as client:
            resume(b)
            await asyncio.sleep(3)
            pause(b)
            await asyncio.sleep(3)
            await client.stop()
        await asyncio.sleep(60)
        assert (len(b.fake.streams), b.call().over) == (1, False)
        resume(b)
        await b.fake.until(lambda: len(b.fake.streams) == 2)


@virtual
async def test_a_call_that_becomes_too_long_in_a_pause_goes_on_in_another_record(b):
    async with attached(b):
        await stopped(b)
        first = b.call()
        first.end(at=b.host.now(), cause=CUT)
        await b.fake.until(lambda: b.fake.streams)
        (stream,) = b.fake.streams
        async with streaming(b, stream) as client:
            await b.host.until(lambda: len(b.host.calls) == 2)
            second = b.call()
            assert [warned.code for warned in second.state.warnings] == ["joined-late"]
            second.emit(RecordingPaused(at=b.host.now(), by="platform"))  # the core keeps it paused from the beginning
            await b.fake.until(lambda: b.fake.streams[stream]["status"] == "stopped")
            await client.stop()
        await asyncio.sleep(60)
        assert (len(b.fake.streams), second.over) == (1, False)
        second.emit(RecordingResumed(at=b.host.now(), by="platform"))
        await b.fake.until(lambda: len(b.fake.streams) == 2)
    assert (first.key, first.state.cause) == (second.key, CUT)


@virtual
async def test_a_call_that_was_cut_off_in_a_pause_and_is_over_at_twilio_has_no_other_record(b):
    async with attached(b):
        await stopped(b)
        b.fake.calls[b.key] = known()
        b.call().end(at=b.host.now(), cause=CUT)
        await asyncio.sleep(60)
    assert (len(b.host.calls), b.fake.streams, len(b.fake.of("POST"))) == (1, {}, 1)


@virtual
async def test_a_call_that_was_cut_off_in_a_pause_and_is_streamed_again_by_its_application_has_one_stream(b):
    async with attached(b):
        await stopped(b)
        b.call().end(at=b.host.now(), cause=CUT)
        async with streaming(b, "MZ" + "3" * 32):
            await b.host.until(lambda: len(b.host.calls) == 2)
            await asyncio.sleep(60)
        stops = [f"/Calls/{b.key}/Streams/MZ{digit * 32}.json" for digit in "23"]
        assert (len(b.fake.streams), [path for path, _ in b.fake.of("POST")]) == (0, stops), "paused as the one before"
