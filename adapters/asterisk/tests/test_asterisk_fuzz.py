"""What Asterisk, or who says so, sends: events, lists and frames of audio, changed anywhere."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from vcond.sdk.contract import ProtocolError
from vcond.testing.changed import spoiled
from vcond_asterisk import client, wire
from vcond_asterisk.framing import Framer, identity, is_audio

DATA = Path(__file__).parent / "data"
EVENTS = [line for file in sorted(DATA.glob("*.jsonl")) for line in file.read_bytes().splitlines()]
LISTS = [(DATA / f"get_{name}.json").read_bytes() for name in ("bridges", "channels")]
STREAMS = [bytes.fromhex(file.read_text()) for file in sorted(DATA.glob("*.hex"))]
PIECES = [b"{", b"}", b"[" * 3000, b'{"a":' * 2000, b'"', b"\0", b"\xff", b"null", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"true", b"[]",
          b'"2026-12-01T03:00:00.000+9999"', b'"0000-00-00T00:00:00.000+0000"', b',"type":"ChannelUserevent"']  # fmt: skip
KINDS = [b"\0\0\0", b"\1\0\x10" + bytes(16), b"\x10\1\x40" + bytes(320), b"\xff\0\1\4", b"\x10\xff\xff", b"\x12\2\x80"]


@pytest.mark.fuzz
def test_events_and_lists_are_read_or_break_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        with suppress(ProtocolError):
            event = wire.decode_event(spoiled(chance.choice(EVENTS), chance, PIECES))
            if event is not None:
                wire.stamp(event)
        if chance.random() < 0.1:
            body = spoiled(chance.choice(LISTS), chance, PIECES)
            for read in (wire.decode_channels, wire.decode_bridges, client._mapping):
                with suppress(ProtocolError):
                    read(body)


@pytest.mark.fuzz
def test_streams_of_audio_are_cut_into_frames_and_a_bounded_rest(fuzz):
    for chance in fuzz.rounds(20_000):
        data = spoiled(chance.choice(STREAMS), chance, KINDS)
        cut, framer = int(chance.random() * len(data)), Framer()
        frames = framer.feed(data[:cut]) + framer.feed(data[cut:])
        assert sum(len(frame.payload) + 3 for frame in frames) + framer.pending == len(data)
        for frame in frames:
            is_audio(frame, 8000)
            with suppress(ProtocolError):
                identity(frame)


def test_what_the_events_are():
    assert all(json.loads(line)["type"] for line in EVENTS)
