"""Packets that came together are looked at column by column: of it comes what comes of them one by one."""

from __future__ import annotations

import pytest
import rtp_kit as kit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rtp_kit import FRAME, HERE, MS, THERE, rtp, stream

from vcond.media.rtp.sources import Feed
from vcond.media.rtp.together import SLOT, Together, side_by_side


def together(datagrams) -> Together[int]:
    buffer = bytearray(len(datagrams) * SLOT)
    for at, (datagram, _, _) in enumerate(datagrams):
        buffer[at * SLOT : at * SLOT + len(datagram)] = datagram
    sizes = [len(datagram) for datagram, _, _ in datagrams]
    return Together(memoryview(buffer), sizes, [one[1] for one in datagrams], [one[2] for one in datagrams])


def outcome(turns, form=list):
    """What a receiver and its owner know after these turns."""
    receiver, owner = kit.make()
    for turn in turns:
        receiver.feed_all(form(turn))
    receiver.tick(turns[-1][-1][2] + 100 * MS)
    feed = receiver.source
    known = feed and (feed.stamp, feed.sound, feed.jitter, feed.sequence.next, feed.sequence.highest)
    frames = [writer.frames for writer in owner.writers]
    return frames, receiver.stats, known, [one.ssrc for one in owner.streams], len(owner.keys), owner.silences


@pytest.fixture
def wholes(monkeypatch) -> list[bool]:
    """Whether each run was handed on as a whole."""
    said, real = [], Feed.whole

    def noted(self, came):
        said.append(real(self, came))
        return said[-1]

    monkeypatch.setattr(Feed, "whole", noted)
    return said


@pytest.fixture(params=[together, side_by_side])
def form(request):
    """How they lie side by side."""
    return request.param


def test_a_plain_run_is_handed_on_as_a_whole(form, wholes):
    turns = [stream(0, 1), stream(1, 9), stream(10, 10)]
    assert outcome(turns, form) == outcome(turns)
    assert wholes == [True, True]


TAG = b"good"


def opener(buffer, sizes, slot):
    """Takes a tag away from each; what has none is nothing."""
    ends = [at * slot + size for at, size in enumerate(sizes)]
    good = [buffer[end - len(TAG) : end] == TAG for end in ends]
    return [size - len(TAG) if well else -1 for size, well in zip(sizes, good, strict=True)]


def test_what_is_opened_where_it_lies_is_handed_on_as_a_whole(wholes):
    turns = [stream(0, 1), stream(1, 9), stream(10, 10)]
    sealed = [[(datagram + TAG, *more) for datagram, *more in turn] for turn in turns]
    assert outcome(sealed, lambda turn: together(turn).opened(opener)) == outcome(turns)
    assert wholes == [True, True]


def test_what_cannot_be_opened_is_left_out():
    came = together([(b"one" + TAG, HERE, 1), (b"two", HERE, 2), (TAG, THERE, 3), (b"three" + TAG, THERE, 4)])
    assert came.seconds() == b"nwoh"
    assert len(came) == 4
    assert list(came.opened(opener)) == [(b"one", HERE, 1), (b"", THERE, 3), (b"three", THERE, 4)]
    assert list(together([(b"two", HERE, 2)]).opened(opener)) == []


CHANGES = {
    "marked": lambda one: (rtp(5, 5 * FRAME, marker=True), *one[1:]),
    "padded": lambda one: (rtp(5, 5 * FRAME, bytes(FRAME - 1) + b"\x05", first=0xA0), *one[1:]),
    "another type": lambda one: (rtp(5, 5 * FRAME, pt=8), *one[1:]),
    "an unknown type": lambda one: (rtp(5, 5 * FRAME, pt=77), *one[1:]),
    "another source": lambda one: (rtp(5, 5 * FRAME, ssrc=8), *one[1:]),
    "another number": lambda one: (rtp(6, 5 * FRAME), *one[1:]),
    "another stamp": lambda one: (rtp(5, 5 * FRAME + 1), *one[1:]),
    "another size": lambda one: (rtp(5, 5 * FRAME, bytes(80)), *one[1:]),
    "cut": lambda one: (rtp(5, 5 * FRAME, bytes(SLOT - 12)), *one[1:]),
    "a header alone": lambda one: (rtp(5, 5 * FRAME, b""), *one[1:]),
    "too short": lambda one: (b"\x80\x00", *one[1:]),
    "nothing": lambda one: (b"", *one[1:]),
    "another address": lambda one: (one[0], THERE, one[2]),
    "RTCP": lambda one: (kit.bye(7).ljust(FRAME + 12, b"\0"), *one[1:]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_plain_has_every_packet_looked_at(change, form, wholes):
    turn = stream(1, 9)
    turn[4] = CHANGES[change](turn[4])
    turns = [stream(0, 1), turn, stream(10, 10)]
    assert outcome(turns, form) == outcome(turns)
    assert sum(wholes) <= 1  # the turn after it, at most


def test_the_same_where_all_of_a_turn_is_too_large_or_cannot_be_joined(form, wholes):
    for more in (
        {"payload": bytes(SLOT - 12)},
        {"payload": b""},
        {"pt": 97, "payload": b"opus"},
        {"pt": 96, "payload": bytes(161)},
    ):
        turns = [stream(0, 1, pt=more.get("pt", 0)), stream(1, 9, **more)]
        assert outcome(turns, form) == outcome(turns)
    assert wholes == [False] * 4


def test_more_than_can_be_joined_comes_in_several_frames(form, wholes):
    turns = [stream(0, 1), stream(1, 30)]
    assert outcome(turns, form) == outcome(turns)
    assert wholes == [False]


@settings(max_examples=200, deadline=None)
@given(
    base=st.one_of(st.integers(0, 65_535), st.integers(65_500, 65_535)),
    start=st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 5000, 2**32 - 1)),
    gone=st.sets(st.integers(0, 79), max_size=8),
    swapped=st.lists(st.integers(0, 60), max_size=6),
    delays=st.lists(st.integers(0, 60), min_size=80, max_size=80),
    cuts=st.lists(st.integers(1, 12), min_size=80, max_size=80),
)
@example(base=65_530, start=2**32 - 800, gone=set(), swapped=[], delays=[0] * 80, cuts=[10] * 80)
def test_one_by_one_and_together_give_the_same(base, start, gone, swapped, delays, cuts):
    sent = [rtp(base + i, start + i * FRAME) for i in range(80) if i not in gone]
    for at in swapped:
        sent[at], sent[at + 1] = sent[at + 1], sent[at]
    came, at = [], 0
    for i, (datagram, delay) in enumerate(zip(sent, delays, strict=False)):
        at = max(at, (20 * i + delay) * MS)
        came.append((datagram, HERE, at))
    turns = []
    for cut in cuts:
        if came:
            turns.append(came[:cut])
            came = came[cut:]
    assert outcome(turns, together) == outcome(turns, side_by_side) == outcome(turns)
