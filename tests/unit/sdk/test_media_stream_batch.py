from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from vcond.sdk.media_stream.batch import HOLD, LISTEN_EVERY, LISTEN_FIRST, MOST, TOGETHER, TURNS, Batch, Pulse
from vcond.testing.time import NOON, run_virtual

AUDIO = b'{"event":"media","n":%d}'


class Stream:
    """Notes what it is fed, and when."""

    def __init__(self, started=True, code=0, stamped=True) -> None:
        self.started, self.code, self.stamped = started, code, stamped
        self.audio, self.replies = b'{"event":"media"', []
        self.fed: list[tuple[bytes, int]] = []
        self.times: list[float] = []
        self.ended = None

    def feed(self, raw, arrived):
        self.fed.append((raw, arrived))
        self.times.append(asyncio.get_running_loop().time())
        return self.code

    def feed_all(self, messages):
        for raw, arrived in messages:
            self.feed(raw, arrived)
        return self.code

    def gone(self, at, *, clean):
        self.ended = (at, len(self.fed))


class Socket:
    """A transport that is read or not; a peer says something every 10 ms, which comes when it is read."""

    def __init__(self) -> None:
        self.reading, self.closing, self.sent, self.waiting = True, False, 0, []

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        assert not self.closing
        self.reading = False

    def resume_reading(self):
        assert not self.closing
        self.reading = True

    async def talk(self, batch, beats):
        """Returns when each message was read, in beats, and whether it was alone."""
        loop, read = asyncio.get_running_loop(), []
        for _ in range(round(beats * HOLD / 0.01)):
            await asyncio.sleep(0.01)
            self.waiting.append(AUDIO % self.sent)
            self.sent += 1
            if self.reading:
                now, self.waiting = self.waiting, []
                for raw in now:
                    batch.text(raw, NOON + round(loop.time() * 1e9))
                read.append(len(now))
        return read


def virtual(test):
    def run():
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@virtual
async def test_audio_waits_a_moment_and_keeps_its_order_and_arrival():
    stream = Stream()
    batch = Batch(stream, Pulse())
    for number in range(3):
        assert batch.text(AUDIO % number, NOON + number) == 0
        await asyncio.sleep(0.02)
    assert stream.fed == []
    await asyncio.sleep(HOLD)
    assert stream.fed == [(AUDIO % number, NOON + number) for number in range(3)]
    assert stream.times == pytest.approx([HOLD] * 3)
    batch.gone(NOON)


@virtual
async def test_what_is_not_audio_is_taken_at_once_after_what_waits():
    stream = Stream()
    batch = Batch(stream, Pulse())
    batch.text(AUDIO % 1, NOON)
    batch.text(b'{"event":"dtmf"}', NOON)
    assert [raw for raw, _ in stream.fed] == [AUDIO % 1, b'{"event":"dtmf"}']
    batch.gone(NOON)


@virtual
async def test_audio_before_the_start_is_taken_at_once():
    stream = Stream(started=False)
    batch = Batch(stream, Pulse())
    batch.text(AUDIO % 1, NOON)
    assert len(stream.fed) == 1
    batch.gone(NOON)


@virtual
async def test_no_more_than_so_many_messages_wait():
    stream = Stream()
    batch = Batch(stream, Pulse())
    for number in range(MOST):
        batch.text(AUDIO % number, NOON)
    assert len(stream.fed) == MOST
    batch.gone(NOON)


@virtual
async def test_a_socket_that_is_gone_loses_nothing():
    stream = Stream()
    batch = Batch(stream, Pulse())
    batch.text(AUDIO % 1, NOON)
    batch.gone(NOON + 5)
    assert stream.ended == (NOON + 5, 1)
    await asyncio.sleep(2 * HOLD)
    assert len(stream.fed) == 1


@virtual
async def test_a_close_code_found_while_waiting_is_told_at_the_next_message():
    stream = Stream(code=1008)
    batch = Batch(stream, Pulse())
    assert batch.text(AUDIO % 1, NOON) == 0
    await asyncio.sleep(2 * HOLD)
    assert batch.text(b"{}", NOON) == 1008
    assert batch.text(AUDIO % 2, NOON) == 1008
    batch.gone(NOON)


