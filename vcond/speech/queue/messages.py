"""What goes through the queue: jobs and answers in msgpack, encrypted when there is a key. Pure: no socket, no clock.

Outside is an ``Envelope``: the version, which key, and the body, with a key AES-256-GCM of it (nonce of 12 bytes before it; bound
to the version, the kind of message and the id of the job). A job is known by the hash of what it is: the same utterance has
the same id however often it is sent, and whoever does it twice answers twice with that id.
"""

from __future__ import annotations

import hashlib
import math
import os
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from vcond.base.errors import ConfigError, ProtocolError
from vcond.speech.config import Bcp47, Vocabulary
from vcond.speech.engine import Final as Text
from vcond.speech.queue.config import MACHINE
from vcond.storage.key_store import master_key

VERSION: Final = 1
LONGEST_JOB: Final = 8 << 20
"""Bytes of a job: what NATS lets through is 64 MiB at most, and 1 MiB unless somebody raised it."""
LONGEST_ANSWER: Final = 1 << 20
"""Bytes of an answer: an utterance has half a minute."""
LONGEST_TEXT: Final = 20_000
MOST_WORDS: Final = 5000
_NONCE: Final = 12
_KEY_ID: Final = 16

Refusal = Literal["", "version", "hash", "audio", "key", "language", "late", "engine-failed", "invalid"]
"""Why a machine did not transcribe a job; empty = it did."""
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Kind = Literal["job", "answer"]


class OtherVersionError(ProtocolError):
    """A message of another version of this protocol; ``job``, ``edge`` and ``number`` are empty where it has none that we know."""

    def __init__(self, version: int, job: str, edge: str, number: int) -> None:
        super().__init__(f"a message of version {version}, and this vcond speaks {VERSION}")
        self.job, self.edge, self.number = job, edge, number


class OtherKeyError(ProtocolError):
    """It was encrypted with another key, or with one where there is none here, or not where there is one."""


class Envelope(msgspec.Struct, frozen=True):
    """A message as NATS has it."""

    v: int
    id: Id
    """Of the job that it is, or answers."""
    edge: Annotated[str, Meta(pattern=MACHINE, min_length=1)]
    """The machine whose utterance it is."""
    number: Annotated[int, Meta(ge=0, le=1000)]
    """Which of that machine's models asks: answers come back to it."""
    key: Annotated[bytes, Meta(max_length=_KEY_ID)]
    """Which key; empty = it is not encrypted."""
    body: Annotated[bytes, Meta(max_length=LONGEST_JOB)]


class QueuedUtterance(msgspec.Struct, frozen=True):
    """A job: an utterance to be transcribed."""

    call: Annotated[str, Meta(max_length=200)]
    track: Annotated[int, Meta(ge=0, le=1_000_000)]
    start: int
    """Samples of the track ``[start, stop)`` at the track's own rate."""
    stop: int
    rate: Annotated[int, Meta(ge=8000, le=48_000)]
    """Samples a second of ``audio``."""
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """Of ``audio``."""
    deadline: float
    """Seconds since the epoch after which nobody waits for it."""
    audio: bytes
    """FLAC, one channel, 16-bit samples."""
    language: Bcp47 = ""
    vocabulary: Vocabulary = []


class Answer(msgspec.Struct, frozen=True):
    """What became of a job."""

    machine: Annotated[str, Meta(pattern=MACHINE, min_length=1)]
    """Who answers."""
    refused: Refusal = ""
    engine: Annotated[str, Meta(max_length=200)] = ""
    model: Annotated[str, Meta(max_length=200)] = ""
    text: Text = Text("")
    cpu_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    deadline: float = 0.0
    """That of the job, where it is refused as late; 0 = who answers is of a version that does not say."""


