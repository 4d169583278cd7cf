"""One call of two, as every dialect that carries both apart writes it: the same record, the same samples."""

from __future__ import annotations

import base64
import json
import random

import av
import numpy as np
import pytest
from stream_kit import APART, QUERY, TIMED, A, B, Bench, text, written

from vcond.media.codecs import Codec, decode, encode
from vcond.sdk import decoding
from vcond.sdk.contract import MILLI, SpanKind
from vcond.sdk.media_stream import GO_ON, UNSUPPORTED
from vcond.testing.sounds import find, voice
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
@pytest.mark.parametrize("ms", [10, 20, 200])
def test_what_befalls_frames_that_say_where_they_lie_moves_no_other(dialect, what, ms):
    chance, size = random.Random(5), 8 * ms
    steps = written(dialect, ANN, BEN, size)
    head, body, tail = steps[:1], steps[1:-1], steps[-1:]
    count, first = len(body), len(body) // 10 + 1
    gone: set[int] = set()
    if what == "left out":  # 5 %
        gone = set(chance.sample(range(first, count - 1), max(count // 20, 1)))
        body = [[] if n in gone else step for n, step in enumerate(body)]
    elif what == "disordered":
        for n in range(first, count - 1, first):
            body[n], body[n + 1] = body[n + 1], body[n]
    elif what == "doubled":
        body = [step * 2 if n % 9 == 3 else step for n, step in enumerate(body)]

    def test(bench: Bench) -> None:
        stream = bench.socket(dialect)
        bench.feed(stream, *head[0])
        for number, messages in enumerate(body):
            held = what == "stalled" and number > count // 3
            late = 3000 if what == "stalled" and number == count // 3 else 0
            bench.clock.advance((late + (0 if held else ms)) * MILLI)
            bench.feed(stream, *messages)
        bench.feed(stream, *tail[0])
        for party, said in ((0, ANN), (1, BEN)):
            audio = heard(bench, party)
            at = next(n for n in range(len(audio)) if audio[n : n + 800].tobytes() == said[:800].tobytes())
            wanted = said.copy()
            for n in gone:
                wanted[size * n : size * (n + 1)] = 0
            assert np.array_equal(audio[at : at + len(said)], wanted)
            track = bench.call.state.tracks[party]
            for n in gone:
                assert track.spans.kind_at(at + size * n + size // 2) is SpanKind.LOST

    only(dialect, test)


UNTIMED = [name for name in APART if name not in TIMED]


@pytest.mark.parametrize("dialect", UNTIMED)
@pytest.mark.parametrize("what", ["left out", "stalled"])
def test_frames_that_do_not_say_where_they_lie_are_all_there_in_their_order(dialect, what):
    """Of one that its peer left out nothing can be known; what comes late in one piece is as it was."""
    gone = {40, 41, 90} if what == "left out" else set()
    head, *body, tail = written(dialect, ANN, BEN)

    def test(bench: Bench) -> None:
        stream = bench.socket(dialect, QUERY.get(dialect, ""))
        bench.feed(stream, *head)
        for number, messages in enumerate(body):
            late = 3000 if what == "stalled" and number == 60 else 0
            bench.clock.advance((late + (0 if what == "stalled" and number > 60 else 20)) * MILLI)
            if number not in gone:
                bench.feed(stream, *messages)
        bench.feed(stream, *tail)
        stream.gone(bench.clock.now(), clean=True)
        for party, said in ((0, ANN), (1, BEN)):
            wanted = np.concatenate([said[160 * n : 160 * n + 160] for n in range(len(body)) if n not in gone])
            assert heard(bench, party).tobytes().find(wanted.tobytes()) >= 0
        counted = {("message", "sequence-gap")} if dialect == "wavix" and gone else set()
        assert set(bench.host.drops) == counted

    only(dialect, test)


@pytest.mark.parametrize("dialect", APART)
def test_a_call_without_a_last_message_has_all_of_its_audio_and_says_so(dialect):
    head, *body, _ = written(dialect, ANN, BEN)

    def test(bench: Bench) -> None:
        stream = bench.socket(dialect, QUERY.get(dialect, ""))
        for messages in (head, *body):
            bench.feed(stream, *messages, step=20 / max(len(messages), 1))
        stream.gone(bench.clock.now())
        (call,) = bench.host.calls
        assert (call.over, call.state.cause.text) == (True, "stream-lost")
        assert [warning.code for warning in call.state.warnings] == ["stream-lost"]
        for party, said in ((0, ANN), (1, BEN)):
            assert heard(bench, party).tobytes().find(said[320:-320].tobytes()) >= 0
        assert bench.host.drops == {}

    only(dialect, test)


@pytest.mark.parametrize("dialect", [name for name in APART if name not in {"voximplant", "yeastar"}])
def test_a_socket_that_dies_and_comes_back_is_the_same_call_with_a_gap(dialect):
    async def main() -> None:
        bench = Bench(grace=10)
        steps = written(dialect, ANN, BEN)
        half = len(steps) // 2
        first = bench.socket(dialect, QUERY.get(dialect, ""))
        for messages in steps[:half]:
            bench.feed(first, *messages, step=20 / len(messages))
        first.gone(bench.clock.now())
        bench.clock.advance(2_000_000_000)
        second = bench.socket(dialect, QUERY.get(dialect, ""))
        for messages in [*steps[:1], *steps[half:-1]]:
            bench.feed(second, *messages, step=20 / len(messages))
        second.gone(bench.clock.now(), clean=True)
        assert len(bench.host.calls) == 1
        assert len(bench.call.state.tracks) == 4
        assert bench.call.state.tracks[2].spans.kind_at(8000 * 2) is SpanKind.LOST
        cut = 160 * (half - 1)
        for party, said in ((0, ANN), (1, BEN)):
            audio = heard(bench, party).tobytes()
            before, after = audio.find(said[160 : cut - 160].tobytes()), audio.find(said[cut + 160 : -160].tobytes())
            assert 0 <= before < after
            assert (after - before) / 2 == pytest.approx(cut + 2 * 8000, abs=400)

    run_virtual(main())


def test_big_endian_where_little_was_documented_is_heard_and_said():
    def test(bench: Bench) -> None:
        play(bench, "plivo", written("vobiz", ANN, BEN))
        assert heard(bench, 0).tobytes().find(ANN.tobytes()) >= 0
        facts = {fact.name: fact.value for fact in bench.call.state.facts}
        assert facts["byteOrder.inbound"] == "big endian, measured, though little was expected"

    only("plivo", test)


def packets(library: str, rate: int, pcm: np.ndarray) -> list[bytes]:
    """As RTP would carry it: packets of 20 ms."""
    codec = av.CodecContext.create(library, "w")
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    size, out = rate // 50, []
    for number in range(len(pcm) // size):
        frame = av.AudioFrame(format="s16", layout="mono", samples=size)
        frame.planes[0].update(pcm[number * size : (number + 1) * size].tobytes())
        frame.sample_rate, frame.pts = rate, number * size
        out += [bytes(packet) for packet in codec.encode(frame)]
    return out


@pytest.mark.parametrize(("encoding", "library", "rate"), [("G722", "g722", 16_000), ("OPUS", "libopus", 48_000)])
@pytest.mark.parametrize("what", ["whole", "left out", "disordered", "early", "broken"])
def test_what_telnyx_passes_on_in_the_codec_of_the_call_is_decoded_to_its_place(encoding, library, rate, what):
    said = [voice(seed, 3.0, rate) for seed in (1, 2)]
    sent = [packets(library, rate, pcm) for pcm in said]
    start, *_ = written("telnyx", ANN[:160], BEN[:160])[0][1:]
    start = "text", start[1].replace(b"PCMU", encoding.encode())
    frames = [
        text({"event": "media", "media": {"track": track, "chunk": str(n + 1), "timestamp": str(20 * n),
            "payload": base64.b64encode(sent[party][n]).decode()}})
        for n in range(len(sent[0])) for party, track in enumerate(("inbound", "outbound"))
    ]  # fmt: skip
    gone = {40, 41, 90} if what == "left out" else {40} if what == "broken" else set()

    def test(bench: Bench) -> None:
        stream = bench.socket("telnyx")
        order = list(range(len(frames)))
        if what == "disordered":
            order[60:64] = [62, 63, 60, 61]
        for at, n in enumerate(order):
            if at == (4 if what == "early" else 0):
                bench.feed(stream, start)
            bench.clock.advance(10 * MILLI)
            if n // 2 in gone and what == "broken":
                frame = json.loads(frames[n][1])
                frame["media"]["payload"] = base64.b64encode(b"\xff" * 3 if encoding == "OPUS" else b"").decode()
                bench.feed(stream, text(frame))
            elif n // 2 not in gone:
                bench.feed(stream, frames[n])
        bench.feed(stream, text({"event": "stop"}))
        (call,) = bench.host.calls
        assert [(track.codec, track.rate) for track in call.state.tracks] == [(encoding, rate)] * 2
        for party, pcm in enumerate(said):
            audio = heard(bench, party)
            parts = [find(part, audio) for part in (pcm[rate // 5 : rate // 2], pcm[2 * rate : 5 * rate // 2])]
            assert min(alike for alike, _ in parts) > 0.9
            (_, first), (_, last) = parts
            assert last - first == pytest.approx(2 * rate - rate // 5, abs=rate // 200)
            for n in gone:
                middle = first + (n - 10) * rate // 50 + rate // 100
                assert call.state.tracks[party].spans.kind_at(middle) is SpanKind.LOST
        assert bench.host.drops == ({("frame", "not-decodable"): 2} if what == "broken" else {})
        assert not [fact for fact in call.state.facts if fact.name.startswith("byteOrder")]

    only("telnyx", test)


def test_without_a_decoder_telnyx_is_told_to_send_another_codec(monkeypatch):
    monkeypatch.setattr(decoding, "available", lambda: False)

    def test(bench: Bench) -> None:
        start = "text", written("telnyx", ANN[:160], BEN[:160])[0][1][1].replace(b"PCMU", b"OPUS")
        assert bench.feed(bench.socket("telnyx"), start) == UNSUPPORTED
        assert (bench.host.calls, bench.host.drops) == ([], {("stream", "encoding"): 1})

    only("telnyx", test)
