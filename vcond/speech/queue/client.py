"""The side that asks: utterances go into the queue, answers come back and become texts of their calls.

What is sent stays where it was, in the journal; here is only which utterance an answer is for. Whatever happens to the NATS server, to
those who transcribe or to this process costs time: what has no answer is sent again, or transcribed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from vcond.base import metrics
from vcond.base.backoff import Backoff
from vcond.base.errors import OperatorError
from vcond.speech.config import SpeechConfig
from vcond.speech.engine import Pcm
from vcond.speech.load.admission import Admission
from vcond.speech.queue import audio, messages, streams
from vcond.speech.queue.answers import Answers
from vcond.speech.queue.messages import Cipher, QueuedUtterance
from vcond.speech.queue.sent import SILENT, Sent
from vcond.speech.queue.streams import Link, QueueError
from vcond.speech.scheduler import TRIES, Scheduler, Step
from vcond.speech.segmenting import read
from vcond.speech.workers.messages import Ready
from vcond.speech.workers.steps import Steps

log = structlog.get_logger()

AGAIN: Final = Backoff(1.0, 30.0)
LOOK: Final = 1.0
"""Seconds between two looks at deadlines."""
AT_ONCE: Final = 64
"""Answers that are fetched together."""
FETCH: Final = 20.0
"""Seconds that one request for answers waits."""
SILENCE: Final = "no machine answers: start vcond speech serve, and look at its log"


class SpeechQueue:
    """What one model's speech gives to other machines."""

    def __init__(
        self,
        config: SpeechConfig,
        scheduler: Scheduler,
        steps: Steps,
        admission: Admission,
        heard: Callable[[Ready], None],
        *,
        machine: str,
        number: int,
        cipher: Cipher,
    ) -> None:
        """``heard`` is told what engine answers. ``number``: which of this machine's models it is. Raises ConfigError."""
        self.trouble = ""
        """Why nothing comes back now, and what to do about it; empty while all is well."""
        self._queue, self._everything, self._number = config.queue, config.where == "queue", number
        self._scheduler, self._steps, self._admission = scheduler, steps, admission
        self._machine = streams.label(config.queue, machine)
        self._access, self._cipher = streams.access(config.queue), cipher
        self._sent: Sent[Step] = Sent(config.queue.most, config.queue.patience)
        self._answers = Answers(self._sent, steps, cipher, heard, everything=self._everything, changed=self._say)
        self._wake = asyncio.Event()
        self._link: Link | None = None
        self._lost_at: float | None = None

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Send and receive until cancelled. What was sent is not forgotten then: it waits to be done again."""
        failures = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deadlines(), name="speech queue deadlines")
                while True:
                    try:
                        async with streams.linked(self._queue, self._access) as link:
                            await streams.check_streams(link)
                            failures, self._link, self._lost_at = 0, link, None
                            log.info("speech queue", url=self._queue.url, machine=self._machine)
                            await self._serve(link)
                    except QueueError as why:
                        streams.end_if_cancelled()
                        failures += 1
                        self._say(str(why))
                    finally:
                        self._link = None
                        self._lost_at = self._lost_at or self._now()
                    await asyncio.sleep(AGAIN.wait(failures))
        finally:
            for step in self._sent.clear():
                self._steps.failed(step, "engine-failed", blame=False)
            metrics.stt_queue_waiting.set(0)

    async def _serve(self, link: Link) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.until_gone())
                tasks.create_task(streams.cancellable(self._receive(link)))
                await streams.cancellable(self._send(link))
        except BaseExceptionGroup as why:
            told = streams.said(why, self._queue)
            if told is None:
                raise
            raise told from why

    async def _send(self, link: Link) -> None:
        while True:
            self._wake.clear()
            now, step = self._now(), None
            if now >= self._answers.rests and self._sent.room(now):
                step = self._scheduler.next_elsewhere(everything=self._everything)
            if step is None:
                await self._wake.wait()
            else:
                await self._send_one(link, step)

    async def _send_one(self, link: Link, step: Step) -> None:
        """Raises what nats-py raises when it is not known whether the queue has it; then it waits to be sent again."""
        try:
            packed = await self._packed(step)
        except BaseException as why:
            self._steps.failed(step, "engine-failed", blame=isinstance(why, Exception))
            raise
        if packed is None:
            return
        job, message = packed
        if len(message) + streams.ROOM > link.client.max_payload:
            self._say(
                f"an utterance of {len(message)} bytes is larger than a message may be: raise max_payload in nats-server.conf"
            )
            self._answers.give_up(step, "too-large")
            return
        if (former := self._sent.take_back(job)) is not None:
            self._steps.failed(former.what, "engine-failed")
        self._sent.add(job, step, self._now())
        metrics.stt_queue_waiting.set(len(self._sent))
        try:
            await self._publish(link, job, message, step.job.sent)
        except BaseException as why:
            if self._sent.take_back(job) is not None:
                self._steps.failed(step, "engine-failed", blame=False)
            told = streams.said(why, self._queue) if isinstance(why, Exception) else None
            if told is None or link.client.is_closed:
                raise
            self._say(str(told))
            self._answers.rest()  # what is in the queue is worked on meanwhile

    async def _packed(self, step: Step) -> tuple[str, bytes] | None:
        """Its id and its message. None: its audio cannot be read, and it was told."""
        job = step.job
        try:
            pcm = await read(job.source, step.start, step.stop)
        except OperatorError as why:
            log.warning(
                "cannot read recorded audio; that part is not transcribed", call=job.source.call, error=str(why)
            )
            job.tries = TRIES
            self._steps.failed(step, "audio-unreadable")
            return None
        wanted = await _wanted(step, pcm, time.time() + self._queue.patience)
        name = messages.identity(self._machine, wanted)
        return name, self._cipher.seal("job", name, self._machine, self._number, messages.pack(wanted))

    async def _publish(self, link: Link, job: str, message: bytes, sent: int) -> None:
        from nats.js.errors import NotFoundError

        name, subject = streams.jobs(self._queue), streams.job_subject(self._queue)
        headers = {"Nats-Msg-Id": f"{job}.{sent}"}
        ack = await link.js.publish(subject, message, timeout=self._queue.connect_timeout, stream=name, headers=headers)
        self._sent.placed(job, ack.seq)
        if ack.duplicate:
            try:
                await link.js.get_msg(name, ack.seq)
            except NotFoundError:
                self._sent.done_before(job, self._now())

    async def _receive(self, link: Link) -> None:
        from nats.js.api import ConsumerConfig

        subject = streams.text_subject(self._queue, self._machine, self._number)
        answers = await link.js.pull_subscribe(
            subject, durable=f"{self._machine}-{self._number}", stream=streams.texts(self._queue),
            config=ConsumerConfig(ack_wait=self._queue.connect_timeout),
        )  # fmt: skip
        self._say("")  # that is over, whether anybody speaks or not; what is wrong with machines is said again
        while True:
            with contextlib.suppress(TimeoutError):
                for message in await answers.fetch(AT_ONCE, timeout=FETCH):
                    self._answers.take(message.data)
                    await message.ack()

    async def _deadlines(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            now = self._now()
            late = self._sent.overdue(now, lambda step: step.job.gone)
            for one in late:
                one.what.job.sent += 1
                self._steps.failed(one.what, "engine-failed", blame=False)
            if (places := [one.seq for one in late if one.seq]) and self._link is not None:
                await streams.withdraw(self._link, places)
            silent, lost = await self._silence(now), self._lost_at is not None and now - self._lost_at >= SILENT / 4
            self._admission.stalled = self._everything and (silent or lost)
            metrics.stt_queue_waiting.set(len(self._sent))
            self._wake.set()

    async def _silence(self, now: float) -> bool:
        """Whether nobody is there, and tell it. A machine that waits for jobs is somebody, though nothing was heard of it."""
        silent, link = self._sent.silent(now), self._link
        if silent and link is not None:
            if not await streams.awaited(link):
                self._say(SILENCE)
            elif self.trouble in {"", SILENCE}:  # else it is one that we cannot work with, as was told
                self._sent.somebody(now)
                silent = False
        if not silent and self.trouble == SILENCE:
            self._say("")
        return silent

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("speech queue", error=trouble)
        self.trouble = trouble
        self._wake.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _wanted(step: Step, pcm: Pcm, deadline: float) -> QueuedUtterance:
    """An utterance as other machines are told it; ``pcm``: its samples; ``deadline``: seconds since the epoch."""
    source, hint = step.job.source, step.job.hint
    flac, rate = await asyncio.to_thread(audio.encoded, pcm, source.rate)
    return QueuedUtterance(
        source.call, source.track, max(0, step.start), max(1, step.stop), rate, hashlib.sha256(flac).digest(),
        deadline, flac, hint.language, list(hint.vocabulary),
    )  # fmt: skip
