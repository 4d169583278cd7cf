"""Promise 1 for RTP: a simulated sender with a known truth, through a bad network, the receiver and a real track.

On one clock without jitter every frame lies exactly where it was spoken. With jitter and a sender's clock that is off,
within 60 ms.
"""

from __future__ import annotations

import numpy as np
import pytest
import rtp_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_kit import FRAME, HERE, MS, THERE, Party, loud, rtp

from vcond.call.events import BUTTONS

FRAME_NS = 20 * MS
SEQ = st.one_of(st.integers(0, 65535), st.integers(65300, 65535))
STAMP = st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 40_000, 2**32 - 1))
FAST = settings(max_examples=50, deadline=None)


def spoken(first: int, count: int, *, at: int, seq: int, stamp: int, ssrc: int = 7, pt: int = 96, wide: int = 1):
    """Frames ``first`` to ``first + count`` from ``at`` on: a dict of index to (arrival, datagram, source)."""
    return {
        first + i: (
            at + (i + 1) * FRAME_NS,
            rtp(seq + i, stamp + i * FRAME * wide, loud(first + i, FRAME * wide), ssrc=ssrc, pt=pt),
            HERE,
        )
        for i in range(count)
    }


def check_exact(party: Party, indices, at: int = 0) -> None:
    """Each frame lies once, where it was spoken; none that was not is there."""
    assert party.sounds() == {index: [at * 8 // MS + index * FRAME] for index in indices}


@FAST
@given(seq=SEQ, stamp=STAMP, data=st.data())
def test_what_is_lost_late_or_double_leaves_everything_else_where_it_was_spoken(seq, stamp, data):
    frames = spoken(0, 300, at=0, seq=seq, stamp=stamp)
    lost = data.draw(st.sets(st.integers(20, 297), max_size=60))
    late = data.draw(st.dictionaries(st.integers(20, 298), st.integers(25, 170), max_size=40))
    double = data.draw(st.dictionaries(st.integers(1, 298), st.integers(0, 400), max_size=40))
    sent = []
    for index, (at, datagram, source) in frames.items():
        if index in lost:
            continue
        arrived = at + late.get(index, 0) * MS
        sent.append((arrived, datagram, source))
        if index in double:
            sent.append((arrived + double[index] * MS, datagram, source))
    party = Party()
    party.play(sent, 6_500 * MS)
    check_exact(party, set(range(300)) - lost)
    kinds = party.kinds()
    assert kinds["received"] == (300 - len(lost)) * FRAME
    assert kinds["lost"] == len(lost) * FRAME + 500 * 8  # the end of the call, of which nothing was heard
    assert "silent" not in kinds
    stats = party.receiver.stats
    assert (stats.packets, stats.lost, stats.double) == (300 - len(lost), len(lost), len(double.keys() - lost))
    assert party.host.faults == []


@FAST
@given(seq=SEQ, stamp=STAMP, data=st.data())
def test_what_was_not_sent_is_silent_and_what_did_not_come_is_lost(seq, stamp, data):
    """DTX: the stamp jumps and the number does not. Loss: both do. Also both at once."""
    gaps = data.draw(st.dictionaries(st.integers(30, 190), st.integers(2, 400), max_size=4))
    lost = data.draw(st.sets(st.integers(30, 195), max_size=30))
    sent, truth, at = [], {}, 0
    for index in range(200):
        at += gaps.get(index, 0) * FRAME_NS
        truth[index] = at // MS * 8
        at += FRAME_NS
        if index not in lost:
            datagram = rtp(seq + index, stamp + truth[index], loud(index), pt=96, marker=index in gaps)
            sent.append((at, datagram, HERE))
    party = Party()
    party.play(sent, at)
    assert party.sounds() == {index: [place] for index, place in truth.items() if index not in lost}
    kinds = party.kinds()
    assert kinds.get("silent", 0) == sum(gaps.values()) * FRAME
    assert kinds.get("lost", 0) == len(lost) * FRAME


@FAST
@given(data=st.data(), cuts=st.lists(st.integers(15, 60), min_size=2, max_size=6))
def test_a_new_ssrc_moves_and_loses_nothing(data, cuts):
    sent, index = [], 0
    for number, count in enumerate(cuts):
        frames = spoken(index, count, at=index * FRAME_NS, seq=data.draw(SEQ), stamp=data.draw(STAMP), ssrc=number + 1)
        sent += frames.values()
        # strays of the stream before, and somebody who guesses
        if number:
            sent.append((index * FRAME_NS + 250 * MS, rtp(data.draw(SEQ), 0, loud(20_000), ssrc=number, pt=96), HERE))
        sent.append((index * FRAME_NS + 130 * MS, rtp(9, 0, loud(20_001), ssrc=99 + number, pt=96), THERE))
        index += count
    party = Party()
    party.play(sent, index * FRAME_NS + 300 * MS)
    check_exact(party, range(index))
    assert len(party.call.state.tracks) == len(cuts)
    assert party.kinds()["received"] == index * FRAME


@FAST
@given(seq=SEQ, stamp=STAMP, cuts=st.lists(st.integers(15, 60), min_size=2, max_size=6), data=st.data())
def test_a_new_payload_type_moves_and_loses_nothing_but_what_is_late_for_its_begin(seq, stamp, cuts, data):
    sent, index, edges = [], 0, set()
    for number, count in enumerate(cuts):
        wide = number % 2 + 1
        frames = spoken(
            index, count, at=index * FRAME_NS, seq=seq + index, stamp=stamp, pt=96 if wide == 1 else 98, wide=wide
        )
        sent += frames.values()
        index += count
        edges |= set(range(index - 12, index + 12))
    late = data.draw(st.sets(st.integers(12, index - 12), max_size=10)) - edges
    sent = [(at + 110 * MS if (at // FRAME_NS - 1) in late else at, datagram, source) for at, datagram, source in sent]
    party = Party()
    party.play(sent, index * FRAME_NS + 300 * MS)
    check_exact(party, range(index))
    assert len(party.call.state.tracks) == len(cuts)
    assert party.kinds() == {"received": index * FRAME, "lost": 300 * 8}


@FAST
@given(seq=SEQ, stamp=STAMP, data=st.data())
def test_keys_are_told_once_and_move_no_audio(seq, stamp, data):
    """A key takes numbers while the stamp of its packets stands; the sender says nothing meanwhile."""
    presses = data.draw(st.lists(st.tuples(st.integers(0, 15), st.integers(3, 12)), min_size=1, max_size=6))
    sent, truth, told = [], {}, []
    at, index = 0, 0
    for button, length in presses:
        for _ in range(15):
            truth[index] = at // MS * 8
            at += FRAME_NS
            sent.append((at, rtp(seq, stamp + truth[index], loud(index), pt=96), HERE))
            seq, index = seq + 1, index + 1
        down = at
        kept = 0
        for i in range(length + 2):
            arrived = down + (min(i, length - 1) + 1) * FRAME_NS
            payload = kit.event(button, (min(i, length - 1) + 1) * FRAME, end=i >= length - 1)
            if data.draw(st.integers(0, 3)) or (i == length + 1 and not kept):
                sent.append((arrived, rtp(seq, stamp + down // MS * 8, payload, pt=101), HERE))
                kept += 1
            seq += 1
        told.append((list(BUTTONS)[button], down))
        at = down + length * FRAME_NS
    party = Party()
    party.play(sent, at + 500 * MS)
    assert [(key.button, key.at - kit.NOON) for key in party.keys] == told
    assert party.sounds() == {number: [place] for number, place in truth.items()}


@pytest.mark.parametrize("ppm", [-200, -37, 0, 200])
def test_a_senders_clock_that_is_off_is_followed(ppm):
    """Five minutes, 1 % loss, 2 % late, jitter of 15 ms: every frame within 60 ms, and the track as long as the call."""
    rng = np.random.default_rng(ppm + 1000)
    count = 15_000
    lost = set(rng.choice(np.arange(20, count - 1), count // 100, replace=False).tolist())
    sent, truth = [], {}
    for index in range(count):
        began = round(index * FRAME_NS / (1 + ppm / 1e6))
        truth[index] = began * 8 // MS
        if index not in lost:
            late = int(rng.integers(0, 15 * MS)) + (100 * MS if rng.random() < 0.02 else 0)
            sent.append((began + FRAME_NS + late, rtp(index + 65_000, index * FRAME, loud(index), pt=96), HERE))
    party = Party()
    end = round(count * FRAME_NS / (1 + ppm / 1e6)) + 20 * MS
    party.play(sent, end)
    places = party.sounds()
    assert set(places) == set(range(count)) - lost
    for index, at in places.items():
        assert len(at) == 1
        assert abs(at[0] - truth[index]) <= 60 * 8, index
    assert abs(party.kinds()["lost"] - len(lost) * FRAME) <= 80 * 8  # 60 ms of them are the clocks' difference
    assert party.receiver.stats.lost == len(lost)
