"""Promise 1: placed, not appended. A simulated source with a known truth, sent through a bad network."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from vcond.media.placement.clocks import ArrivalClock, MillisClock, RtpClock
from vcond.media.placement.timeline import Timeline

RATE = 8000
FRAME = 160
MS = 1_000_000
FRAME_NS = 20 * MS
SECOND = 1000 * MS


def loud(index: int) -> np.ndarray:
    """A frame that can be told from its neighbours, and that is no silence."""
    return np.full(FRAME, 1000 + index % 30_000, np.int16)


@dataclass
class Sent:
    """A frame as it arrives."""

    index: int
    arrived: int
    stamp: int | None
    seq: int | None
    pcm: np.ndarray


@dataclass
class Heard:
    """What a timeline made of it."""

    placed: list = field(default_factory=list)
    spans: list = field(default_factory=list)
    line: Timeline | None = None

    def frames(self):
        """(index, where its first sample would be) of each loud piece; pieces are cut from the front only."""
        for start, pcm in self.placed:
            if pcm[0] >= 1000:
                yield int(pcm[0]) - 1000, start - (FRAME - len(pcm))


def run(clock, sent: list[Sent], close: int, *, idle: bool = True, first_idle: int = 0) -> Heard:
    heard = Heard(line=Timeline(RATE, clock))
    line = heard.line
    tick = first_idle
    for frame in sorted(sent, key=lambda f: f.arrived):
        while idle and tick < frame.arrived:
            heard.placed += line.idle(tick)
            heard.spans += line.spans()
            tick += 100 * MS
        heard.placed += line.push(frame.pcm, arrived=frame.arrived, stamp=frame.stamp, seq=frame.seq)
        heard.spans += line.spans()
    while idle and tick < close:
        heard.placed += line.idle(tick)
        heard.spans += line.spans()
        tick += 100 * MS
    heard.placed += line.close(close)
    heard.spans += line.spans()
    return heard


def check_order(heard: Heard) -> None:
    at = 0
    for start, pcm in heard.placed:
        assert start >= at
        assert len(pcm) > 0
        at = start + len(pcm)
    assert heard.line.end >= at


def painted(spans: list[tuple[int, int, str]]) -> dict[str, int]:
    """Samples by kind, later spans over earlier ones."""
    cells = np.full(max((stop for _, stop, _ in spans), default=0), "", dtype="U10")
    for start, stop, kind in spans:
        assert 0 <= start < stop
        cells[start:stop] = kind
    kinds, counts = np.unique(cells[cells != ""], return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def check_partition(heard: Heard) -> None:
    """Spans without marks or long stalls never overlap, sum up, and what was placed is what they call heard."""
    for (_, stop, _), (start, _, _) in pairwise(heard.spans):
        assert start >= stop
    totals = painted(heard.spans)
    assert totals.get("received", 0) + sum(
        stop - start for start, stop, kind in heard.spans if kind == "silent"
    ) >= sum(len(pcm) for _, pcm in heard.placed)
    assert totals.get("received", 0) == sum(len(p) for _, p in heard.placed if p[0] >= 1000)


def check_truth(heard: Heard, truth: dict[int, int], within_ms: int, since: int = 0) -> None:
    for index, start in heard.frames():
        if truth[index] >= since:
            assert abs(start - truth[index]) <= within_ms * RATE // 1000, (index, start, truth[index])


def source(
    clock,
    seed: int,
    *,
    frames: int,
    ppm: float,
    late_ms: int,
    jitter_ms: int,
    base: int,
    seq0: int,
    drops=(),
    silent_gap=None,
):
    """Frames of a source whose clock is ``ppm`` fast; returns them and the true position of each.

    ``drops``: indices lost on the way. ``silent_gap``: (index, ms) when the source sends nothing (DTX).
    """
    rng = np.random.default_rng(seed)
    stamped, sent, truth = not isinstance(clock, ArrivalClock), [], {}
    media = late_ms * MS
    stamp = base
    number = seq0
    last = 0
    for i in range(frames):
        if silent_gap and i == silent_gap[0]:
            media += silent_gap[1] * MS
            stamp += silent_gap[1] * (8 if isinstance(clock, RtpClock) else 1)
        begin = media
        media += round(FRAME_NS / (1 + ppm / 1e6))
        truth[i] = begin * RATE // SECOND
        arrived = media + int(rng.integers(0, jitter_ms * MS + 1))
        if not isinstance(clock, RtpClock):
            arrived = last = max(arrived, last)  # TCP keeps order
        if i not in drops:
            if isinstance(clock, RtpClock):
                sent.append(Sent(i, arrived, stamp % 2**32, number % 65536, loud(i)))
            else:
                sent.append(Sent(i, arrived, stamp if stamped else None, number if stamped else None, loud(i)))
        stamp += FRAME if isinstance(clock, RtpClock) else 20
        number += 1
    return sent, truth, media


STAMPED = st.sampled_from([RtpClock(RATE), MillisClock()])
CLOCKS = st.sampled_from([RtpClock(RATE), MillisClock(), ArrivalClock()])
FAST = settings(max_examples=40, deadline=None)


@FAST
@given(
    clock=CLOCKS,
    seed=st.integers(0, 2**32),
    ppm=st.floats(-200, 200),
    late_ms=st.integers(0, 3000),
    jitter_ms=st.integers(0, 19),
    base=st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 20_000, 2**32 - 1)),
    seq0=st.one_of(st.integers(1, 65535), st.integers(65400, 65535)),
    stop_ms=st.integers(0, 30),
)
def test_a_steady_stream_has_the_length_of_the_call_and_keeps_its_time(
    clock, seed, ppm, late_ms, jitter_ms, base, seq0, stop_ms
):
    sent, truth, media = source(
        clock, seed, frames=500, ppm=ppm, late_ms=late_ms, jitter_ms=jitter_ms, base=base, seq0=seq0
    )
    close = max(media + stop_ms * MS, sent[-1].arrived)
    heard = run(clock, sent, close)
    check_order(heard)
    check_partition(heard)
    check_truth(heard, truth, 60)
    assert abs(heard.line.end - close * RATE // SECOND) <= FRAME
    assert heard.line.resyncs == heard.line.late == heard.line.overflow == 0
    assert len(list(heard.frames())) == 500


@FAST
@given(
    clock=STAMPED,
    seed=st.integers(0, 2**32),
    ppm=st.floats(-200, 200),
    base=st.integers(0, 2**32 - 1),
    seq0=st.integers(1, 65535),
    drops=st.sets(st.integers(1, 395), max_size=200),
)
def test_what_is_lost_leaves_a_gap_that_says_so(clock, seed, ppm, base, seq0, drops):
    sent, truth, media = source(
        clock, seed, frames=400, ppm=ppm, late_ms=0, jitter_ms=20, base=base, seq0=seq0, drops=drops
    )
    heard = run(clock, sent, media)
    check_order(heard)
    check_partition(heard)
    check_truth(heard, truth, 60)
    totals = painted(heard.spans)
    assert totals["received"] == (400 - len(drops)) * FRAME
    assert abs(totals.get("lost", 0) - len(drops) * FRAME) <= FRAME
    assert totals.get("silent", 0) <= FRAME
    assert len(list(heard.frames())) == 400 - len(drops)


@FAST
@given(seed=st.integers(0, 2**32), base=st.integers(0, 2**32 - 1), seq0=st.integers(0, 65535), data=st.data())
def test_packets_out_of_order_and_double_come_out_once_and_in_order(seed, base, seq0, data):
    sent, truth, media = source(RtpClock(RATE), seed, frames=300, ppm=0, late_ms=0, jitter_ms=0, base=base, seq0=seq0)
    moved = data.draw(st.sets(st.integers(20, 290), max_size=60))
    doubled = data.draw(st.sets(st.integers(20, 290), max_size=60))
    for frame in sent:
        if frame.index in moved:
            frame.arrived += 110 * MS
    sent += [Sent(f.index, f.arrived + 45 * MS, f.stamp, f.seq, f.pcm) for f in sent if f.index in doubled]
    heard = run(RtpClock(RATE), sent, media)
    check_order(heard)
    check_truth(heard, truth, 60)
    assert [index for index, _ in heard.frames()] == list(range(300))
    assert heard.line.duplicates == len(doubled)
    assert painted(heard.spans) == {"received": 300 * FRAME}


@FAST
@example(clock=MillisClock(), seed=0, ppm=0.0, stalls=[(0, 3032)])
@given(
    clock=CLOCKS,
    seed=st.integers(0, 2**32),
    ppm=st.floats(-200, 200),
    stalls=st.lists(st.tuples(st.integers(0, 700), st.integers(20, 6000)), max_size=3),
)
def test_a_stall_and_the_burst_after_it_move_nothing(clock, seed, ppm, stalls):
    sent, truth, media = source(clock, seed, frames=800, ppm=ppm, late_ms=0, jitter_ms=10, base=0, seq0=1)
    for index, stall in stalls:
        since = sent[index].arrived
        for frame in sent:
            if since <= frame.arrived < since + stall * MS:
                frame.arrived = since + stall * MS
    sent.sort(key=lambda f: (f.arrived, f.index))
    assume(sent[-1].arrived < media + FRAME_NS)
    heard = run(clock, sent, max(media, sent[-1].arrived))
    check_order(heard)
    # what was late from the very begin is known by 3 s after the burst
    ends = [frame.arrived for frame in sent if frame.index in {index for index, _ in stalls}]
    early = any(index * 20 <= 400 for index, _ in stalls)
    settled = (max(ends) + 3 * SECOND) * RATE // SECOND if early else 0
    check_truth(heard, truth, 60, since=settled)
    if not settled:
        assert [index for index, _ in heard.frames()] == list(range(800))
        assert painted(heard.spans).get("lost", 0) <= FRAME


@FAST
@given(
    seed=st.integers(0, 2**32),
    at=st.integers(50, 300),
    missing_ms=st.integers(260, 60_000),
    jitter_ms=st.integers(0, 39),
)
def test_a_counted_stream_that_stopped_has_a_gap_where_it_stopped(seed, at, missing_ms, jitter_ms):
    clock = ArrivalClock()
    sent, truth, media = source(
        clock, seed, frames=400, ppm=0, late_ms=0, jitter_ms=jitter_ms, base=0, seq0=1, silent_gap=(at, missing_ms)
    )
    heard = run(clock, sent, media)
    check_order(heard)
    check_truth(heard, truth, 60)
    totals = painted(heard.spans)
    assert abs(totals["lost"] - missing_ms * 8) <= 60 * 8
    assert totals["received"] >= 398 * FRAME


@FAST
@given(
    clock=STAMPED,
    seed=st.integers(0, 2**32),
    ppm=st.floats(-200, 200),
    at=st.integers(50, 300),
    gap_ms=st.integers(60, 100_000),
    base=st.integers(0, 2**32 - 1),
)
def test_a_source_that_says_it_sends_nothing_is_silent_and_not_lost(clock, seed, ppm, at, gap_ms, base):
    sent, truth, media = source(
        clock, seed, frames=400, ppm=ppm, late_ms=0, jitter_ms=20, base=base, seq0=1, silent_gap=(at, gap_ms)
    )
    heard = run(clock, sent, media)
    check_order(heard)
    check_truth(heard, truth, 60)
    totals = painted(heard.spans)
    assert abs(totals["silent"] - gap_ms * 8) <= 60 * 8
    assert "lost" not in totals


@FAST
@given(
    clock=STAMPED,
    seed=st.integers(0, 2**32),
    at=st.integers(50, 300),
    base=st.integers(0, 2**32 - 1),
    new_base=st.one_of(st.just(0), st.integers(0, 2**32 - 1)),
    new_seq=st.one_of(st.none(), st.integers(1, 65535)),
    pause_ms=st.sampled_from([0, 0, 500, 5000]),
)
def test_stamps_that_begin_anew_do_not_move_the_audio(clock, seed, at, base, new_base, new_seq, pause_ms):
    # numbers that begin anew just behind the old ones cannot be told from frames that came late
    assume(new_seq is None or not 0 < (7 + at - new_seq) % 65536 <= 100)
    sent, truth, media = source(clock, seed, frames=400, ppm=0, late_ms=0, jitter_ms=10, base=base, seq0=7)
    per_frame, modulus = (FRAME, 2**32) if isinstance(clock, RtpClock) else (20, 2**80)
    # a jump within the time that passed looks like a pause of the source and a frame that is late
    assume(not 0 <= (new_base - base - at * per_frame) % modulus <= 6000 * per_frame // 20)
    for frame in sent[at:]:
        frame.stamp = (new_base + (frame.index - at) * per_frame) % modulus
        if new_seq is not None:
            frame.seq = (new_seq + frame.index - at) % 65536
        frame.arrived += pause_ms * MS
        truth[frame.index] += pause_ms * 8
    heard = run(clock, sent, media + pause_ms * MS)
    check_order(heard)
    check_truth(heard, truth, 60)
    assert [index for index, _ in heard.frames()] == list(range(400))
    assert abs(heard.line.end - (media + pause_ms * MS) * RATE // SECOND) <= FRAME


@FAST
@given(
    clock=CLOCKS,
    seed=st.integers(0, 2**32),
    ppm=st.floats(-200, 200),
    late_ms=st.integers(0, 3000),
    jitter_ms=st.integers(0, 79),
    base=st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32 - 100_000, 2**32 - 1)),
    seq0=st.one_of(st.integers(1, 65535), st.integers(65_000, 65_535)),
    loss=st.floats(0, 0.2),
    double=st.floats(0, 0.2),
    pause=st.one_of(st.none(), st.tuples(st.integers(100, 700), st.integers(300, 9000))),
    stall=st.one_of(st.none(), st.tuples(st.integers(100, 500), st.integers(20, 4000))),
)
def test_all_of_it_at_once(clock, seed, ppm, late_ms, jitter_ms, base, seq0, loss, double, pause, stall):
    rng = np.random.default_rng(seed)
    counted = isinstance(clock, ArrivalClock)
    drops = set() if counted else set((1 + np.flatnonzero(rng.random(798) < loss)).tolist())
    sent, truth, media = source(
        clock,
        seed,
        frames=800,
        ppm=ppm,
        late_ms=late_ms,
        jitter_ms=jitter_ms,
        base=base,
        seq0=seq0,
        drops=drops,
        silent_gap=pause,
    )
    if stall is not None:
        since = next(frame for frame in sent if frame.index >= stall[0]).arrived
        for frame in sent:
            if since <= frame.arrived < since + stall[1] * MS:
                frame.arrived = since + stall[1] * MS
    doubles = [] if counted else [f for f in sent if rng.random() < double]
    sent = sorted([*sent, *doubles], key=lambda f: (f.arrived, f.index))
    heard = run(clock, sent, max(media, *(f.arrived for f in sent)))
    check_order(heard)
    # a stall that hides how long a pause was leaves a counted stream astray until it is steady again
    astray = counted and stall is not None and pause is not None
    if not astray:
        check_truth(heard, truth, 60)
    indices = [index for index, _ in heard.frames()]
    assert indices == sorted(set(indices))
    assert len(indices) >= (800 - len(drops)) * 0.95
    assert heard.line.duplicates + heard.line.late >= len(doubles) * 0.9
    assert heard.line.resyncs == 0


@settings(max_examples=4, deadline=None)
@given(clock=CLOCKS, fast=st.booleans(), pauses=st.booleans())
def test_two_hundred_ppm_for_ten_hours_stay_within_forty_milliseconds(clock, fast, pauses):
    ppm = 200 if fast else -200
    length = 4000  # half a second a frame keeps the test short
    line, worst, wrong = Timeline(RATE, clock), 0, 0
    talk = np.full(length, 5000, np.int16)
    calm = np.zeros(length, np.int16)
    media, total = 0.0, 36_000 * 2
    for i in range(total):
        media += 500 * MS / (1 + ppm / 1e6)
        pcm = calm if pauses and i % 10 > 6 else talk
        stamp = (i * length) % 2**32 if isinstance(clock, RtpClock) else i * 500
        for start, piece in line.push(pcm, arrived=int(media), stamp=stamp, seq=i):
            if i > 2:
                worst = max(worst, abs(start + len(piece) - int(media) * RATE // SECOND))
            wrong += i > 2 and piece[0] == 5000 and len(piece) < length
        line.spans()
    line.close(int(media))
    assert worst <= 40 * 8
    assert abs(line.end - int(media) * RATE // SECOND) <= FRAME
    assert abs(line.corrected) > 36_000 * 200e-6 * RATE * 0.99
    assert (line.corrected < 0) == fast
    assert line.resyncs == line.overflow == 0
    if pauses:
        assert wrong == 0, "audio was cut though silence was near"


EDGE = st.sampled_from([0, 1, -1, 2**15, 2**16, 2**31, 2**32, 2**62, 2**63, 2**64, -(2**63), 10**30])
NUMBER = st.one_of(st.none(), EDGE, st.integers(), st.integers(0, 70_000), st.integers(-500, 500))
STEP = st.one_of(st.integers(0, 60 * MS), st.integers(0, 20 * SECOND), st.integers(-SECOND, 0))
ACTION = st.one_of(
    st.tuples(st.just("push"), STEP, st.sampled_from([0, 1, 7, 160, 161, 960, 20_000]), NUMBER, NUMBER),
    st.tuples(st.just("push"), st.just(FRAME_NS), st.just(160), NUMBER, NUMBER),
    st.tuples(st.just("idle"), STEP),
    st.tuples(st.just("mark"), st.integers(-SECOND, 100 * SECOND), st.integers(-SECOND, 100 * SECOND)),
    st.tuples(st.just("spans")),
)


@settings(max_examples=300, deadline=None)
@given(
    clock=st.one_of(
        CLOCKS,
        st.builds(RtpClock, st.sampled_from([0, 8000, 90_000]), st.integers(-3, 40)),
        st.builds(ArrivalClock, st.integers()),
    ),
    rate=st.sampled_from([8000, 11_025, 48_000]),
    start=st.integers(-5 * SECOND, 5 * SECOND),
    actions=st.lists(ACTION, max_size=120),
)
def test_no_peer_can_make_it_raise_go_back_or_run_ahead(clock, rate, start, actions):
    line, now, at, pushed, got = Timeline(rate, clock), start, 0, 0, 0
    for action in actions:
        placed = []
        if action[0] == "push":
            pcm = np.full(action[2], pushed % 40, np.int16)
            placed = line.push(pcm, arrived=now + action[1], stamp=action[3], seq=action[4])
            now = max(now, now + action[1])
            pushed += action[2]
        elif action[0] == "idle":
            placed = line.idle(now + action[1])
            now = max(now, now + action[1])
        elif action[0] == "mark":
            line.mark(action[1], action[2], "held")
        else:
            for begin, stop, _ in line.spans():
                assert 0 <= begin < stop
        for begin, pcm in placed:
            assert begin >= at
            at = begin + len(pcm)
            got += len(pcm)
            assert at <= now * rate // SECOND + 10 * rate
    for begin, pcm in line.close(now):
        assert begin >= at
        at = begin + len(pcm)
        got += len(pcm)
    line.spans()
    assert got + line.trimmed <= pushed
    assert line.end >= at
    assert line.push(np.zeros(160, np.int16), arrived=now) == line.idle(now) == line.close(now) == line.spans() == []


@FAST
@given(
    clock=CLOCKS,
    seed=st.integers(0, 2**32),
    kinds=st.lists(st.sampled_from("sr"), min_size=60, max_size=300),
)
def test_spans_are_the_run_lengths_of_what_came(clock, seed, kinds):
    sent, _, media = source(clock, seed, frames=len(kinds), ppm=0, late_ms=0, jitter_ms=0, base=0, seq0=1)
    for frame in sent:
        if kinds[frame.index] == "s":
            frame.pcm = np.full(FRAME, -8, np.int16)
    heard = run(clock, sent, media)
    check_order(heard)
    check_partition(heard)
    cells = np.concatenate([np.full(FRAME, k) for k in kinds])
    for start, stop, kind in heard.spans:
        assert set(cells[start:stop].tolist()) == {"s" if kind == "silent" else "r"}
    assert sum(stop - start for start, stop, _ in heard.spans) == len(cells)
