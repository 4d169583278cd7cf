"""One call of two, as every dialect that carries both apart writes it: the same record, the same samples."""

from __future__ import annotations

import random

import numpy as np
import pytest
from stream_kit import APART, QUERY, TIMED, A, B, Bench, written

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk.contract import MILLI, SpanKind
from vcond.sdk.media_stream import GO_ON
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual

ANN, BEN = (decode(Codec.PCMU, encode(Codec.PCMU, voice(seed, 3.0))) for seed in (1, 2))
"""As a telephone line carries them, so that every codec gives the very samples."""


def play(bench: Bench, dialect: str, steps, *, step: float = 20) -> None:
    stream = bench.socket(dialect, QUERY.get(dialect, ""))
    for number, messages in enumerate(steps):
        bench.feed(stream, *messages[:1], step=step if number else 0)
        if bench.feed(stream, *messages[1:]) != GO_ON:
            break
    stream.gone(bench.clock.now())


def heard(bench: Bench, party: int) -> np.ndarray:
    return np.asarray(bench.host.audio(bench.call, party))


def only(dialect: str, test) -> None:
    async def main() -> None:
        test(Bench(grace=0))

    run_virtual(main())


@pytest.mark.parametrize("ms", [10, 20, 100, 200])
@pytest.mark.parametrize("dialect", APART)
def test_every_dialect_gives_the_same_call_sample_by_sample(dialect, ms):
    def test(bench: Bench) -> None:
        play(bench, dialect, written(dialect, ANN, BEN, 8 * ms), step=ms)
        (call,) = bench.host.calls
        state = call.state
        assert [party.who.tel for party in state.parties] == ([A, B] if dialect != "voximplant" else ["", ""])
        assert [track.party for track in state.tracks] == [0, 1]
        assert (state.cause.text, [warning.code for warning in state.warnings]) == ("stop", [])
        for party, said in ((0, ANN), (1, BEN)):
            audio = heard(bench, party)
            at = next(n for n in range(len(audio)) if audio[n : n + 800].tobytes() == said[:800].tobytes())
            assert at <= 8 * ms + 1
            assert np.array_equal(audio[at : at + len(said)], said)
        assert bench.host.drops == {}
        orders = [fact.value for fact in state.facts if fact.name.startswith("byteOrder")]
        assert all(value.endswith("as expected") for value in orders)

    only(dialect, test)


@pytest.mark.parametrize("dialect", TIMED)
@pytest.mark.parametrize("what", ["left out", "disordered", "doubled", "stalled"])
def test_what_befalls_frames_that_say_where_they_lie_moves_no_other(dialect, what):
    chance = random.Random(5)
    steps = written(dialect, ANN, BEN)
    head, body, tail = steps[:1], steps[1:-1], steps[-1:]
    gone: set[int] = set()
    if what == "left out":
        gone = set(chance.sample(range(10, 140), 7))
        body = [[] if n in gone else step for n, step in enumerate(body)]
    elif what == "disordered":
        for n in range(10, 140, 10):
            body[n], body[n + 1] = body[n + 1], body[n]
    elif what == "doubled":
        body = [step * 2 if n % 9 == 3 else step for n, step in enumerate(body)]

    def test(bench: Bench) -> None:
        stream = bench.socket(dialect)
        bench.feed(stream, *head[0])
        for number, messages in enumerate(body):
            late = 3000 if what == "stalled" and number == 60 else 0
            bench.clock.advance((late + (0 if what == "stalled" and 60 < number < 200 else 20)) * MILLI)
            bench.feed(stream, *messages)
        bench.feed(stream, *tail[0])
        for party, said in ((0, ANN), (1, BEN)):
            audio = heard(bench, party)
            at = next(n for n in range(len(audio)) if audio[n : n + 800].tobytes() == said[:800].tobytes())
            wanted = said.copy()
            for n in gone:
                wanted[160 * n : 160 * n + 160] = 0
            assert np.array_equal(audio[at : at + len(said)], wanted)
            track = bench.call.state.tracks[party]
            for n in gone:
                assert track.spans.kind_at(at + 160 * n + 80) is SpanKind.LOST

    only(dialect, test)


@pytest.mark.parametrize("dialect", [name for name in APART if name not in {"voximplant", "yeastar"}])
def test_a_socket_that_dies_and_comes_back_is_the_same_call_with_a_gap(dialect):
    async def main() -> None:
        bench = Bench(grace=10)
        steps = written(dialect, ANN, BEN)
        half = len(steps) // 2
        first = bench.socket(dialect, QUERY.get(dialect, ""))
        for messages in steps[:half]:
            bench.feed(first, *messages, step=10)
        first.gone(bench.clock.now())
        bench.clock.advance(2_000_000_000)
        second = bench.socket(dialect, QUERY.get(dialect, ""))
        for messages in [*steps[:1], *steps[half:-1]]:
            bench.feed(second, *messages, step=10)
        second.gone(bench.clock.now(), clean=True)
        assert len(bench.host.calls) == 1
        assert len(bench.call.state.tracks) == 4
        assert bench.call.state.tracks[2].spans.kind_at(8000 * 2) is SpanKind.LOST

    run_virtual(main())


def test_big_endian_where_little_was_documented_is_heard_and_said():
    def test(bench: Bench) -> None:
        play(bench, "plivo", written("vobiz", ANN, BEN))
        assert heard(bench, 0).tobytes().find(ANN.tobytes()) >= 0
        facts = {fact.name: fact.value for fact in bench.call.state.facts}
        assert facts["byteOrder.inbound"] == "big endian, measured, though little was expected"

    only("plivo", test)
