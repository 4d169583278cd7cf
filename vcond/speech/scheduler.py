"""Which worker does what next. Pure: no clock, no audio, no processes; what waits are references into the journal.

The order, for a worker that asks:

1. the end of an utterance that it follows itself (streaming engines);
2. finished utterances of live calls, the calls in turn, each call's in order;
3. what came in since of an utterance that is being spoken (streaming engines), all of it at once, the tracks in turn;
4. finished utterances that were left over (a restart), the calls in turn;
5. what is being spoken, decoded anew to show it (other engines): only when no finished utterance waits, a second of new
   audio is there, and one worker stays free where there are several.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from vcond.speech.source import Source

STEP_MS = 200
"""Least new audio that is worth a step of a streaming engine."""
AGAIN_MS = 1000
"""Least new audio that is worth decoding an utterance anew."""
TRIES = 3

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Job:
    """An utterance on its way to a text."""

    source: Source
    start: int
    stop: int | None = None
    """End of the utterance; None while it is spoken."""
    number: int = -1
    """The utterance's number in the call, once it has ended."""
    live: bool = True
    """False: found without a text after a restart."""
    lane: str = ""
    """The call it is counted with when calls take turns."""
    heard: int = 0
    """How far its audio is in the journal."""
    fed: int = 0
    """How far the open recognition has it."""
    shown: int = 0
    """How far it was when it was last decoded to be shown."""
    id: int = 0
    """What workers call it."""
    said: str = ""
    """What was shown of it last."""
    tries: int = 0
    """How often a worker died of it, or its engine raised; ``TRIES`` = never again."""
    worker: int | None = None
    """The worker that holds its open recognition."""
    peeked: bool = False
    """Being decoded to be shown, at this moment."""
    gone: bool = False
    """Nobody wants its text any more."""

    def __post_init__(self) -> None:
        self.fed = self.shown = self.start
        self.heard = max(self.heard, self.start)


@dataclass(slots=True, frozen=True)
class Step:
    """What a worker shall do: feed ``[start, stop)`` of the job's track, then finish, or tell what was heard so far.

    ``drop`` closes the recognition, is done at once, and needs neither ``done`` nor ``failed``.
    """

    job: Job
    kind: Literal["final", "follow", "peek", "drop"]
    start: int
    stop: int
    opens: bool
    """The recognition has to be opened first."""
    text: bool = True
    """Whether what was heard so far is wanted; else only that the step is done."""
    again: bool = False
    """The recognition was given more than the utterance turned out to hold: drop it first."""


class Turns(Generic[T]):
    """A queue in which lanes take turns; within a lane first come, first served."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for lane in self._lanes.values():
            yield from lane

    def push(self, lane: str, item: T, *, first: bool = False) -> None:
        """Add at the end of the lane, or before all others of it."""
        queue = self._lanes.setdefault(lane, deque())
        if first:
            queue.appendleft(item)
        else:
            queue.append(item)
        self._count += 1

    def pop(self) -> T | None:
        """The first of the lane whose turn it is; that lane comes last then."""
        if not self._lanes:
            return None
        name, lane = next(iter(self._lanes.items()))
        item = lane.popleft()
        self._count -= 1
        if lane:
            self._lanes.move_to_end(name)
        else:
            del self._lanes[name]
        return item

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out what is unwanted."""
        out = [item for item in self if unwanted(item)]
        for name in list(self._lanes):
            kept = deque(item for item in self._lanes[name] if not unwanted(item))
            if kept:
                self._lanes[name] = kept
            else:
                del self._lanes[name]
        self._count -= len(out)
        return out


