from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.media.codecs import Codec, decode, encode
from vcond.media.placement.clocks import MillisClock
from vcond.media.placement.timeline import Timeline
from vcond.sdk.contract import Instant
from vcond.sdk.media_stream import Frame
from vcond.sdk.media_stream.join import LONGEST, MOST, Joiner
from vcond.testing.sounds import voice

MILLI = 1_000_000


def frame(chunk, timestamp=None, track="inbound", samples=160):
    stamp = 20 * (chunk - 1) if timestamp is None else timestamp
    return Frame(track, chunk, stamp, bytes([chunk % 256]) * samples), Instant(20 * MILLI * chunk)


def shape(joined):
    return [(b.track, b.chunk, b.timestamp, len(b.payload), arrived // MILLI) for b, arrived in joined]


def test_frames_that_follow_one_another_become_one():
    assert shape(Joiner().join([frame(n) for n in range(1, 6)])) == [("inbound", 1, 0, 800, 100)]


def test_the_least_delayed_part_says_when_a_joined_frame_arrived():
    parts = [(frame(n)[0], Instant((20 * n + late) * MILLI)) for n, late in ((1, 0), (2, 60), (3, 45))]
    assert shape(Joiner().join(parts)) == [("inbound", 1, 0, 480, 60)]
    assert shape(Joiner().join(parts[1:])) == [("inbound", 2, 20, 320, 105)]


def test_two_tracks_are_joined_each_for_itself():
    both = [frame(n, track=track) for n in range(1, 4) for track in ("inbound", "outbound")]
    assert shape(Joiner().join(both)) == [("inbound", 1, 0, 480, 60), ("outbound", 1, 0, 480, 60)]


def test_numbers_go_on_over_batches_and_only_lost_frames_leave_gaps():
    joiner = Joiner()
    numbers = [
        [body.chunk for body, _ in joiner.join([frame(n) for n in batch])]
        for batch in (range(1, 6), range(6, 11), (13, 14), (15,), (16, 18, 19))
    ]
    assert numbers == [[1], [2], [5], [6], [7, 9]]


def test_a_gap_in_time_is_not_joined_and_a_rounded_stamp_is():
    joined = Joiner().join([frame(1, 0), frame(2, 21), frame(3, 39), frame(4, 100), frame(5, 120)])
    assert [(body.timestamp, len(body.payload)) for body, _ in joined] == [(0, 480), (100, 320)]


def test_what_comes_again_or_before_its_turn_is_not_joined():
    joined = Joiner().join([frame(1), frame(2), frame(2), frame(1), frame(3)])
    assert [len(body.payload) for body, _ in joined] == [480, 160, 160]
    assert [body.chunk for body, _ in joined] == [1, 1, 1]


def test_a_frame_that_comes_late_has_the_number_between_those_that_were_joined_without_it():
    joiner = Joiner()
    numbers = [
        [body.chunk for body, _ in joiner.join([frame(n) for n in batch])]
        for batch in ((1, 2, 4, 5), (3, 6, 7), (10, 11), (9, 8, 12), (100, 101), (1, 2, 3), (4,))
    ]
    assert [body.chunk for body, _ in Joiner().join([frame(n) for n in (1, 2, 4, 5, 3, 6)])] == [1, 2, 3]
    assert numbers == [[1, 3], [2, 4], [7], [5, 6, 8], [96], [-4], [-3]]


def test_tracks_of_which_numbers_are_kept_are_bounded():
    joiner = Joiner()
    joiner.join([frame(1, track=f"t{n}") for n in range(10 * MOST)])
    assert len(joiner._numbers) == MOST


def test_a_joined_frame_stays_short():
    joined = Joiner().join([frame(n, 1000 * (n - 1), samples=8000) for n in range(1, 6)])
    assert max(len(body.payload) for body, _ in joined) == 8 * LONGEST


@settings(max_examples=40, deadline=None)
@given(
    lost=st.sets(st.integers(2, 97), max_size=25),
    sizes=st.lists(st.integers(1, 12), min_size=100, max_size=100),
    late=st.lists(st.integers(0, 60), min_size=100, max_size=100),
)
def test_joined_or_not_the_audio_lies_in_the_same_place(lost, sizes, late):
    """Losses at will and delays of up to 60 ms: nobody can hear, or see in the spans of loss, what was joined."""
    said = encode(Codec.PCMU, voice(1, 2.0))
    frames, arrived = [], 0
    for n in range(100):
        arrived = max(arrived, (20 * (n + 1) + (late[n] if n else 0)) * MILLI)
        if n not in lost:
            frames.append((Frame("inbound", n + 1, 20 * n, said[160 * n : 160 * (n + 1)]), Instant(arrived)))
    joiner, batches, rest = Joiner(), [], list(frames)
    for size in sizes:
        batches += joiner.join(rest[:size])
        rest = rest[size:]
    assert placed(frames) == placed(batches)


@pytest.mark.parametrize("seed", range(12))
def test_joined_or_not_what_comes_out_of_order_lies_where_it_belongs(seed):
    """Each eighth frame or so up to four places late, in batches of a tenth of a second."""
    chance, said = random.Random(seed), encode(Codec.PCMU, voice(1, 2.0))
    later = {chance.randrange(12, 92): chance.randint(1, 4) for _ in range(10)}
    frames, arrived = [], 0
    for n in sorted(range(100), key=lambda n: (n + later.get(n, 0), n in later)):
        arrived = max(arrived, 20 * (n + 1 + (0 if n in later else 4)) * MILLI)  # all are a little late
        frames.append((Frame("inbound", n + 1, 20 * n, said[160 * n : 160 * (n + 1)]), Instant(arrived)))
    joiner, batches, rest = Joiner(), [], list(frames)
    while rest:
        size = chance.randint(1, 6)
        batches += joiner.join(rest[:size])
        rest = rest[size:]
    assert placed(frames) == placed(batches)
    assert placed(batches)[1] == []


def placed(frames):
    timeline, audio = Timeline(8000, MillisClock()), np.zeros(20_000, np.int16)
    pieces = []
    for body, arrived in frames:
        pieces += timeline.push(decode(Codec.PCMU, body.payload), arrived=arrived, stamp=body.timestamp, seq=body.chunk)
    pieces += timeline.close(2_000 * MILLI)
    for piece in pieces:
        audio[piece.start : piece.start + len(piece.pcm)] = piece.pcm
    return audio.tobytes(), [span for span in timeline.spans() if span[2] == "lost"], timeline.end
