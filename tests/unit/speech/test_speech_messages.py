from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import ProtocolError
from vcond.speech.engine import Final, Heard, Hint
from vcond.speech.workers import messages

REQUESTS = [
    messages.Start("whisper", "/models/x", 1, 5),
    messages.Open(1, Hint(8000, "en", ("yes", "no"))),
    messages.Feed(1, b"\x00\x01" * 160),
    messages.Ask(1, text=False),
    messages.Finish(1),
    messages.Drop(1),
]
ANSWERS = [
    messages.Ready("vosk", "small-en", streaming=True, languages=("en",), memory=1),
    messages.Said(1, "so far"),
    messages.Done(1, Final("all", (Heard(0.1, 0.2, "all", 0.9),), "en", 0.9), 12, 34),
    messages.Failed("RuntimeError", 1),
]


class Bytes:
    """A socket that has these bytes, in pieces of any size, and then its end."""

    def __init__(self, data: bytes, piece: int = 1 << 20) -> None:
        self.data, self.piece = data, piece

    def recv(self, size: int, /) -> bytes:
        part, self.data = self.data[: min(size, self.piece)], self.data[min(size, self.piece) :]
        return part

    def sendall(self, data: bytes, /) -> None:
        self.data += data


@pytest.mark.parametrize("message", REQUESTS)
def test_requests_come_out_as_they_went_in(message: messages.Request) -> None:
    body = messages.receive(Bytes(messages.pack(message), piece=3))
    assert body is not None
    assert messages.request(body) == message


@pytest.mark.parametrize("message", ANSWERS)
def test_answers_come_out_as_they_went_in(message: messages.Answer) -> None:
    body = messages.receive(Bytes(messages.pack(message), piece=1))
    assert body is not None
    assert messages.answer(body) == message


@pytest.mark.parametrize("message", REQUESTS)
def test_a_request_is_no_answer(message: messages.Request) -> None:
    with pytest.raises(ProtocolError):
        messages.answer(messages.pack(message)[4:])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    for decode in (messages.request, messages.answer):
        with contextlib.suppress(ProtocolError):
            assert isinstance(decode(data), messages.Message)


def test_what_was_in_a_message_is_not_in_the_error() -> None:
    with pytest.raises(ProtocolError, match=r"^not an answer$"):
        messages.answer(messages.pack(messages.Finish(1))[4:] + b"secret")


@given(st.sampled_from([*map(messages.pack, REQUESTS)]), st.integers(0, 400))
def test_a_frame_that_is_cut_off_is_the_end(frame: bytes, at: int) -> None:
    cut = frame[: min(at, len(frame) - 1)]
    assert messages.receive(Bytes(cut, piece=7)) is None


@given(st.binary(max_size=300), st.sampled_from([*map(messages.pack, ANSWERS)]), st.data())
def test_a_damaged_frame_never_gets_out_as_anything_else(noise: bytes, frame: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(frame)))
    channel = Bytes(frame[:at] + noise + frame[at:])
    try:
        while (body := messages.receive(channel)) is not None:
            messages.answer(body)
    except ProtocolError:
        pass


@pytest.mark.parametrize("head", [b"\x00\x00\x00\x00", b"\x00\x10\x00\x01", b"\xff\xff\xff\xff"])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(head: bytes) -> None:
    channel = Bytes(head + b"x" * 100)
    with pytest.raises(ProtocolError):
        messages.receive(channel)
    assert len(channel.data) == 100


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ProtocolError):
        messages.pack(messages.Said(1, "x" * messages.LONGEST))


def test_a_piece_of_audio_fits_and_more_does_not() -> None:
    assert messages.request(messages.pack(messages.Feed(1, b"\x00" * messages.PIECE))[4:])
    with pytest.raises(ProtocolError):
        messages.request(messages.pack(messages.Feed(1, b"\x00" * (messages.PIECE + 2)))[4:])


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "read",
    [test_any_bytes_are_a_message_or_a_protocol_error, test_a_damaged_frame_never_gets_out_as_anything_else],
)
def test_many_more_messages_are_refused_as_well(fuzz: Any, read: Any) -> None:
    fuzz.examples(4000, read)