@virtual
async def test_streams_of_a_turn_are_worked_through_with_one_beat_and_a_fault_holds_no_other_up():
    class Broken(Stream):
        def feed_all(self, messages):
            raise RuntimeError("broken")

    said, pulse = [], Pulse()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["exception"]))
    streams = [Stream() if number % 3 else Broken() for number in range(3 * TOGETHER * TURNS)]
    batches = [Batch(stream, pulse) for stream in streams]
    for batch in batches:
        batch.text(AUDIO % 1, NOON)
    await asyncio.sleep(1.01 * HOLD)
    assert [len(stream.fed) for stream in streams] == [int(number % 3 > 0) for number in range(len(streams))]
    assert {round(when, 6) for stream in streams[::TURNS] for when in stream.times} == {HOLD}
    assert [type(why) for why in said] == [RuntimeError] * len(streams[::3])
    batches[1].text(AUDIO % 2, NOON)
    await asyncio.sleep(HOLD)
    assert len(streams[1].fed) == 2


@virtual
async def test_streams_have_their_beats_in_turns_and_are_apart_again_after_a_loop_that_was_late():
    pulse, loop = Pulse(), asyncio.get_running_loop()
    streams = [Stream() for _ in range(3 * TURNS)]
    batches = [Batch(stream, pulse) for stream in streams]

    async def beats() -> list[float]:
        for batch in batches:
            batch.text(AUDIO % 1, NOON)
        begun = loop.time()
        await asyncio.sleep(1.01 * HOLD)
        return sorted({round(stream.times[-1] - begun, 6) for stream in streams})

    apart = [round(HOLD * turn / TURNS, 6) for turn in range(1, TURNS + 1)]
    assert await beats() == apart
    for batch in batches:
        batch._turn._due -= 7.003 * HOLD  # as after so long without a turn of the loop
    await asyncio.sleep(0.004 * HOLD)
    late = await beats()
    assert len(late) == TURNS
    assert max(late) <= HOLD
    assert min(b - a for a, b in pairwise(late)) == pytest.approx(HOLD / TURNS, abs=1e-5)


@virtual
async def test_audio_that_says_when_it_was_spoken_waits_in_its_socket_but_for_one_beat_of_so_many():
    stream, socket = Stream(), Socket()
    batch = Batch(stream, Pulse(), socket)
    read = await socket.talk(batch, LISTEN_FIRST)
    assert set(read) == {1}
    assert len(read) == round(LISTEN_FIRST * HOLD / 0.01)
    read = await socket.talk(batch, 4 * LISTEN_EVERY)
    assert len(read) < socket.sent // 5
    assert 3 <= sum(size == 1 for size in read) / 10 <= 5
    batch.gone(NOON)
    assert [raw for raw, _ in stream.fed] == [AUDIO % number for number in range(socket.sent - len(socket.waiting))]


@virtual
async def test_what_waited_in_the_socket_is_handed_on_as_soon_as_all_of_it_is_read():
    stream, socket = Stream(), Socket()
    batch = Batch(stream, Pulse(), socket)
    await socket.talk(batch, LISTEN_FIRST + 2)
    read = 0
    while not read:
        fed = len(stream.fed)
        read = sum(await socket.talk(batch, 0.1))
        await asyncio.sleep(0)
    assert read > 5
    assert len(stream.fed) == fed + read
    batch.gone(NOON)


@virtual
async def test_audio_that_only_its_arrival_places_is_always_read_as_it_comes():
    stream, socket = Stream(stamped=False), Socket()
    batch = Batch(stream, Pulse(), socket)
    assert set(await socket.talk(batch, 3 * LISTEN_EVERY)) == {1}
    batch.gone(NOON)


@virtual
async def test_a_socket_that_is_done_is_read_to_its_end():
    stream, socket = Stream(), Socket()
    batch = Batch(stream, Pulse(), socket)
    await socket.talk(batch, LISTEN_FIRST + 2)
    while socket.reading:
        await socket.talk(batch, 0.1)
    batch.gone(NOON)
    assert socket.reading
    socket.closing = True
    await asyncio.sleep(2 * HOLD)
