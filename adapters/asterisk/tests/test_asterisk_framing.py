"""AudioSocket frames, as captured and as broken."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.sdk.contract import ProtocolError
from vcond_asterisk.framing import HANGUP, IDENTITY, RATES, Frame, Framer, identity, is_audio


def wire_bytes(kind, payload):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize(("name", "kind", "length", "rate"), [("slin", 0x10, 320, 8000), ("slin16", 0x12, 640, 16000)])
def test_captured_streams_begin_with_their_name_and_go_on_with_audio(data, name, kind, length, rate):
    captured = bytes.fromhex((data / f"audiosocket-{name}-first200.hex").read_text())
    framer = Framer()
    (first,) = framer.feed(captured)
    assert isinstance(identity(first), UUID)
    (audio,) = framer.feed(bytes(length + 3 - framer.pending))
    assert (audio.kind, len(audio.payload)) == (kind, length)
    assert is_audio(audio, rate)
    assert not is_audio(audio, 24000 - rate)


def test_opus_under_the_name_of_linear_audio_is_no_audio(data):
    """Dial(AudioSocket/...) without a codec, as captured."""
    captured = bytes.fromhex((data / "audiosocket-ext313-first200.hex").read_text())
    first, *rest = Framer().feed(captured)
    identity(first)
    assert rest
    assert {frame.kind for frame in rest} == {0x10}
    assert not any(is_audio(frame, 8000) for frame in rest)


frames = st.lists(st.builds(Frame, kind=st.integers(0, 255), payload=st.binary(max_size=700)), max_size=12)


@settings(deadline=None)
@given(frames, st.lists(st.integers(1, 900), max_size=40))
def test_frames_are_the_same_however_the_stream_is_cut(sent, cuts):
    stream = b"".join(wire_bytes(frame.kind, frame.payload) for frame in sent)
    framer, got = Framer(), []
    for size in [*cuts, len(stream)]:
        chunk, stream = stream[:size], stream[size:]
        got += framer.feed(chunk)
    assert got == sent
    assert framer.pending == 0


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_are_frames_and_a_bounded_rest(chunks):
    framer = Framer()
    total = sum(len(frame.payload) + 3 for chunk in chunks for frame in framer.feed(chunk))
    assert total + framer.pending == sum(map(len, chunks))
    assert framer.pending <= 65538


@pytest.mark.parametrize("frame", [Frame(IDENTITY, b"short"), Frame(0x10, bytes(16)), Frame(HANGUP, b"")])
def test_a_stream_without_a_name_is_refused(frame):
    with pytest.raises(ProtocolError):
        identity(frame)


def test_what_is_audio():
    assert RATES[0x10] == 8000
    assert is_audio(Frame(0x10, bytes(320)), 8000)
    assert is_audio(Frame(0x10, bytes(160)), 8000)
    for wrong in (0, 1, 319, 321, 33, 3360):
        assert not is_audio(Frame(0x10, bytes(wrong)), 8000), wrong
    assert not is_audio(Frame(0x7F, bytes(320)), 8000)
