"""What each platform documents that it sends, or was recorded to send: taken, understood, and bent."""

from __future__ import annotations

import json
import random
import re

import pytest
from stream_kit import DATA, TRANSCRIPTS, Bench, transcript

from vcond.sdk.media_stream import GO_ON, POLICY
from vcond.testing.time import run_virtual
from vcond_stream.dialects import DIALECTS

A, B = "+15550100001", "+15550100002"
INDIAN = ("+915550100001", "+915550100002")
# name of the transcript -> key of its call, who is in it, codecs and rates of its tracks, keys that were pressed
EXPECTED = {
    "twilio": ("CA00000000000000000000000000000001", [A, B], ["PCMU 8000", "PCMU 8000"], "1"),
    "telnyx": ("v3:example-control-id", [A, B], ["PCMU 8000"], "1"),
    "signalwire": ("76ac3c36-0000-4000-8000-000000000003", ["", ""], ["L16 24000"], "5"),
    "plivo": ("12345678-1234-1234-8234-000000000002", ["", ""], ["L16 8000"], "5"),
    "vobiz": ("12345678-1234-1234-8234-000000000002", ["", ""], ["L16 16000"], "1"),
    "exotel": ("CA00000000000000000000000000000001", list(INDIAN), ["L16 8000"], "5"),
    "smartflo": ("c-1", list(INDIAN), ["PCMU 8000"], "1"),
    "bandwidth": ("c-00000000-0000-4000-8000-000000000001", ["", ""], ["PCMU 8000", "PCMU 8000"], ""),
    "wavix": ("call-1", ["", ""], ["L16 24000"], ""),
    "didlogic": ("call-1", [A, B], ["L16 24000"], "1"),
    "carrierx": ("7a9a4e28-0000-11ef-8000-000000000001", ["", ""], ["PCMU 8000", "PCMU 8000"], ""),
    "voximplant": ("c1", ["", ""], ["L16 16000", "L16 16000"], ""),
    "ozonetel": ("1234567890", ["", "915550100002"], ["L16 8000"], ""),
    "yeastar": ("1795944000.7", None, None, ""),
    "vonage": ("socket-1", ["", "", ""], ["L16 16000"], "5"),
    "jambonz": ("11111111-1111-4111-8111-111111111111", [A, B], ["L16 8000", "L16 8000"], "5"),
    "drachtio-mod-audio-fork": ("c1", [A, B], ["L16 8000", "L16 8000"], "12"),
    "amigniter-mod-audio-stream": ("socket-1", ["", ""], ["L16 8000", "L16 8000"], ""),
    "sinch": ("call-1", ["", ""], ["L16 16000"], ""),
    "infobip": ("socket-1", ["", "", ""], ["L16 8000"], ""),
    "livekit-egress": ("room-1", [""], ["L16 48000"], ""),
    "genesys-audiohook": ("00000004-0000-4000-8000-000000000004", [A, B], ["PCMU 8000", "PCMU 8000"], ""),
}
QUERY = {
    "drachtio-mod-audio-fork": "mix=stereo",
    "amigniter-mod-audio-stream": "mix=stereo",
    "livekit-egress": "call=room-1&participant=alice&channels=2",
}
COUNTED = {"ozonetel": {("frame", "another-rate"): 1}, "exotel": {("message", "sequence-gap"): 10},
    "plivo": {("message", "sequence-gap"): 56}, "vobiz": {("message", "sequence-gap"): 47},
    "wavix": {("message", "sequence-gap"): 97}}  # fmt: skip
"""What is missing in a transcript, which shows one message of each kind."""
BY_PATH = {"livekit-egress", "infobip", "drachtio-mod-audio-fork", "amigniter-mod-audio-stream"}
"""Those whose messages show nothing of who speaks."""
AS_ANOTHER = {"vobiz": "plivo"}


def named(name: str) -> str:
    return TRANSCRIPTS.get(name, name)


def test_every_transcript_is_expected_and_every_dialect_has_one():
    assert {path.stem for path in DATA.glob("*.jsonl")} == set(EXPECTED)
    assert {named(name) for name in EXPECTED} == set(DIALECTS)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("by", ["path", "shape"])
