"""``[speech.queue]``: the NATS server through which machines hand one another utterances."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Where = Literal["here", "queue", "queue when deferred"]
MACHINE = r"^[A-Za-z0-9_-]{0,64}\Z"
"""It is part of a subject of NATS, and of the name of a consumer."""


class QueueConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[speech.queue]``: a NATS JetStream server through which utterances go to machines that run ``vcond speech serve``."""

    url: Annotated[str, Meta(max_length=2048)] = ""
    """``nats://host:4222``, or ``tls://host:4222``: then nothing is said to a server that does not speak TLS."""
    user: Annotated[str, Meta(max_length=256)] = ""
    """With ``password``, if the server wants them."""
    password: Annotated[str, Meta(max_length=4096)] = ""
    """Of ``user``. By reference: ``${credential:speech-queue-password}``."""
    token: Annotated[str, Meta(max_length=4096)] = ""
    """Instead of both. By reference."""
    ca_file: Annotated[str, Meta(max_length=4096)] = ""
    """A PEM file of the authority that signed the server's certificate; empty = the system's."""
    key: Annotated[str, Meta(max_length=4096)] = ""
    """The key of what goes through the queue, the same on all machines, 32 bytes in base64 (``openssl rand -base64 32``): a file,
    or by reference: ``${credential:speech-queue-key}``. Empty = audio and words are not encrypted."""
    stream: Annotated[str, Meta(pattern=r"^[A-Z0-9_]{1,32}\Z")] = "SPEECH"
    """What its two streams begin with, ``SPEECH_JOBS`` and ``SPEECH_TEXTS``: one for each model that machines share."""
    machine: Annotated[str, Meta(pattern=MACHINE)] = ""
    """What this machine is called there and, when it transcribes for others, in their records; no other may have the
    same name. Empty = its host name."""
    most: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Utterances of this machine that are in the queue at once; further ones wait in the journal."""
    patience: Annotated[float, Meta(ge=5, le=86_400)] = 120
    """Seconds after which an utterance without an answer is taken back: it is transcribed here, or sent again."""
    max_mb: Annotated[int, Meta(ge=16, le=1_000_000)] = 1024
    """Megabytes that wait in the queue at most, when ``vcond speech serve`` makes the streams."""
    connect_timeout: Annotated[float, Meta(ge=1, le=600)] = 10
    """Seconds for making the connection, and for one answer of the NATS server."""

    def __repr__(self) -> str:
        """Without secrets: a configuration may end up in a log line."""
        return f"QueueConfig(url={self.url!r}, stream={self.stream!r}, machine={self.machine!r})"
