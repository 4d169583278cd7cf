"""Examples: AudioSocket, RTP and Twilio as they really come (spec: asterisk 2 and 5, realtime 3 and 4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vcond.media.codecs import Codec, decode
from vcond.media.placement.clocks import ArrivalClock, MillisClock, RtpClock
from vcond.media.placement.timeline import Timeline

RATE = 8000
FRAME = 160
MS = 1_000_000
LOUD = np.full(FRAME, 3000, np.int16)
CLOCKS = [ArrivalClock(), MillisClock(), RtpClock(RATE)]


def stamp_of(clock, i):
    return {ArrivalClock: None, MillisClock: i * 20, RtpClock: (4294966000 + i * FRAME) % 2**32}[type(clock)]


def seq_of(clock, i):
    return {ArrivalClock: None, MillisClock: i + 1, RtpClock: (65530 + i) % 65536}[type(clock)]


class Line:
    """A timeline and all that came out of it."""

    def __init__(self, clock, rate=RATE):
        self.clock, self.line, self.placed, self.spans = clock, Timeline(rate, clock), [], []

    def frame(self, i, *, at=None, pcm=LOUD, **given):
        """Frame ``i`` of a steady stream, at the moment it was spoken or later (ms)."""
        arrived = (20 * (i + 1) if at is None else at) * MS
        numbers = {"stamp": stamp_of(self.clock, i), "seq": seq_of(self.clock, i), **given}
        out = self.line.push(pcm, arrived=arrived, **numbers)
        self.placed += out
        self.spans += self.line.spans()
        return out

    def frames(self, indices, **given):
        for i in indices:
            self.frame(i, **given)

    def idle(self, at):
        self.placed += self.line.idle(at * MS)
        self.spans += self.line.spans()

    def close(self, at):
        self.placed += self.line.close(at * MS)
        self.spans += self.line.spans()
        return [(start * 1000 / RATE, stop * 1000 / RATE, kind) for start, stop, kind in joined(self.spans)]

    def where(self):
        return [start * 1000 / RATE for start, _ in self.placed]


def joined(spans):
    out = []
    for start, stop, kind in spans:
        if out and out[-1][2] == kind and out[-1][1] == start:
            out[-1] = (out[-1][0], stop, kind)
        else:
            out.append((start, stop, kind))
    return out


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_frame_that_arrived_at_t_holds_what_was_before_t(clock):
    line = Line(clock)
    line.frames(range(20))
    assert line.close(400) == [(0, 400, "received")]
    assert line.where() == [20 * i for i in range(20)]
    assert line.line.end == 20 * FRAME


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_first_frames_wait_until_the_least_delay_is_known(clock):
    line = Line(clock)
    line.frame(0, at=170)
    line.frames(range(1, 8), at=175)
    assert line.placed == []
    line.frames(range(8, 20))
    line.close(400)
    # frame 8 was the first in time: had the first been placed at once, all would be late by 150 ms
    assert line.where()[:3] == [0, 20, 40]
    assert line.line.trimmed == 0


@pytest.mark.parametrize("clock", CLOCKS)
def test_first_frames_do_not_wait_for_ever(clock):
    line = Line(clock)
    line.frame(0)
    line.idle(200)
    assert line.placed == []
    line.idle(230)
    assert line.where() == [0]


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_burst_of_two_seconds_at_the_start_is_put_before_its_arrival(clock):
    line = Line(clock)
    line.frames(range(100), at=2000)
    line.frames(range(100, 200))
    assert line.close(4000) == [(0, 4000, "received")]
    assert line.where()[::50] == [0, 1000, 2000, 3000]


@pytest.mark.parametrize("clock", [ArrivalClock(), RtpClock(RATE)])
def test_a_burst_too_long_to_hold_is_corrected_soon(clock):
    line = Line(clock)
    line.frames(range(1750), at=35_000)
    line.frames(range(1750, 2150))
    line.close(43_000)
    assert max(start * 1000 / RATE for start, _ in line.placed) <= 35_000 + 8000
    assert abs(line.line.end - 43 * RATE) <= FRAME
    assert (line.line.overflow > 0, line.line.trimmed >= 4 * RATE) == (True, True)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("stall", [1000, 3050, 8000, 29_000])
def test_what_stood_from_the_first_frame_on_lies_where_it_was_said(clock, stall):
    line, n = Line(clock), stall // 20
    line.frames(range(n), at=stall)
    line.frames(range(n, n + 400))
    assert line.close(20 * n + 8000) == [(0, 20 * n + 8000, "received")]
    assert line.where() == [20 * i for i in range(n + 400)]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("stall", [60, 180, 1000, 4000, 9000])
def test_a_stall_and_its_burst_leave_no_trace(clock, stall):
    line = Line(clock)
    for i in range(800):
        line.frame(i, at=max(20 * (i + 1), stall + 5000) if i >= 249 else None)
    assert line.close(16_000) == [(0, 16_000, "received")]
    assert line.where() == [20 * i for i in range(800)]


@pytest.mark.parametrize("level", [50, 3000])
def test_a_counted_stream_that_stopped_has_a_gap(level):
    line, pcm = Line(ArrivalClock()), np.full(FRAME, level, np.int16)
    line.frames(range(100), pcm=pcm)
    line.frames(range(150, 250), pcm=pcm)
    assert line.close(5000) == [(0, 2000, "received"), (2000, 3000, "lost"), (3000, 5000, "received")]


def test_a_counted_stream_that_stopped_and_then_caught_up_in_part():
    line = Line(ArrivalClock())
    line.frames(range(100))
    # 2 s of nothing, of which the second half comes at once
    line.frames(range(150, 200), at=4000)
    line.frames(range(200, 400))
    spans = line.close(8000)
    assert sum(stop - start for start, stop, kind in spans if kind == "lost") == 1000
    assert line.where()[-1] == 7980


def test_twenty_milliseconds_of_asterisk_that_slip_are_made_up_for():
    line = Line(ArrivalClock())
    quiet = np.full(FRAME, 50, np.int16)
    for i in range(1000):
        # a frame too few after 5 s, one too many after 12 s
        at = 20 * (i + 1) + (20 if 250 <= i < 600 else 0)
        line.frame(i, at=at, pcm=quiet if i % 50 < 10 else LOUD)
    spans = line.close(20_000)
    assert sum(stop - start for start, stop, kind in spans if kind == "lost") == pytest.approx(20, abs=10)
    assert abs(line.where()[-1] - 19_980) <= 20
    assert all(len(pcm) == FRAME for _, pcm in line.placed if pcm[0] == 3000)


def test_what_was_wanted_before_a_stall_is_not_done_after_it():
    line = Line(ArrivalClock())
    for i in range(800):
        # a little late from 2 s on, which is not worth a cut; nothing from 5 s on, all of it at 7.5 s
        line.frame(i, at=max(20 * (i + 1) + (12 if i >= 100 else 0), 7500 if i >= 250 else 0))
    line.close(16_012)
    assert all(abs(where - 20 * i) <= 40 for i, where in enumerate(line.where()))


def test_a_correction_that_finds_no_silence_is_made_at_once():
    line = Line(ArrivalClock())
    for i in range(1500):
        line.frame(i, at=20 * (i + 1) + (100 if i >= 250 else 0))
    assert ("lost", 100) in [(kind, stop - start) for start, stop, kind in line.close(30_100)]
    wrong = [s for i, s in enumerate(line.where()) if i >= 250 and s != 20 * i + 100]
    assert max(wrong) <= 5000 + 5000


@pytest.mark.parametrize("clock", CLOCKS[1:])
def test_missing_numbers_are_lost_and_missing_time_is_silent(clock):
    line = Line(clock)
    line.frames(range(100))
    line.frames(range(110, 200))  # ten numbers less
    for i in range(200, 300):  # half a second that the source did not send
        ticks = 4000 if isinstance(clock, RtpClock) else 500
        line.frame(i, at=20 * (i + 1) + 500, stamp=(stamp_of(clock, i) + ticks) % 2**32)
    assert line.close(6500) == [
        (0, 2000, "received"),
        (2000, 2200, "lost"),
        (2200, 4000, "received"),
        (4000, 4500, "silent"),
        (4500, 6500, "received"),
    ]
    assert line.line.resyncs == 0


@pytest.mark.parametrize("clock", CLOCKS[1:])
def test_loss_within_a_pause_is_only_as_long_as_the_lost_frames(clock):
    line = Line(clock)
    line.frames(range(100))
    ticks = 4000 if isinstance(clock, RtpClock) else 500
    for i in range(102, 150):
        line.frame(i, at=20 * (i + 1) + 500, stamp=(stamp_of(clock, i) + ticks) % 2**32)
    spans = line.close(3500)
    assert [(stop - start, kind) for start, stop, kind in spans] == [
        (2000, "received"),
        (40, "lost"),
        (500, "silent"),
        (960, "received"),
    ]


def test_a_packet_without_samples_only_takes_its_number():
    line = Line(RtpClock(RATE))
    line.frames(range(50))
    line.frame(50, pcm=np.zeros(0, np.int16))  # comfort noise, then nothing for a second
    for i in range(51, 100):
        line.frame(i, at=20 * (i + 1) + 1000, stamp=(stamp_of(line.clock, i) + 8000) % 2**32)
    assert line.close(3000) == [(0, 1000, "received"), (1000, 2020, "silent"), (2020, 3000, "received")]


def test_packets_lost_before_one_without_samples_are_lost():
    line = Line(RtpClock(RATE))
    line.frames(range(50))
    line.frame(52, pcm=np.zeros(0, np.int16))
    for i in range(53, 100):
        line.frame(i, at=20 * (i + 1) + 1000, stamp=(stamp_of(line.clock, i) + 8000) % 2**32)
    assert line.close(3000) == [
        (0, 1000, "received"),
        (1000, 1040, "lost"),
        (1040, 2060, "silent"),
        (2060, 3000, "received"),
    ]


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("clock", CLOCKS[1:])
def test_the_pauses_of_a_source_absorb_its_skew(clock, ppm):
    line, seq, holes = Line(clock), 0, 0
    for i in range(30_000):
        if i % 200 < 150:  # three seconds of talk, then one of nothing
            line.frame(i, at=round(20 * (i + 1) / (1 + ppm / 1e6), 3), stamp=stamp_of(clock, i), seq=seq % 65536)
            seq += 1
    line.close(600_000)
    for (start, pcm), (later, _) in pairwise(line.placed):
        holes += 0 < later - start - len(pcm) < 4000
    assert (holes, line.line.trimmed) == (0, 0)
    assert abs(line.line.corrected) >= 600 * 200e-6 * RATE - 2 * 80


def test_millisecond_stamps_that_round_leave_no_holes():
    line, rate, n = Line(MillisClock(), 11_025), 11_025, 256
    pcm = np.full(n, 3000, np.int16)
    for i in range(500):
        line.frame(i, at=5 + round((i + 1) * n * 1000 / rate), stamp=round(i * n * 1000 / rate), pcm=pcm)
    line.close(round(500 * n * 1000 / rate))
    starts = [start for start, _ in line.placed]
    assert [b - a for a, b in pairwise(starts)] == [n] * 499


def test_twilios_first_messages():
    # realtime 4.1: chunk counts from 1, timestamp in ms from the stream's start, mu-law silence is 0xff
    line = Line(MillisClock())
    silence = decode(Codec.PCMU, b"\xff" * FRAME)
    for chunk, stamp in enumerate([5, 25, 45, 65, 85, 105, 125, 145, 165, 185, 205, 225], start=1):
        line.frame(0, at=1000 + stamp + 20, stamp=stamp, seq=chunk, pcm=silence if chunk < 7 else LOUD)
    assert line.close(1245) == [(1005, 1125, "silent"), (1125, 1245, "received")]


def test_rtp_of_a_wideband_codec_whose_clock_says_8000():
    # RFC 3551 section 4.5.2: G.722 is sampled at 16 kHz and stamped at 8
    line = Timeline(16_000, RtpClock(8000))
    pcm = np.full(320, 3000, np.int16)
    for i in range(100):
        line.push(pcm, arrived=20 * (i + 1) * MS, stamp=i * 160, seq=i)
    line.close(2000 * MS)
    assert line.end == 32_000
    assert line.spans() == [(0, 32_000, "received")]


@pytest.mark.parametrize("value", [0, 8, -8, 5])
def test_digital_silence_is_silent(value):
    line = Line(ArrivalClock())
    line.frames(range(50), pcm=np.full(FRAME, value, np.int16))
    assert line.close(1000) == [(0, 1000, "silent")]


@pytest.mark.parametrize("pcm", [np.full(FRAME, 9, np.int16), np.r_[np.zeros(FRAME - 1), 1].astype(np.int16)])
def test_the_least_noise_is_received(pcm):
    line = Line(ArrivalClock())
    line.frames(range(50), pcm=pcm)
    assert line.close(1000) == [(0, 1000, "received")]


@pytest.mark.parametrize("clock", CLOCKS)
def test_what_was_before_the_call_is_cut_off(clock):
    line = Line(clock)
    for i in range(50):
        line.frame(i, at=20 * (i + 1) - 510)
    spans = line.close(500)
    assert spans == [(0, 490, "received")]
    assert line.placed[0].start == 0
    assert len(line.placed[0].pcm) == FRAME // 2
    assert line.line.late == 0


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_party_that_joins_late_is_absent_before(clock):
    line = Line(clock)
    for i in range(50):
        line.frame(i, at=20 * (i + 1) + 60_000)
    assert line.close(61_000) == [(60_000, 61_000, "received")]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(("after", "tail"), [(10, []), (150, []), (300, ["lost"]), (60_000, ["lost"])])
def test_the_tail_is_lost_when_the_flow_stopped_before_the_end(clock, after, tail):
    line = Line(clock)
    line.frames(range(50))
    spans = line.close(1000 + after)
    assert [kind for _, _, kind in spans] == ["received", *tail]
    assert line.line.end == (1000 + after) * 8


def test_the_tail_is_silent_when_the_source_is_known_to_pause():
    line = Line(RtpClock(RATE))
    line.frames(range(50))
    for i in range(50, 100):
        line.frame(i, at=20 * (i + 1) + 1000, stamp=(stamp_of(line.clock, i) + 8000) % 2**32)
    assert line.close(9000)[-1] == (3000, 9000, "silent")


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_track_without_frames_is_as_long_as_the_call_and_says_nothing(clock):
    line = Line(clock)
    assert line.close(5000) == []
    assert line.line.end == 5 * RATE


def test_a_track_without_frames_says_what_the_adapter_knows():
    line = Line(ArrivalClock())
    line.line.mark(1000 * MS, 3000 * MS, "held")
    assert line.close(5000) == [(1000, 3000, "held")]


def test_hold_told_after_it_covers_silence_and_gaps_but_not_speech():
    line = Line(ArrivalClock())
    line.frames(range(100))
    line.frames(range(100, 200), pcm=np.zeros(FRAME, np.int16))
    line.frames(range(200, 300))
    line.line.mark(1500 * MS, 4500 * MS, "held")
    cells = np.full(6000, "", dtype="U10")
    for start, stop, kind in line.close(6000):
        cells[int(start) : int(stop)] = kind
    kinds, counts = np.unique(cells, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {"received": 4000, "held": 2000}


def test_hold_without_frames_is_held_and_not_lost():
    line = Line(ArrivalClock())
    line.frames(range(100))
    line.line.mark(2000 * MS, 60_000 * MS, "held")
    for at in range(2000, 60_000, 100):
        line.idle(at)
    line.frames(range(3000, 3100))
    assert line.close(62_000) == [(0, 2000, "received"), (2000, 60_000, "held"), (60_000, 62_000, "received")]


def test_a_stream_that_died_is_told_before_its_end():
    line = Line(ArrivalClock())
    line.frames(range(100))
    line.idle(6000)
    assert joined(line.spans)[-1] == (16_000, 0, "lost") or joined(line.spans) == [(0, 16_000, "received")]
    line.idle(12_000)
    assert joined(line.spans) == [(0, 16_000, "received"), (16_000, 11_800 * 8, "lost")]
    assert line.line.end == 16_000, "frames may still come"


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_crash_leaves_little_untold(clock):
    line = Line(clock)
    line.frames(range(1000))
    assert joined(line.spans)[-1][1] >= 17 * RATE


def test_stamps_that_jump_go_on_where_the_audio_does():
    line = Line(RtpClock(RATE))
    line.frames(range(100))
    for i in range(100, 200):
        line.frame(i, stamp=(123_456_789 + i * FRAME) % 2**32, seq=(40_000 + i) % 65536)
    assert line.close(4000) == [(0, 4000, "received")]
    assert line.where() == [20 * i for i in range(200)]
    assert line.line.resyncs == 2  # numbers and stamps


@pytest.mark.parametrize("stamp", [0, 2**31, 2**30, 2**32 - 1, -1, 10**30, -(10**30), None])
@pytest.mark.parametrize("wild", [1, 100])
def test_one_wild_stamp_moves_nothing_for_long(stamp, wild):
    line = Line(RtpClock(RATE))
    for i in range(400):
        line.frame(i, at=20 * (i + 1) + 500, **({"stamp": stamp} if i == wild else {}))
    line.close(8500)
    assert all(abs(where - 20 * i - 500) <= (200 if i < 2 else 60) for i, where in enumerate(line.where()))
    assert len(line.placed) == 400


def test_stamps_that_jump_while_frames_are_late_leave_no_hole():
    line = Line(RtpClock(RATE))
    line.frames(range(100))
    for i in range(100, 200):
        line.frame(i, at=20 * (i + 1) + (30 if i < 115 else 0), stamp=i * FRAME, seq=(40_000 + i) % 65536)
    assert line.close(4000) == [(0, 4000, "received")]
    assert line.line.trimmed == 0


def test_stamps_that_jump_back_without_numbers_are_a_new_count():
    line = Line(MillisClock())
    line.frames(range(100), seq=None)
    for i in range(100, 200):
        line.frame(i, stamp=(i - 100) * 20, seq=None)
    assert line.close(4000) == [(0, 4000, "received")]
    assert len(line.placed) == 200


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_arrival_before_the_one_before_it_counts_as_now(clock):
    line, quiet = Line(clock), np.full(FRAME, 50, np.int16)
    for i in range(200):
        line.frame(i, at=0 if i == 100 else None, pcm=quiet)
    line.close(4000)
    # it came before its audio could be spoken: the clocks seem 20 ms nearer than thought
    assert line.line.trimmed <= FRAME


def test_stamps_that_stand_still_do_not_stop_the_audio():
    line = Line(RtpClock(RATE))
    line.frames(range(500), stamp=7)
    assert line.close(10_000) == [(0, 10_000, "received")]
    assert len(line.placed) == 500


def test_without_numbers_what_is_stamped_twice_is_placed_once():
    line = Line(MillisClock())
    for i in range(100):
        for _ in range(2):
            line.frame(i, seq=None)
    line.close(2000)
    assert line.where() == [20 * i for i in range(100)]
    assert line.line.late == 100


def test_a_flood_is_not_placed_ahead_of_time():
    line = Line(ArrivalClock())
    line.frames(range(20))
    for _ in range(5000):
        for start, pcm in line.frame(0, at=500):
            assert start + len(pcm) <= (500 + 1000 + 20) * 8
    assert line.line.overflow > 4000


def test_counters_and_a_second_close():
    line = Line(RtpClock(RATE))
    line.frames([0, 1, 3, 2, 4, 4, *range(5, 30)])
    line.close(600)
    inner = line.line
    assert (inner.frames, inner.reordered, inner.duplicates, inner.late) == (31, 1, 1, 0)
    assert inner.close(900 * MS) == []
    assert inner.end == 600 * 8
    assert inner.push(LOUD, arrived=10**9) == []
    assert inner.frames == 31


def test_numbers_beyond_reason_count_as_none():
    line = Line(MillisClock())
    line.frames(range(100), seq=10**40)
    assert line.close(2000) == [(0, 2000, "received")]


@pytest.mark.parametrize("clock", CLOCKS)
def test_frames_that_are_handed_over_after_a_tick_keep_the_moment_of_their_arrival(clock):
    line = Line(clock)
    line.line.idle(1_000 * MS)
    for i in range(15):
        line.frame(i, at=610 + 20 * i)
    line.placed += line.line.close(2_000 * MS)
    assert line.placed[0].start == 590 * 8