def test_a_transcript_becomes_the_call_that_it_tells_of(name, by):
    if by == "shape" and name in BY_PATH:
        return

    async def main() -> None:
        bench = Bench(grace=0)
        stream = bench.socket(named(name) if by == "path" else "", QUERY.get(name, ""))
        for message in transcript(name):
            if bench.feed(stream, message, step=20) != GO_ON:
                break
        stream.gone(bench.clock.now())
        key, who, tracks, keys = EXPECTED[name]
        (call,) = bench.host.calls
        state = call.state
        facts = {fact.name: fact.value for fact in state.facts}
        assert (call.key, state.ended is not None) == (f"{facts['dialect']}:{key}", True)
        if who is not None:
            assert [party.who.tel for party in state.parties] == who
            assert [f"{track.codec} {track.rate}" for track in state.tracks] == tracks
        assert "".join(moment.button for moment in state.history if moment.event == "keydown") == keys
        assert facts["dialect"] == (named(name) if by == "path" else AS_ANOTHER.get(name, named(name)))
        assert bench.host.drops == COUNTED.get(name, {})
        assert bench.host.faults == []

    run_virtual(main())


@pytest.mark.parametrize("name", sorted(BY_PATH))
def test_who_does_not_show_itself_is_refused_without_a_name_in_its_path(name):
    async def main() -> None:
        bench = Bench()
        codes = [bench.feed(bench.socket(), *transcript(name)[:3])]
        assert codes == [POLICY] or bench.host.drops["message", "malformed"]
        assert bench.host.calls == []

    run_virtual(main())


@pytest.mark.parametrize(
    ("path", "sent"),
    [("telnyx", "twilio"), ("twilio", "telnyx"), ("plivo", "exotel"), ("bandwidth", "plivo"), ("vonage", "jambonz"),
     ("audiohook", "sinch"), ("sinch", "genesys-audiohook"), ("infobip", "vonage"), ("voximplant", "wavix")],
)  # fmt: skip
def test_a_path_that_names_another_dialect_is_refused(path, sent):
    async def main() -> None:
        bench = Bench()
        assert bench.feed(bench.socket(path), *transcript(sent)) == POLICY
        assert bench.host.drops["stream", "wrong-dialect"] == 1
        assert bench.host.calls == []

    run_virtual(main())


def bent(name: str, how: str, seed: random.Random) -> list[tuple[str, bytes]]:
    """The transcript with something wrong in each of its texts."""

    def other(value):
        if how == "types":
            return seed.choice(
                [None, 5, "x", [], {}, True, 1.5, -1, 10**30, "\ud800".encode("utf-8", "replace").decode()]
            )
        return value

    def bend(value, depth=0):
        if isinstance(value, dict):
            out = {}
            for key, inner in value.items():
                spelt = key.upper() if how == "keys" and seed.random() < 0.3 else key
                out[spelt] = other(inner) if how == "types" and seed.random() < 0.3 else bend(inner, depth + 1)
            return out
        if how == "numbers" and isinstance(value, str) and value.isdigit():
            return int(value)
        if how == "numbers" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if how == "blanks" and isinstance(value, str) and len(value) > 100:
            return value[:50] + " \n" + value[50:]
        return value

    out = []
    for kind, data in transcript(name):
        wrong = data
        if kind == "text":
            try:
                wrong = json.dumps(bend(json.loads(data))).encode()
            except ValueError:
                if how == "blanks":
                    out.append((kind, data))
                    continue
                wrong = re.sub(rb"\d", b"x", data)
        out.append((kind, wrong))
    return out


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("how", ["keys", "types", "numbers", "blanks", "cut"])
def test_whatever_is_wrong_in_messages_ends_no_more_than_what_it_says(name, how):
    async def main() -> None:
        seed = random.Random(name + how)
        for _ in range(1 if how in {"numbers", "blanks", "cut"} else 20):
            bench = Bench(grace=0)
            stream = bench.socket(named(name), QUERY.get(name, ""))
            for kind, data in bent(name, how, seed):
                cut = [data[: seed.randrange(len(data))]] if how == "cut" and kind == "text" else []
                for one in (*cut, data):
                    if stream is not None and bench.feed(stream, (kind, one)) != GO_ON:
                        stream = None
            if stream is not None:
                stream.gone(bench.clock.now())
            assert bench.host.faults == []
            assert all(call.state.ended is not None for call in bench.host.calls)
            if how == "numbers":
                assert len(bench.host.calls) == 1
            if how == "blanks" and len(bench.host.calls) == 1 and name not in {"ozonetel", "yeastar"}:
                texts = sum(
                    kind == "text" and len(data) > 250 and b"payload" in data for kind, data in transcript(name)
                )
                assert bench.host.drops["message", "malformed"] == texts

    run_virtual(main())