class Cipher:
    """Encrypts what is sent and decrypts what comes; without a key neither is done."""

    def __init__(self, secret: bytes = b"") -> None:
        """``secret``: 32 bytes, or none."""
        self._cipher = AESGCM(secret) if secret else None
        self.id = hashlib.sha256(b"vcond speech queue key\0" + secret).digest()[:_KEY_ID] if secret else b""
        """Which key, for who has several; it tells nothing of the key itself."""

    def seal(self, kind: Kind, job: str, edge: str, number: int, body: bytes) -> bytes:
        """The message with that body."""
        if self._cipher is not None:
            nonce = os.urandom(_NONCE)
            body = nonce + self._cipher.encrypt(nonce, body, _bound(VERSION, kind, job, edge, number))
        return msgspec.msgpack.encode(Envelope(VERSION, job, edge, number, self.id, body))

    def open(self, kind: Kind, envelope: Envelope) -> bytes:
        """The body of a message. Raises OtherKeyError."""
        if envelope.key != self.id:
            raise OtherKeyError(f"the {kind} is {'encrypted with another key' if envelope.key else 'not encrypted'}")
        if self._cipher is None:
            return envelope.body
        bound = _bound(envelope.v, kind, envelope.id, envelope.edge, envelope.number)
        try:
            return self._cipher.decrypt(envelope.body[:_NONCE], envelope.body[_NONCE:], bound)
        except (InvalidTag, ValueError):
            raise OtherKeyError(f"the {kind} was changed on its way") from None


def cipher(key: str) -> Cipher:
    """Of ``speech.queue.key``; it reads a file, if that is named there. Raises ConfigError."""
    if not key:
        return Cipher()
    try:
        return Cipher(master_key(key))
    except ConfigError as why:
        raise ConfigError(why.message, "speech.queue.key") from None


class _Version(msgspec.Struct):
    """What a message of any version is believed to have."""

    v: int
    id: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    edge: Annotated[str, Meta(pattern=MACHINE)] = ""
    number: Annotated[int, Meta(ge=0, le=1000)] = 0


T = TypeVar("T")
_VERSIONS = msgspec.msgpack.Decoder(_Version)
_ENVELOPES = msgspec.msgpack.Decoder(Envelope)
_JOBS = msgspec.msgpack.Decoder(QueuedUtterance)
_ANSWERS = msgspec.msgpack.Decoder(Answer)


def identity(edge: str, job: QueuedUtterance) -> str:
    """The id of a job: 64 hexadecimal digits. The same utterance with the same hint has the same one, whatever its deadline."""
    parts = [edge, job.call, job.track, job.start, job.stop, job.rate, job.sha256, job.language, job.vocabulary]
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


def pack(message: QueuedUtterance | Answer) -> bytes:
    """The inside of a message."""
    return msgspec.msgpack.encode(message)


def envelope(data: bytes) -> Envelope:
    """The outside of a message. Raises OtherVersionError, ProtocolError; neither has a word of what was in it."""
    if len(data) > LONGEST_JOB:
        raise ProtocolError("message too long")
    outside = _decoded(_VERSIONS, data, "message")
    if outside.v != VERSION:
        raise OtherVersionError(outside.v, outside.id, outside.edge, outside.number)
    return _decoded(_ENVELOPES, data, "message")


def job(body: bytes) -> QueuedUtterance:
    """What is to be done. Raises ProtocolError."""
    found = _decoded(_JOBS, body, "job")
    if not 0 <= found.start < found.stop < 1 << 53:
        raise ProtocolError("a job without audio")
    if not math.isfinite(found.deadline):  # of the loop's timers one that is not a number stops others
        raise ProtocolError("a job without a deadline")
    return found


def answer(body: bytes) -> Answer:
    """What was done. Raises ProtocolError."""
    if len(body) > LONGEST_ANSWER:
        raise ProtocolError("answer too long")
    found = _decoded(_ANSWERS, body, "answer")
    text = found.text
    if (
        len(text.text) > LONGEST_TEXT
        or len(text.words) > MOST_WORDS
        or sum(len(w.text) for w in text.words) > LONGEST_TEXT
    ):
        raise ProtocolError("answer too long")
    words = tuple(msgspec.structs.replace(word, text=_printable(word.text)) for word in text.words)
    clean = msgspec.structs.replace(
        text,
        text=_printable(text.text),
        words=words,
        language=_printable(text.language)[:35],
        note=_printable(text.note),
    )
    return msgspec.structs.replace(found, text=clean, engine=_printable(found.engine), model=_printable(found.model))


def _bound(version: int, kind: str, job_id: str, edge: str, number: int) -> bytes:
    return msgspec.msgpack.encode(["vcond speech queue", version, kind, job_id, edge, number])


def _printable(text: str) -> str:
    """Without control characters: it comes from another machine."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes, what: str) -> T:
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        raise ProtocolError(f"not a {what} of the speech queue") from None
