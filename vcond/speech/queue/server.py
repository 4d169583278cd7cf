"""The side that transcribes: ``vcond speech serve``. Jobs are taken from the queue, heard by the engine of this machine, answered.

A job is acknowledged when its answer is stored, so who dies in the middle of one loses nothing: another machine gets it. One that was
given out too often is answered as failed, so that nobody dies of it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import BadMediaError, ConfigError, ProtocolError
from vcond.base.time import Instant, nanos
from vcond.call.events import Event, Transcribed, Untranscribed, Utterance, Warned
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import Final as Text
from vcond.speech.engine import Heard, Pcm
from vcond.speech.queue import audio, messages, streams
from vcond.speech.queue.messages import Answer, Cipher, Envelope, QueuedUtterance, Refusal
from vcond.speech.queue.streams import Link, QueueError
from vcond.speech.source import Clock

if TYPE_CHECKING:
    from nats.aio.msg import Msg

log = structlog.get_logger()

HELD: Final = 30.0
"""Seconds in which a machine says that it is still at work on a job; without that another one gets it."""
BACK: Final = 2.0
"""Seconds until a job that was given back is given out again."""
MOST_GIVEN: Final = 5
"""How often a job is given out before it is answered as failed: machines may die of it."""
AGAIN: Final = Backoff(1.0, 30.0)
FETCH: Final = 5.0
"""Seconds that one request for a job waits."""
LONGEST: Final = 3600.0
"""Seconds that a job may want, whatever its deadline says."""
ZERO: Final = Instant(0)


@dataclass(eq=False)
class HeardElsewhere:
    """A job as the speech service sees it (``vcond.speech.source.Source``): one utterance, in memory."""

    call: str
    pcm: Pcm
    rate: int
    language: str
    vocabulary: tuple[str, ...] | None
    track: int = 0
    text: Transcribed | None = None
    reason: str = "engine-failed"
    notes: list[str] = field(default_factory=list)

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``."""
        return self.pcm[start:stop]

    def emit(self, event: Event) -> None:
        """The text, or why there is none."""
        if isinstance(event, Transcribed):
            self.text = event
        elif isinstance(event, Untranscribed):
            self.reason = event.reason
        elif isinstance(event, Warned):
            self.notes.append(event.text)

    def next_utterance(self) -> int:
        """There is one only."""
        return 0

    def partial(self, start: int, stop: int, text: str) -> None:
        """Nobody watches."""

    def at(self, position: int) -> Instant:
        """The moment of a position, from the beginning."""
        return Instant(ZERO + nanos(position, self.rate))

    def utterance(self) -> Utterance:
        """All of it."""
        return Utterance(at=ZERO, utterance=0, track=0, start=0, stop=len(self.pcm))