class Scheduler:
    """Knows every utterance that has no text yet, and who works on it."""

    def __init__(self, *, streaming: bool, partials: bool, workers: int, streams: int) -> None:
        self.streaming = streaming
        self._partials = partials
        self._streams = streams
        self._most_peeks = max(1, workers - 1)
        self._spoken: OrderedDict[Job, None] = OrderedDict()
        self._live: Turns[Job] = Turns()
        self._late: Turns[Job] = Turns()
        self._pinned: dict[int, Turns[Job]] = {}
        self._open: dict[int, set[Job]] = {}
        self._peeks = 0
        self._finishing = 0

    @property
    def waiting(self) -> int:
        """Utterances that have ended and have no text."""
        return len(self._live) + len(self._late) + sum(map(len, self._pinned.values())) + self._finishing

    def begin(self, job: Job) -> None:
        """Somebody began to speak."""
        self._spoken[job] = None

    def end(self, job: Job) -> None:
        """The utterance is complete (``stop`` and ``number`` are set): it wants its text."""
        self._spoken.pop(job, None)
        self._queue(job)

    def abandon(self, job: Job) -> None:
        """An utterance that is spoken wants no text."""
        if job in self._spoken:
            del self._spoken[job]
            job.gone = True

    def forget(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Nobody wants these texts any more: take them out. Those that a worker has in hand are marked ``gone`` only."""
        out = [job for job in self._spoken if unwanted(job)]
        for queue in (self._live, self._late, *self._pinned.values()):
            out += queue.discard(unwanted)
        for job in out:
            self._spoken.pop(job, None)
            job.gone = True
        for held in self._open.values():
            for job in held:
                job.gone = job.gone or unwanted(job)
        return out

    def next(self, worker: int, *, accept: bool = True) -> Step | None:
        """What a worker shall do now; None = nothing. With ``accept`` False it finishes what it has and takes no more."""
        for job in self._open.get(worker, ()):
            if job.gone:
                self._release(job)
                return Step(job, "drop", job.start, job.start, opens=False)
        mine = self._pinned[worker].pop() if worker in self._pinned else None
        if mine is not None:
            return self._final(mine, worker)
        free = accept and (not self.streaming or len(self._open.get(worker, ())) < self._streams)
        if free and (ended := self._live.pop()) is not None:
            return self._final(ended, worker)
        if self.streaming and (step := self._follow(worker, free=free)) is not None:
            return step
        if free and (left := self._late.pop()) is not None:
            return self._final(left, worker)
        if free and not self.streaming and self._partials and self.waiting == 0:
            return self._peek()
        return None

    def done(self, step: Step) -> None:
        """The worker did it."""
        job = step.job
        if step.kind == "final":
            self._finishing -= 1
            self._release(job)
        elif step.kind == "follow":
            job.fed = step.stop
        else:
            self._peeks -= 1
            job.peeked = False

    def failed(self, step: Step, *, blame: bool = True) -> bool:
        """The worker died of it, or its engine raised. True: it was tried often enough, and is in no queue any more.

        ``blame`` False: it was no fault of the utterance, which only goes back to where it waited.
        """
        job = step.job
        job.tries = TRIES if job.gone else job.tries + blame
        if step.kind == "peek":
            self._peeks -= 1
            job.peeked = False
        else:
            self._release(job)
        if step.kind == "final":
            self._finishing -= 1
            self._queue(job, first=True)
        if job.tries < TRIES or (job.gone and step.kind != "final"):
            return False  # what was forgotten before its last step has been told already
        for queue in (self._live, self._late, *self._pinned.values()):
            queue.discard(lambda other: other is job)
        return True

    def lost(self, worker: int) -> None:
        """The worker is gone: what it held is open no more, and any other may take it. Call ``failed`` first."""
        pinned = self._pinned.pop(worker, None)
        for job in list(self._open.get(worker, ())):
            self._release(job)
        while pinned is not None and (ended := pinned.pop()) is not None:
            self._queue(ended)

    def holds(self, worker: int) -> bool:
        """Whether the worker has open recognitions."""
        return bool(self._open.get(worker))

    def _queue(self, job: Job, *, first: bool = False) -> None:
        if job.worker is not None:
            self._pinned.setdefault(job.worker, Turns()).push(job.lane, job, first=first)
        else:
            (self._live if job.live else self._late).push(job.lane, job, first=first)

    def _final(self, job: Job, worker: int) -> Step:
        assert job.stop is not None
        self._finishing += 1
        opens, again = job.worker is None, job.worker is not None and job.fed > job.stop
        if opens or again:
            self._take(job, worker)
        return Step(job, "final", job.fed, job.stop, opens or again, again=again)

    def _follow(self, worker: int, *, free: bool) -> Step | None:
        for job in self._spoken:
            least = STEP_MS * job.source.rate // 1000
            mine = job.worker == worker or (free and job.worker is None and job.tries < TRIES)
            if mine and job.heard - job.fed >= least:
                self._spoken.move_to_end(job)
                opens = job.worker is None
                if opens:
                    self._take(job, worker)
                return Step(job, "follow", job.fed, job.heard, opens, text=self._partials and not self._live)
        return None

    def _peek(self) -> Step | None:
        if self._peeks >= self._most_peeks:
            return None
        for job in self._spoken:
            if not job.peeked and job.tries == 0 and job.heard - job.shown >= AGAIN_MS * job.source.rate // 1000:
                self._spoken.move_to_end(job)
                self._peeks += 1
                job.peeked, job.shown = True, job.heard
                return Step(job, "peek", job.start, job.heard, opens=True)
        return None

    def _take(self, job: Job, worker: int) -> None:
        job.worker, job.fed = worker, job.start
        self._open.setdefault(worker, set()).add(job)

    def _release(self, job: Job) -> None:
        if job.worker is not None:
            self._open[job.worker].discard(job)
            job.worker, job.fed = None, job.start
