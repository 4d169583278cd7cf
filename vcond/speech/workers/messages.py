"""What the service and a worker say to one another: typed messages in msgpack, each behind its length.

A frame is 4 bytes of length, big endian, and that many bytes of one msgpack map whose key ``t`` names the message.
The service sends one step (``Open``, ``Feed``..., then ``Ask`` or ``Finish``) and waits for its one answer; ``Drop``
has none. A process that workers are forked from takes ``Fork`` only. A frame that is too long or no message ends the
connection: neither side can trust the rest of the bytes.
"""

from __future__ import annotations

import struct
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from vcond.base.errors import ProtocolError
from vcond.speech.engine import Final, Hint, Server
from vcond.speech.workers.allocator import Allocator

LONGEST = 1 << 20
"""Bytes of a message. Audio is sent in pieces of ``PIECE``; texts are far shorter."""
PIECE = 1 << 18
"""Bytes of audio in one ``Feed``."""
LONGEST_WARNING = 2000
"""Characters."""
HEAD = struct.Struct(">I")

Name = Annotated[str, Meta(max_length=200)]


class Message(msgspec.Struct, tag_field="t"):
    """Base of all."""


class Start(Message, tag=True):
    """The first message to a worker: which engine to load."""

    engine: str
    model: str
    threads: int
    nice: int
    server: Server | None = None
    streams: int = 8
    """Recognitions that will be open at once."""
    vocabulary: tuple[str, ...] = ()
    """That of most utterances."""
    vocabularies: bool = False
    """Some have one of their own."""
    growth: int = 0
    """Bytes that it may take on top of what it has when its engine is loaded; 0 = as many as it likes."""
    forks: bool = False
    """Be what workers are forked from, if the engine can be forked. ``Ready`` says whether it is."""
    warm: bool = True
    """Warm the engine, if it is forked and can be warmed."""
    max_active: int = 0
    """As ``EngineOptions`` has it."""
    allocator: Allocator = "auto"
    """What its process gets."""


class Open(Message, tag=True):
    """A new recognition of the number ``job``."""

    job: int
    hint: Hint


class Feed(Message, tag=True):
    """Audio for it: 16-bit samples in the machine's byte order."""

    job: int
    pcm: Annotated[bytes, Meta(max_length=PIECE)]


class Ask(Message, tag=True):
    """Answer with ``Said``: what was heard so far, or with an empty text if only an answer is wanted."""

    job: int
    text: bool = True


class Finish(Message, tag=True):
    """Answer with ``Done``; the recognition is closed."""

    job: int


class Fork(Message, tag=True):
    """Fork a worker; with it come two descriptors, the worker's socket and where its output goes. Answered ``Forked``,
    and the worker says ``Ready`` on its socket.
    """


class Drop(Message, tag=True):
    """Close the recognition without an answer; one that is not open is no error."""

    job: int


class Ready(Message, tag=True):
    """The first answer of a worker: its engine is loaded."""

    engine: Name
    model: Name
    streaming: bool
    languages: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    memory: int = 0
    """Bytes of resident memory."""
    forks: bool = False
    """It takes nothing but ``Fork``."""
    warning: Annotated[str, Meta(max_length=LONGEST_WARNING)] = ""
    """What the operator should know of the engine."""


class Forked(Message, tag=True):
    """A worker was forked. It is not waited for before the next ``Fork``, so its number is its own until then."""

    pid: Annotated[int, Meta(ge=1)]


class Warmed(Message, tag=True):
    """Said unasked, once: workers that are forked from now on are as fast as they get."""


class Said(Message, tag=True):
    """What was heard so far."""

    job: int
    text: str


class Done(Message, tag=True):
    """What was said."""

    job: int
    final: Final
    cpu_ms: int
    """CPU time of all steps of this job."""
    memory: int
    """Bytes of resident memory now."""


class Failed(Message, tag=True):
    """The engine raised. ``job`` is None when it could not be loaded; then the worker ends."""

    kind: Name
    """The exception's type."""
    job: int | None = None
    text: Annotated[str, Meta(max_length=2000)] = ""
    """What the operator can do about it; only of our own exceptions, whose texts hold nothing said."""


Request = Start | Open | Feed | Ask | Finish | Drop | Fork
Answer = Ready | Forked | Warmed | Said | Done | Failed

_REQUESTS = msgspec.msgpack.Decoder(Request)
_ANSWERS = msgspec.msgpack.Decoder(Answer)
_ENCODER = msgspec.msgpack.Encoder()


class Channel(Protocol):
    """The part of a blocking socket that is used here."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes, or none at the end."""

    def sendall(self, data: bytes, /) -> None:
        """All of them."""


def pack(message: Request | Answer) -> bytes:
    """A whole frame. Raises ProtocolError when the message is too long."""
    body = _ENCODER.encode(message)
    if len(body) > LONGEST:
        raise ProtocolError("message too long")
    return HEAD.pack(len(body)) + body


def length(head: bytes) -> int:
    """The length that the first 4 bytes of a frame announce. Raises ProtocolError when it cannot be right."""
    size: int = HEAD.unpack(head)[0]
    if not 0 < size <= LONGEST:
        raise ProtocolError("frame of impossible length")
    return size


def request(body: bytes) -> Request:
    """A message to a worker. Raises ProtocolError, without a word of what was in it."""
    try:
        message: Request = _REQUESTS.decode(body)
    except (ValueError, RecursionError):
        raise ProtocolError("not a request") from None
    return message


def answer(body: bytes) -> Answer:
    """A message of a worker. Raises ProtocolError, without a word of what was in it."""
    try:
        message: Answer = _ANSWERS.decode(body)
    except (ValueError, RecursionError):
        raise ProtocolError("not an answer") from None
    return message


def receive(channel: Channel) -> bytes | None:
    """The next frame's body, or None when the other side is gone. Raises ProtocolError. For the worker, which waits."""
    head = _exactly(channel, HEAD.size)
    return None if head is None else _exactly(channel, length(head))


def _exactly(channel: Channel, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = channel.recv(min(size, 1 << 16))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