class SpeechServer:
    """Transcribes for other machines until it is cancelled."""

    def __init__(self, config: SpeechConfig, *, clock: Clock, machine: str, cipher: Cipher) -> None:
        """Raises ConfigError for what it cannot work with."""
        if config.where != "here":
            raise ConfigError("a machine that serves the queue transcribes by itself: remove it", "speech.where")
        self.speech = Speech(config, clock=clock)
        if not self.speech.choice.engine:
            raise ConfigError(
                self.speech.choice.trouble or "is none: there is nothing to transcribe with", "speech.engine"
            )
        self.machine = streams.label(config.queue, machine)
        self._config, self._cipher, self._count = config, cipher, itertools.count()
        self._access = streams.access(config.queue)
        self.serving = asyncio.Event()
        """It was connected, with its model loaded, and takes jobs."""
        self.known = asyncio.Event()
        """Whether it can connect is known: it serves, or ``_state`` says why it does not."""
        self._state = "loading the model"
        self._room = asyncio.Semaphore(config.worker_count + 1)
        """One more than workers, so that they do not wait for the next job."""

    def line(self) -> str:
        """How it is, for ``systemctl status``."""
        return f"not transcribing: {self.speech.trouble}" if self.speech.trouble else self._state

    async def run(self) -> None:
        """Load the model and serve until cancelled. What is in hand then is given back."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.speech.run(), name="speech")
            await self.speech.ready.wait()
            self._state, failures = f"connecting to {self._config.queue.url}", 0
            while True:
                try:
                    async with streams.linked(self._config.queue, self._access) as link:
                        await streams.make_streams(link)
                        await streams.check_streams(link)
                        failures = 0
                        log.info("transcribing for other machines", url=self._config.queue.url, machine=self.machine)
                        await self._serve(link)
                except QueueError as why:
                    streams.end_if_cancelled()
                    failures += 1
                    self._state = f"not connected: {why}"
                    self.known.set()
                    log.warning("speech queue", error=str(why))
                await asyncio.sleep(AGAIN.wait(failures))

    async def _serve(self, link: Link) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.until_gone())
                await streams.cancellable(self._take(link, tasks))
        except BaseExceptionGroup as why:
            told = streams.said(why, self._config.queue)
            if told is None:
                raise
            raise told from why

    async def _take(self, link: Link, tasks: asyncio.TaskGroup) -> None:
        from nats.js.api import ConsumerConfig

        queue = self._config.queue
        waiting = await link.js.pull_subscribe(
            streams.job_subject(queue), durable=streams.CONSUMER, stream=streams.jobs(queue),
            config=ConsumerConfig(ack_wait=HELD, max_ack_pending=10_000),
        )  # fmt: skip
        self._state = "transcribing for other machines"
        self.serving.set()
        self.known.set()
        while True:
            await self._room.acquire()
            found: list[Msg] = []
            try:
                if self.speech.trouble:  # its workers do not start: others may have more luck
                    await asyncio.sleep(FETCH)
                else:
                    with contextlib.suppress(TimeoutError):
                        found = await waiting.fetch(1, timeout=FETCH)
            finally:
                if not found:
                    self._room.release()
            for message in found:
                tasks.create_task(self._do(link, message))

    async def _do(self, link: Link, message: Msg) -> None:
        """One job. It is acknowledged when its answer is stored, or when nobody can be answered; else it is given back."""
        done = False
        try:
            async with asyncio.TaskGroup() as tasks:
                beats = tasks.create_task(self._still_at_it(message))
                try:
                    await self._answer(link, message)
                finally:
                    beats.cancel()
            await message.ack()
            done = True
        except Exception as why:
            told = streams.said(why, self._config.queue, answers=True)
            if told is None:
                raise
            log.warning("an answer cannot be stored; its job is given back", error=str(told))
        finally:
            self._room.release()
            if not done and not link.client.is_closed:
                with contextlib.suppress(Exception):
                    await asyncio.shield(message.nak(delay=BACK))

    async def _still_at_it(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(HELD / 3)
            await message.in_progress()

    async def _answer(self, link: Link, message: Msg) -> None:
        name = (message.headers or {}).get("Nats-Msg-Id", "")
        try:
            outside = messages.envelope(message.data)
        except messages.OtherVersionError as why:
            log.warning(
                "a job of another version is refused", error=str(why), machine=why.edge, hint="upgrade one of both"
            )
            if why.job and why.edge:
                await self._say(link, Envelope(0, why.job, why.edge, why.number, b"", b""), self._no("version"), name)
            return
        except ProtocolError as why:
            log.warning("a message in the speech queue is no job, and is dropped", error=str(why))
            return
        given = message.metadata.num_delivered
        answer = self._no("engine-failed") if given > MOST_GIVEN else await self._heard(outside)
        if answer is not None:
            await self._say(link, outside, answer, name)

    async def _say(self, link: Link, to: Envelope, answer: Answer, name: str) -> None:
        """Store an answer. Who has another key gets one that is not encrypted, and has nothing in it but that."""
        cipher = Cipher() if answer.refused in {"key", "version"} else self._cipher
        body = cipher.seal("answer", to.id, to.edge, to.number, messages.pack(answer))
        queue = self._config.queue
        await link.js.publish(
            streams.text_subject(queue, to.edge, to.number), body, timeout=queue.connect_timeout, stream=streams.texts(queue),
            headers={"Nats-Msg-Id": f"{to.id}.{name.rpartition('.')[2][:10]}"},
        )  # fmt: skip

    async def _heard(self, outside: Envelope) -> Answer | None:
        """What is answered; None = its deadline came while it was worked on: nobody waits."""
        try:
            job = messages.job(self._cipher.open("job", outside))
        except messages.OtherKeyError as why:
            log.warning(
                "a job is refused",
                machine=outside.edge,
                error=str(why),
                hint="speech.queue.key must be the same on all machines",
            )
            return self._no("key")
        except ProtocolError:
            return self._refused(outside, "invalid")
        if (left := job.deadline - time.time()) <= 0:
            return msgspec.structs.replace(self._refused(outside, "late"), deadline=job.deadline)
        try:
            pcm = await asyncio.to_thread(_samples, job)
        except BadMediaError as why:
            return self._refused(outside, "audio" if str(why) else "hash")
        return await self._transcribed(outside, job, pcm, min(left, LONGEST))

    async def _transcribed(self, outside: Envelope, job: QueuedUtterance, pcm: Pcm, seconds: float) -> Answer | None:
        source = HeardElsewhere(f"{outside.id}.{next(self._count)}", pcm, job.rate, job.language, tuple(job.vocabulary))
        self.speech.catch_up(source, [source.utterance()])
        try:
            if not await self.speech.settled(source.call, seconds):
                return None
        finally:
            self.speech.forget(source.call)
        text = source.text
        if text is None:
            return self._refused(outside, "language" if source.reason == "language" else "engine-failed")
        words = tuple(Heard(w.start / job.rate, w.stop / job.rate, w.text, w.confidence) for w in text.words)
        heard = Text(text.text, words, text.language, text.confidence, next(iter(source.notes), ""))
        return Answer(self.machine, "", text.engine, text.model, heard, text.took_ms)

    def _refused(self, outside: Envelope, why: Refusal) -> Answer:
        log.warning("a job is refused", machine=outside.edge, reason=why)
        return self._no(why)

    def _no(self, why: Refusal) -> Answer:
        return Answer(self.machine, why)


def _samples(job: QueuedUtterance) -> Pcm:
    """Its audio, shape (samples,). Raises BadMediaError; without a text when it is not what its hash says."""
    if hashlib.sha256(job.audio).digest() != job.sha256:
        raise BadMediaError("")
    return audio.decoded(job.audio, job.rate)
