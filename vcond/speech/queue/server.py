"""The side that transcribes: ``vcond speech serve``. Jobs are taken from the queue, heard by the engine of this machine, answered.

A job is acknowledged when its answer is stored, so who dies in the middle of one loses nothing: another machine gets it. One that was
given out too often is answered as failed, so that nobody dies of it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import structlog

from vcond.base import metrics
from vcond.base.backoff import Backoff
from vcond.base.errors import ConfigError, ProtocolError
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.queue import messages, streams
from vcond.speech.queue.hearing import Hearing
from vcond.speech.queue.messages import Answer, Cipher, Envelope
from vcond.speech.queue.streams import Link, QueueError
from vcond.speech.queue.tally import Tally
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
SERVING: Final = "transcribing for other machines"


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
        self._config, self._cipher = config, cipher
        self._access = streams.access(config.queue)
        self.serving = asyncio.Event()
        """It was connected, with its model loaded, and takes jobs."""
        self.known = asyncio.Event()
        """Whether it can connect is known: it serves, or ``state`` says why it does not."""
        self.state = "loading the model"
        """How it is with the queue, and what to do when it cannot be used."""
        self.tally = Tally(clock)
        self._hearing = Hearing(self.speech, self.machine, cipher, self.tally)
        self._room = asyncio.Semaphore(config.worker_count + 1)
        """One more than workers, so that they do not wait for the next job."""
        self.in_hand = 0
        """Utterances that it has now."""

    def line(self) -> str:
        """How it is, for ``systemctl status``."""
        if self.speech.trouble:
            return f"not transcribing: {self.speech.trouble}"
        waiting = f", {self.tally.depth.waiting} wait" if self.tally.depth is not None else ""
        return self.state + (f": {self.tally.texts} texts{waiting}" if self.connected else "")

    @property
    def connected(self) -> bool:
        """Whether it takes jobs."""
        return self.state == SERVING

    async def run(self) -> None:
        """Load the model and serve until cancelled. What is in hand then is given back."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.speech.run(), name="speech")
            await self.speech.ready.wait()
            self.state, failures = f"connecting to {self._config.queue.url}", 0
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
                    self.state = f"not connected: {why}"
                    self.known.set()
                    log.warning("speech queue", error=str(why))
                finally:
                    metrics.stt_serving.set(0)
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
        self.state = SERVING
        metrics.stt_serving.set(1)
        self.serving.set()
        self.known.set()
        tasks.create_task(streams.cancellable(self.tally.watch(link)))
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
        done, self.in_hand = False, self.in_hand + 1
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
            self.in_hand -= 1
            if not done:
                self.tally.back()
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
                await self._say(
                    link, Envelope(0, why.job, why.edge, why.number, b"", b""), self._hearing.no("version"), name
                )
                self.tally.refusal("version", why.edge)
            else:
                self.tally.drop()
            return
        except ProtocolError as why:
            log.warning("a message in the speech queue is no job, and is dropped", error=str(why))
            self.tally.drop()
            return
        given = message.metadata.num_delivered
        answer = self._hearing.no("engine-failed") if given > MOST_GIVEN else await self._hearing.answer(outside)
        if answer is None:
            return
        await self._say(link, outside, answer, name)
        if answer.refused:
            self.tally.refusal(answer.refused, outside.edge)
        else:
            self.tally.text(time.time() - message.metadata.timestamp.timestamp())

    async def _say(self, link: Link, to: Envelope, answer: Answer, name: str) -> None:
        """Store an answer. Who has another key gets one that is not encrypted, and has nothing in it but that."""
        cipher = Cipher() if answer.refused in {"key", "version"} else self._cipher
        body = cipher.seal("answer", to.id, to.edge, to.number, messages.pack(answer))
        queue = self._config.queue
        await link.js.publish(
            streams.text_subject(queue, to.edge, to.number), body, timeout=queue.connect_timeout, stream=streams.texts(queue),
            headers={"Nats-Msg-Id": f"{to.id}.{name.rpartition('.')[2][:10]}"},
        )  # fmt: skip
