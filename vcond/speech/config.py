"""``[speech]``: what turns speech into text, and what it may use of the machine."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta

from vcond.call.matching import Match
from vcond.speech.queue.config import QueueConfig, Where
from vcond.speech.workers.allocator import Allocator

MOST_WORDS = 500_000
"""Bytes of a vocabulary: it goes to a worker in one message."""
Vocabulary = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=10_000)]

Bcp47 = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z0-9-]*$")]


LEAST_ACTIVE = 300
"""States: Kaldi keeps 200 in any case, unless a model says otherwise, and fewer than 700 were never measured."""


def _bounded(vocabulary: list[str]) -> None:
    """Raises ValueError, which msgspec makes an error that names the place."""
    if sum(len(phrase.encode()) + 5 for phrase in vocabulary) > MOST_WORDS:
        raise ValueError(f"the vocabulary is longer than {MOST_WORDS} bytes")


class Route(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[[speech.routes]]``: how some calls are heard. The first that matches counts."""

    match: Match = Match()
    """Nothing named = every call."""
    language: Bcp47 = ""
    """Empty = that of ``[speech]``."""
    vocabulary: Vocabulary | None = None
    """The only words and phrases; ``[]`` = every word. Left out = that of ``[speech]``."""
    engine: Annotated[str, Meta(max_length=200, pattern=r"^([A-Za-z_][A-Za-z0-9_.:-]*)?$")] = ""
    """As in ``[speech]``; empty = the same as there or, with a ``model``, the one that the model is for. An engine without
    a ``model`` takes one of the ``language`` that is found."""
    model: Annotated[str, Meta(max_length=4096)] = ""
    """Folder of a model for these calls, loaded beside the others. It counts for tracks that open after a call matches."""
    where: Where | None = None
    """Where these calls are transcribed. Left out = as ``[speech]`` says."""
    workers: Annotated[int, Meta(ge=0, le=64)] = 0
    """Worker processes of that model. 0 = as many as ``[speech]`` has."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        _bounded(self.vocabulary or [])


class SpeechConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[speech]``: what turns speech into text, and what it may use of the machine."""

    engine: Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]*$")] = "auto"
    """``auto`` (a vosk, else a Whisper model that is found, else the packaged one, else none), ``vosk``, ``whisper``, ``remote``
    (a vosk-server elsewhere, see ``url``), ``none``, another name of the entry point group ``vcond.engines``, or
    ``package.module:Class``."""
    model: Annotated[str, Meta(max_length=4096)] = ""
    """Folder of the model. Empty = found: ``VOSK_MODEL_PATH``, ``/usr/share/vosk``, ``/var/lib/vcond/models``, or
    the model that the extra ``embedded`` brings. For ``remote``: what records call the server's model."""
    url: Annotated[str, Meta(max_length=2048, pattern=r"^(wss?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = ""
    """Where ``remote`` finds its server: ``ws://host:2700``, or ``wss://`` for one behind TLS."""
    token: Annotated[str, Meta(max_length=4096, pattern=r"^[\x21-\x7e]*$")] = ""
    """What that server wants as ``Authorization: Bearer``; empty = nothing."""
    ca: Annotated[str, Meta(max_length=4096)] = ""
    """File (PEM) of the authority of that server's certificate; empty = the machine's own authorities."""
    language: Bcp47 = ""
    """BCP 47 (``en``, ``de-CH``) of calls that do not name one. Empty = what the model speaks."""
    vocabulary: Vocabulary = []
    """The only words and phrases a vosk engine may hear; ``[unk]`` stands for all others. Empty = every word."""
    partials: bool = True
    """Whether words are shown while they are spoken, as far as the machine has time for it."""
    workers: Annotated[int, Meta(ge=0, le=64)] = 0
    """Worker processes. 0 = one for each CPU, at most 4."""
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    """Threads of one worker. More workers serve more calls than more threads do."""
    streams: Annotated[int, Meta(ge=1, le=1000)] = 16
    """Utterances a worker of a streaming engine follows at once, each with its recognizer (vosk: some 50 MB, a few with a graph
    that was composed beforehand)."""
    max_active: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """vosk: how many states its search keeps at most, as Kaldi calls it. Fewer cost less, and lose words where speech
    is unclear. 0 = what the model says; more than that changes nothing."""
    allocator: Allocator = "auto"
    """Memory allocator of workers: ``auto`` = jemalloc if the machine has it (libjemalloc2), else glibc with huge pages;
    ``system`` = as every other program here."""
    nice: Annotated[int, Meta(ge=0, le=19)] = 5
    """How far workers stand back behind the capture of audio."""
    memory_mb: Annotated[int, Meta(ge=100, le=1_000_000)] = 1024
    """What a worker may take on top of its loaded model before it is replaced as soon as it has nothing in hand. Taking
    twice as much fails, and ends it at once."""
    start_seconds: Annotated[float, Meta(gt=0, le=3600)] = 120
    """Seconds that a worker may take to load its model."""
    step_seconds: Annotated[float, Meta(gt=0, le=3600)] = 30
    """Seconds that a worker may be silent before it is killed, on top of twice the length of the audio it was given."""
    restart_seconds: Annotated[float, Meta(ge=0, le=60)] = 0.25
    """Seconds before a worker that died is started again; doubles with every death in a row, up to 30 seconds."""
    where: Where = "here"
    """Where speech is transcribed: ``here``; ``queue`` = on other machines, through ``[speech.queue]``; ``queue when deferred`` = here,
    and what has to wait, because there is too much speech or after a restart, here and there."""
    queue: QueueConfig = QueueConfig()
    """Other machines that transcribe, and through which NATS server they are reached."""
    routes: Annotated[list[Route], Meta(max_length=1000)] = []
    """Calls with a language or a vocabulary of their own; the first that matches counts."""
    max_utterances: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """Utterances of one call that may wait for their text. What is spoken beyond is recorded, not transcribed."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        _bounded(self.vocabulary)
        if 0 < self.max_active < LEAST_ACTIVE:
            raise ValueError(f"max_active must be 0 or at least {LEAST_ACTIVE}")
        if not self.queue.url and {self.where, *(route.where or "here" for route in self.routes)} != {"here"}:
            raise ValueError("where names the queue, and queue.url is not set")

    def __repr__(self) -> str:
        """Without the token: a configuration may end up in a log line."""
        return f"SpeechConfig(engine={self.engine!r}, model={self.model!r}, url={self.url!r})"

    @property
    def worker_count(self) -> int:
        """Workers to start."""
        return self.workers or min(4, len(os.sched_getaffinity(0)))
