from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from vcond.base.errors import StorageError
from vcond.demo.call import demo_call
from vcond.speech import segmenting as listeners
from vcond.speech.segmenting import Segmenting, TrackListener, read


class Handler:
    """What was heard, written down; set when a track is flushed."""

    def __init__(self) -> None:
        self.said: list[tuple] = []
        self.end = asyncio.Event()

    def begun(self, listener: TrackListener, start: int) -> None:
        self.said.append(("begun", start))

    def grew(self, listener: TrackListener) -> None:
        self.said.append(("grew", listener.done))

    def ended(self, listener: TrackListener, start: int, stop: int) -> None:
        self.said.append(("ended", start, stop))

    def segmenter_failed(self, listener: TrackListener) -> None:
        self.said.append(("segmenter_failed",))

    def flushed(self, listener: TrackListener) -> None:
        self.said.append(("flushed",))
        self.end.set()


@contextlib.asynccontextmanager
async def hearing():
    handler = Handler()
    rounds = Segmenting(handler)
    task = asyncio.create_task(rounds.run())
    yield handler, rounds
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_track_is_cut_in_rounds_of_ten_seconds_and_flushed_once(track, marks) -> None:
    line = track(pcm=np.repeat(np.array([1, 0], np.int16), 8 * 8000))
    async with hearing() as (handler, rounds):
        listener = TrackListener(line, 0, rounds.changed)
        listener.segmenter = marks()
        listener.close(16 * 8000)
        listener.close(99 * 8000)
        listener.advance(99 * 8000)
        await handler.end.wait()
    assert line.reads == [(0, 80_000), (80_000, 128_000)]
    assert handler.said == [("begun", 0), ("ended", 0, 64_000), ("grew", 80_000), ("flushed",)]
    assert listener.flushed


async def test_an_utterance_that_is_open_at_the_end_is_ended(track, marks) -> None:
    line = track(pcm=np.ones(8000, np.int16))
    async with hearing() as (handler, rounds):
        listener = TrackListener(line, 0, rounds.changed)
        listener.segmenter = marks()
        listener.close(8000)
        await handler.end.wait()
    assert handler.said == [("begun", 0), ("ended", 0, 8000), ("flushed",)]


async def test_the_real_segmenter_finds_the_demo_callers_turns(track, demo) -> None:
    turns = [turn for turn in demo_call().turns if turn.party == 0]
    line = track(pcm=demo[0])
    async with hearing() as (handler, rounds):
        listener = TrackListener(line, 0, rounds.changed)
        for upto in range(0, len(line.pcm), 800):
            listener.advance(upto)
        listener.close(len(line.pcm))
        await handler.end.wait()
    spans = [(said[1] / 8000, said[2] / 8000) for said in handler.said if said[0] == "ended"]
    for turn in turns:
        assert any(start <= turn.start + 0.1 and stop >= turn.start + 0.3 for start, stop in spans), turn


async def test_an_listener_never_reads(track) -> None:
    line = track()
    seen: list[TrackListener] = []
    listener = TrackListener(line, 100, seen.append)
    listener.advance(50)
    assert seen == []
    listener.advance(200)
    listener.close(150)
    assert seen == [listener, listener]
    assert (listener.upto, listener.closed, line.reads) == (200, True, [])


async def test_audio_that_cannot_be_read_is_silence_for_the_segmenter(track) -> None:
    def broken(start: int, stop: int) -> np.ndarray:
        raise StorageError("no disk")

    line = track()
    line.read = broken
    (audio,) = await listeners.read_many([(line, 5, 25)])
    assert audio.tolist() == [0] * 20
    with pytest.raises(StorageError):
        await read(line, 5, 25)


async def test_a_mistake_in_reading_one_track_is_silence_of_that_track(track) -> None:
    def mistake(start: int, stop: int) -> np.ndarray:
        raise ZeroDivisionError

    bad, good = track("bad"), track("good", pcm=np.ones(20, np.int16))
    bad.read = mistake
    audio = await listeners.read_many([(bad, 0, 20), (good, 0, 20)])
    assert [part.tolist() for part in audio] == [[0] * 20, [1] * 20]


async def test_a_track_that_breaks_the_segmenter_goes_segmenter_failed_and_the_others_do_not(track, marks) -> None:
    class Breaks(marks):
        def feed(self, start: int, pcm: np.ndarray) -> list:
            raise ZeroDivisionError

    async with hearing() as (handler, rounds):
        bad, good = (
            TrackListener(track(name, pcm=np.ones(800, np.int16)), 0, rounds.changed) for name in ("bad", "good")
        )
        bad.segmenter, good.segmenter = Breaks(), marks()
        bad.close(800)
        good.close(800)
        await handler.end.wait()
    assert handler.said == [("segmenter_failed",), ("flushed",), ("begun", 0), ("ended", 0, 800), ("flushed",)]
    assert bad.flushed
    assert good.flushed


async def test_a_track_of_which_nothing_can_be_told_goes_segmenter_failed_and_the_others_do_not(track, marks) -> None:
    async with hearing() as (handler, rounds):
        bad, good = (
            TrackListener(track(name, pcm=np.ones(800, np.int16)), 0, rounds.changed) for name in ("bad", "good")
        )
        bad.segmenter, good.segmenter = marks(), marks()
        begun = handler.begun

        def tell(listener: TrackListener, start: int) -> None:
            if listener is bad:
                raise ZeroDivisionError
            begun(listener, start)

        handler.begun = tell
        bad.close(800)
        good.close(800)
        while not good.flushed:
            handler.end.clear()
            await handler.end.wait()
    assert handler.said == [("segmenter_failed",), ("flushed",), ("begun", 0), ("ended", 0, 800), ("flushed",)]
    assert bad.flushed
    assert bad.segmenter is None


async def test_a_round_that_fails_is_made_up_for_when_ears_run_again(track, marks) -> None:
    handler = Handler()
    rounds = Segmenting(handler)
    closed = [TrackListener(track(name, pcm=np.ones(800, np.int16)), 0, rounds.changed) for name in ("one", "two")]
    for listener in closed:
        listener.segmenter = marks()
        listener.close(800)
    flushed = handler.flushed

    def crash(listener: TrackListener) -> None:
        raise ZeroDivisionError

    handler.flushed = crash
    with pytest.raises(ZeroDivisionError):
        await rounds.run()
    handler.flushed = flushed
    task = asyncio.create_task(rounds.run())
    while not all(listener.flushed for listener in closed):
        handler.end.clear()
        await handler.end.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert handler.said.count(("ended", 0, 800)) == 2


async def test_a_call_that_is_merged_while_its_audio_is_read_is_read_again(track) -> None:
    line = track(pcm=np.arange(10, dtype=np.int16))
    plain, reads = line.read, []

    def merges(start: int, stop: int) -> np.ndarray:
        reads.append(line.call)
        if len(reads) == 1:
            line.call = "the other"
            return np.full(stop - start, -1, np.int16)
        return plain(start, stop)

    line.read = merges
    assert (await read(line, 2, 5)).tolist() == [2, 3, 4]
    line.call, reads[:] = "call", []
    assert (await listeners.read_many([(line, 2, 5)]))[0].tolist() == [2, 3, 4]
    assert reads == ["call", "the other"]
