"""What other machines answer: whose text it is, whether it may be believed, and what becomes of an utterance that they refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from vcond.base import metrics
from vcond.base.errors import ProtocolError
from vcond.speech.queue import messages
from vcond.speech.queue.messages import Answer, Cipher
from vcond.speech.queue.sent import Sent
from vcond.speech.scheduler import TRIES, Step
from vcond.speech.workers.messages import Done, Ready
from vcond.speech.workers.steps import Steps

log = structlog.get_logger()

REST: Final = 10.0
"""Seconds in which nothing is sent after a refusal for a reason that the next utterance would have too."""


class Answers:
    """Takes them, of whatever machine."""

    def __init__(
        self,
        sent: Sent[Step],
        steps: Steps,
        cipher: Cipher,
        heard: Callable[[Ready], None],
        *,
        everything: bool,
        changed: Callable[[str], None],
    ) -> None:
        """``heard`` is told what engine answers; ``changed`` after each answer what is wrong, empty = nothing."""
        self.rests = 0.0
        """Until then, by the loop's clock, nothing is to be sent."""
        self._sent, self._steps, self._cipher, self._heard = sent, steps, cipher, heard
        self._everything, self._changed = everything, changed

    def take(self, data: bytes) -> None:
        """One of them."""
        try:
            outside = messages.envelope(data)
            keyless = bool(self._cipher.id) and not outside.key
            answer = messages.answer(outside.body if keyless else self._cipher.open("answer", outside))
        except messages.OtherVersionError as why:
            self._no_common_words(why.job, f"a machine of the speech queue sends {why}: upgrade it, or this one")
            return
        except ProtocolError as why:
            metrics.stt_queue_answers_total.labels("invalid").inc()
            self._changed(f"an answer in the speech queue cannot be used: {why}")
            return
        if answer.refused == "version":  # who says that cannot encrypt as we do, so it is believed of anybody
            self._no_common_words(outside.id, f"{answer.machine} speaks another version: upgrade it, or this one")
        elif keyless or answer.refused == "key":  # nothing else is believed of who does not have the key
            told = f"{answer.machine} does not have our key: correct speech.queue.key there, or stop vcond speech serve"
            self._no_common_words(outside.id, told)
        else:
            self._one(outside.id, answer)

    def give_up(self, step: Step, reason: str) -> None:
        """No machine of the queue can do it: it is transcribed here, if anything is."""
        if self._everything:
            step.job.tries = TRIES
        self._steps.failed(step, reason)

    def rest(self) -> None:
        """The next would fare no better."""
        self.rests = self._now() + REST

    def _one(self, job: str, answer: Answer) -> None:
        step = self._sent.answer(job, self._now())
        metrics.stt_queue_waiting.set(len(self._sent))
        kind = "late" if step is None else "refused" if answer.refused else "text"
        metrics.stt_queue_answers_total.labels(kind).inc()
        if step is None:
            return
        if answer.refused:
            self._refused(step, answer)
            return
        self._changed("")
        ready = Ready(answer.engine, answer.model, streaming=False)
        self._heard(ready)
        self._steps.answered(step, Done(step.job.id, answer.text, answer.cpu_ms, 0), ready, answer.machine)

    def _no_common_words(self, job: str, told: str) -> None:
        """A machine has another key or version: the job is out of the queue, and is sent again, perhaps to another."""
        metrics.stt_queue_answers_total.labels("refused").inc()
        self._sent.done_before(job, self._now())
        self.rest()
        self._changed(told)

    def _refused(self, step: Step, answer: Answer) -> None:
        step.job.sent += 1
        if answer.refused == "language":
            self.give_up(step, "language")
        elif answer.refused == "late":
            if (
                not 0 < answer.deadline <= time.time()
            ):  # else it lay in the queue for long: a copy of what was sent before
                self.rest()
                self._changed(
                    f"{answer.machine} says that utterances come too late: compare the clocks of both machines"
                )
            self._steps.failed(step, "engine-failed", blame=False)
        else:
            log.warning("another machine failed on an utterance", machine=answer.machine, reason=answer.refused)
            self._steps.failed(step, "engine-failed")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
