from __future__ import annotations

import asyncio

import pytest

from vcond.sdk.media_stream.batch import HOLD, MOST, TOGETHER, Batch, Pulse
from vcond.testing.time import NOON, run_virtual

AUDIO = b'{"event":"media","n":%d}'


class Stream:
    """Notes what it is fed, and when."""

    def __init__(self, started=True, code=0) -> None:
        self.started, self.code = started, code
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
async def test_all_streams_are_worked_through_with_one_beat_and_a_fault_holds_no_other_up():
    class Broken(Stream):
        def feed_all(self, messages):
            raise RuntimeError("broken")

    said, pulse = [], Pulse()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["exception"]))
    streams = [Stream() if number % 3 else Broken() for number in range(3 * TOGETHER)]
    batches = [Batch(stream, pulse) for stream in streams]
    for batch in batches:
        batch.text(AUDIO % 1, NOON)
        await asyncio.sleep(0.0005)
    await asyncio.sleep(HOLD)
    assert [len(stream.fed) for stream in streams] == [int(number % 3 > 0) for number in range(3 * TOGETHER)]
    assert {round(when, 6) for stream in streams for when in stream.times} == {HOLD}
    assert {type(why) for why in said} == {RuntimeError}
    batches[1].text(AUDIO % 2, NOON)
    await asyncio.sleep(HOLD)
    assert len(streams[1].fed) == 2
