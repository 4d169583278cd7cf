"""Each transcript with one thing wrong, at every place: the right counter, and the call goes on."""

from __future__ import annotations

import json

import pytest
import stream_kit
from stream_kit import transcript
from test_stream_transcripts import COUNTED, EXPECTED, QUERY, bent, named

AUDIO = ("payload", "audio", "samples", "data")
"""What dialects call a frame's audio."""
NEVER_JSON = {"infobip", "livekit-egress", "amigniter-mod-audio-stream"}
"""Those whose texts may be anything."""
GAP = ("message", "sequence-gap")


def played(name, messages):
    """The host after these messages and a lost connection."""
    return stream_kit.played(named(name), QUERY.get(name, ""), messages)


def texts(name):
    """Place, all messages, the text there as JSON."""
    messages = transcript(name)
    for place, (kind, data) in enumerate(messages):
        if kind == "text" and data.startswith(b"{") and b"}{" not in data:
            yield place, messages, json.loads(data)


def but_gaps(drops):
    """What was counted; how large gaps are depends on the place."""
    return {what: count for what, count in drops.items() if what != GAP}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_connection_that_is_lost_at_any_message_loses_only_what_comes_after(name):
    messages = transcript(name)
    whole = played(name, messages)
    begun = 0
    for place in range(len(messages)):
        host = played(name, messages[:place])
        assert len(host.calls) >= begun
        begun = len(host.calls)
        early = {("frame", "no-start")} if not begun else set()
        assert set(host.drops) <= {*whole.drops, *early}
    assert begun == 1


@pytest.mark.parametrize("name", EXPECTED)
def test_a_message_that_is_cut_short_is_counted_once_and_costs_no_more_than_itself(name):
    whole = played(name, transcript(name))
    opener = next((place for place, _, said in texts(name) if _opens(said)), -1)
    for place, messages, _ in texts(name):
        kind, data = messages[place]
        host = played(name, [*messages[:place], (kind, data[: len(data) // 2]), *messages[place + 1 :]])
        if name in NEVER_JSON:
            assert len(host.calls) == 1
        elif place == opener and name not in {"voximplant", "drachtio-mod-audio-fork"}:
            assert (host.calls, host.drops["message", "malformed"] >= 1) == ([], True)
        else:
            (call,) = host.calls
            assert host.drops["message", "malformed"] == 1, place
            assert {party.key for party in call.state.parties} <= {
                "caller",
                *(party.key for party in whole.calls[0].state.parties),
            }


def _opens(said):
    return {"start", "websocket:connected"} & {said.get("event"), said.get("eventType")} or (
        said.get("type") == "open" or said.get("command") == "connect" or "mixType" in said
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_numbers_as_strings_and_strings_as_numbers_change_nothing(name):
    host, whole = played(name, bent(name, "numbers", None)), played(name, transcript(name))
    assert (
        host.drops == COUNTED.get(name, {})
    ) or name == "drachtio-mod-audio-fork"  # its glued keys were bent to letters
    (ours,), (theirs,) = host.calls, whole.calls
    assert ours.key == theirs.key
    assert [(track.party, track.rate, track.samples) for track in ours.state.tracks] == [
        (track.party, track.rate, track.samples) for track in theirs.state.tracks
    ]


def _holder(said):
    """The object of a message that holds audio, and what it calls it."""
    for inside in (said, *(value for value in said.values() if isinstance(value, dict))):
        for key in AUDIO:
            if isinstance(inside.get(key), str | list) and len(inside[key]) > 20:
                return inside, key
    return None


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize(
    "change",
    [
        lambda inside, key: inside.update({key.upper(): inside.pop(key)}),
        lambda inside, key: inside.update({key: 5}),
        lambda inside, key: inside.update({key: {"x": inside[key]}}),
        lambda inside, key: inside.update({key: None}),
        lambda inside, key: inside.update({key: f"{inside[key][:8]} {inside[key][8:]}"}),
        lambda inside, key: inside.update({key: f"{inside[key][:8]}\n{inside[key][8:]}"}),
        lambda inside, key: inside.update({key: "\u00e9"}),
    ],
    ids=["renamed", "number", "object", "null", "blank", "line break", "no base64"],
)
def test_audio_that_is_none_is_counted_and_the_rest_lies_where_it_lay(name, change):
    whole = played(name, transcript(name))
    for place, messages, said in texts(name):
        found = _holder(said)
        if found is None or found[0].get("sampleRate") == 16_000:  # which Ozonetel's users drop
            continue
        change(*found)
        host = played(name, [*messages[:place], ("text", json.dumps(said).encode()), *messages[place + 1 :]])
        (call,) = host.calls
        assert host.drops["message", "malformed"] == 1, place
        assert but_gaps(host.drops).keys() <= {*but_gaps(whole.drops), ("message", "malformed")}
        assert call.key == whole.calls[0].key
        assert name == "yeastar" or call.state.cause == whole.calls[0].state.cause  # whose channels end by themselves
