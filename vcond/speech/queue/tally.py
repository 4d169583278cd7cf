"""What a machine that transcribes for others has done, what waits for it, and what somebody should mend: for who looks after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vcond.base import metrics
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.speech.queue import streams
from vcond.speech.queue.messages import Refusal
from vcond.speech.queue.streams import Link
from vcond.speech.source import Clock

if TYPE_CHECKING:
    from nats.js.api import StreamInfo

LOOK: Final = 10.0
"""Seconds between two looks at the queue."""
RECENT: Final = 600 * SECOND
"""Nanoseconds for which a refusal is something to look after."""
NEARLY: Final = 0.8
"""The share of a stream's room from which on it is nearly full."""

_REFUSED: Final[dict[Refusal, tuple[str, str]]] = {
    "key": ("has another speech.queue.key", "give both machines the same key, and restart them"),
    "version": ("speaks another version", "upgrade that machine, or this one"),
    "language": (
        "asks for a language that this model does not have",
        "give that language a route with another stream there, or a model here that has it",
    ),
    "late": (
        "sends what is not wanted any more when its turn comes",
        "start more machines with vcond speech serve; compare the clocks of both machines",
    ),
    "hash": ("sends audio that is not what its hash says", "look at the log and the memory of that machine"),
    "audio": ("sends audio that is none", "upgrade that machine, or this one"),
    "invalid": ("sends jobs that are none", "upgrade that machine, or this one"),
    "engine-failed": ("sends what the engine here fails on", "vcond model verify; journalctl -u vcond says more"),
}
"""What is said of a machine whose utterance was refused, and what to do."""


class Trouble(NamedTuple):
    """What is wrong, and what mends it."""

    what: str
    detail: str
    fix: str


@dataclass(frozen=True)
class Depth:
    """What the queue holds, for all machines together."""

    waiting: int
    """Utterances that nobody has in hand."""
    in_hand: int
    jobs_full: float
    """The share of the room of the stream of jobs that is taken, 0 to 1; 0 = it has no bound."""
    answers_full: float
    """The same of answers that nobody fetched."""


class Tally:
    """Counts, and tells."""

    def __init__(self, clock: Clock) -> None:
        self.texts, self.given_back, self.dropped = 0, 0, 0
        """``dropped``: messages that were no jobs, and had nobody to be answered."""
        self.seconds = 0.0
        """Of speech that became a text."""
        self.refused: Counter[Refusal] = Counter()
        self.last: Instant | None = None
        """When the last text left."""
        self.lag = 0.0
        """Seconds from the moment in which the queue had the last text's utterance to its answer."""
        self.depth: Depth | None = None
        """None = NATS has not said it yet, or cannot be asked."""
        self._clock, self.since = clock, clock.now()
        self._lately: dict[Refusal, tuple[Instant, str]] = {}

    def text(self, lag: float) -> None:
        """One was stored, ``lag`` seconds after the queue had its utterance."""
        self.texts += 1
        self.last, self.lag = self._clock.now(), max(0.0, lag)
        metrics.stt_served_total.labels("text").inc()
        metrics.stt_served_lag_seconds.observe(self.lag)

    def refusal(self, why: Refusal, edge: str) -> None:
        """A machine was told that its utterance is not transcribed here."""
        self.refused[why] += 1
        self._lately[why] = (self._clock.now(), edge)
        metrics.stt_served_total.labels(why).inc()

    def back(self) -> None:
        """A job was given back: another try is made, here or elsewhere."""
        self.given_back += 1
        metrics.stt_served_total.labels("given-back").inc()

    def drop(self) -> None:
        """A message was no job."""
        self.dropped += 1
        metrics.stt_served_total.labels("dropped").inc()

    async def watch(self, link: Link) -> None:
        """Look at the queue until cancelled. Where NATS does not answer, or this user may not look, nothing is known."""
        try:
            while True:
                try:
                    self.depth = depth = await _depth(link)
                except Exception as why:
                    if streams.said(why, link.config) is None:
                        raise
                    self.depth = None
                else:
                    for state, count in (("waiting", depth.waiting), ("in-hand", depth.in_hand)):
                        metrics.stt_queue_jobs.labels(state).set(count)
                await asyncio.sleep(LOOK)
        finally:
            self.depth = None

    def troubles(self, stream: str) -> list[Trouble]:
        """What somebody should mend, of the queue ``stream``."""
        found, now = [], self._clock.now()
        for why, (at, edge) in self._lately.items():
            if now - at < RECENT:
                said, fix = _REFUSED[why]
                found.append(
                    Trouble("refused", f"{edge} {said}: {self.refused[why]} refused, the last at {_clock(at)}", fix)
                )
        if (depth := self.depth) is not None and depth.jobs_full >= NEARLY:
            detail = f"the queue is {depth.jobs_full:.0%} full, {depth.waiting} utterances wait: what does not fit waits beside the PBXs"
            fix = f"start more machines with vcond speech serve, or raise max_bytes of stream {stream}_JOBS"
            found.append(Trouble("queue", detail, fix))
        if depth is not None and depth.answers_full >= NEARLY:
            detail = f"the room for answers is {depth.answers_full:.0%} full: a machine beside a PBX fetches none"
            fix = f"start vcond there; nats stream subjects {stream}_TEXTS names it"
            found.append(Trouble("answers", detail, fix))
        return found


def _clock(at: Instant) -> str:
    return f"{rfc3339(at)[11:16]} UTC"


async def _depth(link: Link) -> Depth:
    jobs = await link.js.stream_info(streams.jobs(link.config))
    texts = await link.js.stream_info(streams.texts(link.config))
    taken = await link.js.consumer_info(streams.jobs(link.config), streams.CONSUMER)
    return Depth(taken.num_pending or 0, taken.num_ack_pending or 0, _full(jobs), _full(texts))


def _full(stream: StreamInfo) -> float:
    most = stream.config.max_bytes or 0
    return stream.state.bytes / most if most > 0 else 0.0
