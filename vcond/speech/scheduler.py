"""Which worker does what next. Pure: no clock, no audio, no processes; what waits are references into the journal.

The order, for a worker that asks:

1. the end of an utterance that it follows itself (streaming engines), then one that was in hand when a worker died: if it
   was the culprit it is found out, if not it is done before the next worker dies;
2. finished utterances of calls that are not deferred, the calls in turn by the audio each was given, each call's in order;
3. what came in since of an utterance that is being spoken (streaming engines), all of it at once, the tracks in turn; one
   that nobody follows yet is taken by who follows few;
4. what was deferred, or left over by a restart: calls that somebody waits for first, those with the least left before the
   others, then the calls in turn; every tenth time before 2, so that a wrong guess of what work costs starves nobody;
5. what is being spoken, decoded anew to show it (other engines): only of live calls, when no finished utterance of a call
   that is not deferred waits, as often as that costs half a worker, and one worker stays free where there are several.
   Where 4 has something too, the two take turns.

Which call is live, gets only its finals, or is deferred, ``admission`` decides.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from vcond.speech.engine import Hint
from vcond.speech.load.admission import State
from vcond.speech.source import Source

STEP_MS = 200
"""Least new audio that is worth a step of a streaming engine."""
AGAIN = 0.3
"""Least seconds of new audio that are worth decoding an utterance anew."""
UNKNOWN_AGAIN = 1.0
"""The same while it is not known what that costs."""
LATE_EVERY = 10
"""Of so many finished utterances one is of those that were deferred, whatever else waits."""
REMEMBERED = 100
"""Calls whose turn is remembered although nothing of them waits."""
TRIES = 3
ELSEWHERE = -1
"""What other machines are called among the workers."""
NO_HINT = Hint(0)

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
    """False: it was deferred, or found without a text after a restart."""
    call_id: str = ""
    """The call it is counted with when calls take turns."""
    heard: int = 0
    """How far its audio is in the journal."""
    heard_at: float = 0.0
    """When that was heard last, in seconds of the loop's clock."""
    hint: Hint = NO_HINT
    """What was known of it when it began."""
    spent: float = 0.0
    """Seconds of a worker that its text took so far."""
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
    failed_at: int = -1
    """How far it would have been fed when that happened. Who gets beyond is innocent."""
    worker: int | None = None
    """The worker that holds its open recognition."""
    peeked: bool = False
    """Being decoded to be shown, at this moment."""
    gone: bool = False
    """Nobody wants its text any more."""
    sent: int = 0
    """How often it was sent to other machines and came back without a text."""

    def __post_init__(self) -> None:
        self.fed = self.shown = self.start
        self.heard = max(self.heard, self.start)

    @property
    def seconds(self) -> float:
        """How long it is, as far as it is known."""
        return ((self.heard if self.stop is None else self.stop) - self.start) / self.source.rate


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
    """A queue in which calls take turns: the next is the one that was given least. Within a call first come, first served."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[tuple[T, float]]] = {}
        self._left: dict[str, float] = {}
        self._given: dict[str, float] = {}
        self._floor = 0.0
        self._count = 0

    @property
    def cost(self) -> float:
        """Of all that waits."""
        return sum(self._left.values())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for call in self._calls.values():
            for item, _ in call:
                yield item

    def push(self, call: str, item: T, *, cost: float = 1.0, first: bool = False) -> None:
        """Add behind, or as the ``first`` before, all others of the call. ``cost`` counts when it is its turn."""
        queue = self._calls.setdefault(call, deque())
        self._left[call] = self._left.get(call, 0.0) + cost
        self._given[call] = max(self._floor, self._given.get(call, 0.0))
        if first:
            queue.appendleft((item, cost))
        else:
            queue.append((item, cost))
        self._count += 1

    def pop(self, wanted: Container[str] = ()) -> T | None:
        """The first of the call whose turn it is; of ``wanted`` calls, if there are any, the one with the least left."""
        if not self._calls:
            return None
        ahead = [name for name in self._calls if name in wanted]
        if ahead:
            name = min(ahead, key=self._left.__getitem__)
        else:
            name = min(self._calls, key=self._given.__getitem__)
            self._floor = max(self._floor, self._given[name])
        call = self._calls[name]
        item, cost = call.popleft()
        self._left[name] -= cost
        self._given[name] += cost
        self._count -= 1
        if not call:
            self._remove(name)
        return item

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out what is unwanted."""
        out: list[T] = []
        for name, call in list(self._calls.items()):
            gone = [item for item, _ in call if unwanted(item)]
            if len(gone) == len(call):
                self._remove(name)
            elif gone:
                self._calls[name] = kept = deque(pair for pair in call if pair[0] not in gone)
                self._left[name] = sum(cost for _, cost in kept)
            out += gone
        self._count -= len(out)
        return out

    def _remove(self, name: str) -> None:
        """Nothing of a call waits. What it was given is remembered for a while: it may come back soon."""
        del self._calls[name], self._left[name]
        if not self._calls:
            self._given.clear()  # nobody waited for a turn: nobody owes any
        if len(self._given) > len(self._calls) + 2 * REMEMBERED:
            gone = [call for call in self._given if call not in self._calls]
            for call in gone[:-REMEMBERED]:
                del self._given[call]


class _Ended:
    """Utterances that have ended and wait for a text, in the order of the head of this module."""

    def __init__(self) -> None:
        self.tried: Turns[Job] = Turns()
        """In hand when a worker died, or when its engine raised."""
        self.live: Turns[Job] = Turns()
        self.late: Turns[Job] = Turns()
        self.pinned: dict[int, Turns[Job]] = {}
        """By the worker that holds their open recognitions."""

    def __len__(self) -> int:
        return sum(map(len, self._queues()))

    def push(self, job: Job, *, first: bool = False) -> None:
        """Where it belongs by its worker, its tries, and whether it was deferred."""
        if job.worker is not None:
            queue = self.pinned.setdefault(job.worker, Turns())
        elif job.tries:
            queue = self.tried
        else:
            queue = self.live if job.live else self.late
        queue.push(job.call_id, job, cost=job.seconds, first=first)

    def discard(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Take out what is unwanted."""
        return [job for queue in self._queues() for job in queue.discard(unwanted)]

    def for_others(self, wanted: Container[str], *, everything: bool, late: bool) -> Job | None:
        """The next for another machine: of ``everything`` that no worker holds, or of what was deferred."""
        job = self.tried.pop() or self.live.pop() if everything else None
        return self.late.pop(wanted) if job is None and late else job

    def awaited(self) -> dict[str, float]:
        """By call, the seconds of those that were not deferred."""
        found: dict[str, float] = {}
        for queue in (self.live, *self.pinned.values()):
            for job in queue:
                found[job.source.call] = found.get(job.source.call, 0.0) + job.seconds
        return found

    def _queues(self) -> list[Turns[Job]]:
        return [self.tried, self.live, self.late, *self.pinned.values()]


class _Held:
    """Which worker holds which open recognition."""

    def __init__(self) -> None:
        self._by: dict[int, set[Job]] = {}

    def of(self, worker: int) -> Collection[Job]:
        """Those of one worker."""
        return self._by.get(worker, ())

    def take(self, job: Job, worker: int) -> None:
        """A worker opens one."""
        job.worker, job.fed = worker, job.start
        self._by.setdefault(worker, set()).add(job)

    def release(self, job: Job) -> None:
        """It is open no more."""
        if job.worker is not None:
            self._by[job.worker].discard(job)
            job.worker, job.fed = None, job.start

    def has_room(self, worker: int, there: Collection[int]) -> bool:
        """Whether it follows no more than the others do, or one more: what it opens it keeps until the end of it."""
        return len(self.of(worker)) <= min(len(self.of(other)) for other in there) + 1

    def forget(self, unwanted: Callable[[Job], bool]) -> None:
        """Nobody wants these texts any more."""
        for held in self._by.values():
            for job in held:
                job.gone = job.gone or unwanted(job)


class Scheduler:
    """Knows every utterance that has no text yet, and who works on it."""

    def __init__(
        self,
        *,
        streaming: bool,
        partials: bool,
        workers: int,
        streams: int,
        state: Callable[[Job], State] = lambda _: "live",
    ) -> None:
        """``state``: that of a job's call now."""
        self.streaming = streaming
        self.again = UNKNOWN_AGAIN
        """Seconds of new audio from which on an utterance is decoded anew."""
        self.wanted: Counter[str] = Counter()
        """Calls whose texts somebody waits for."""
        self.held = False
        """What was deferred waits, whatever time there is."""
        self._state = state
        self._partials = partials
        self._streams = streams
        self._most_peeks = max(1, workers - 1)
        self._spoken: OrderedDict[Job, None] = OrderedDict()
        self._ended = _Ended()
        self._held = _Held()
        self._there: set[int] = set()
        """Workers that take what begins."""
        self._peeks = self._finishing = self._in_row = 0
        self._peeked_last = False

    @property
    def waiting(self) -> int:
        """Utterances that have ended and have no text."""
        return len(self._ended) + self._finishing

    @property
    def deferred(self) -> tuple[int, float]:
        """Utterances that were deferred or left over and wait, and their seconds."""
        return len(self._ended.late), self._ended.late.cost

    def awaited(self) -> dict[str, float]:
        """By call, the seconds of finished utterances that wait and were not deferred."""
        return self._ended.awaited()

    def regrade(self) -> int:
        """States of calls changed: what waits of those that are deferred now is deferred. How many utterances."""
        moved = self._ended.live.discard(lambda job: self._state(job) == "deferred")
        for job in moved:
            job.live = False
            self._ended.push(job)
        return len(moved)

    def begin(self, job: Job) -> None:
        """Somebody began to speak."""
        self._spoken[job] = None

    def end(self, job: Job) -> None:
        """The utterance is complete (``stop`` and ``number`` are set): it wants its text."""
        self._spoken.pop(job, None)
        if job.worker is None and self._state(job) == "deferred":
            job.live = False
        self._ended.push(job)

    def abandon(self, job: Job) -> None:
        """An utterance that is spoken wants no text."""
        if job in self._spoken:
            del self._spoken[job]
            job.gone = True

    def forget(self, unwanted: Callable[[Job], bool]) -> list[Job]:
        """Nobody wants these texts any more: take them out. Those that a worker has in hand are marked ``gone`` only."""
        out = [*filter(unwanted, self._spoken), *self._ended.discard(unwanted)]
        for job in out:
            self._spoken.pop(job, None)
            job.gone = True
        self._held.forget(unwanted)
        return out

    def next(self, worker: int, *, accept: bool = True) -> Step | None:
        """What a worker shall do now; None = nothing. With ``accept`` False it finishes what it has and takes no more."""
        (self._there.add if accept else self._there.discard)(worker)
        for job in self._held.of(worker):
            if job.gone:
                self._held.release(job)
                return Step(job, "drop", job.start, job.start, opens=False)
        mine = self._ended.pinned[worker].pop() if worker in self._ended.pinned else None
        if mine is not None:
            return self._final(mine, worker)
        free = accept and (not self.streaming or len(self._held.of(worker)) < self._streams)
        if free and (tried := self._ended.tried.pop()) is not None:
            return self._final(tried, worker)
        if free and self._ended.live and not (self._ended.late and not self.held and self._in_row >= LATE_EVERY - 1):
            ended = self._ended.live.pop()
            assert ended is not None
            self._in_row += 1
            return self._final(ended, worker)
        if self.streaming and (step := self._follow(worker, free=free)) is not None:
            return step
        if not free:
            return None
        if self._peeked_last and self._ended.late:
            return self._left_over(worker)
        peek = None if self._ended.live or self.streaming or not self._partials else self._peek()
        self._peeked_last = peek is not None
        return peek or self._left_over(worker)

    def next_elsewhere(self, *, everything: bool) -> Step | None:
        """What other machines shall do: of ``everything`` that has ended, or only of what was deferred."""
        job = self._ended.for_others(self.wanted, everything=everything, late=not self.held)
        return None if job is None else self._final(job, ELSEWHERE)

    def done(self, step: Step) -> None:
        """The worker did it."""
        job = step.job
        if step.kind == "final":
            self._finishing -= 1
            self._held.release(job)
        elif step.kind == "follow":
            job.fed = step.stop
            if job.fed > job.failed_at:
                job.tries = 0
        else:
            self._peeks -= 1
            job.peeked = False

    def failed(self, step: Step, *, blame: bool = True) -> bool:
        """The worker died of it, or its engine raised. True: it was tried often enough, and is in no queue any more.

        ``blame`` False: it was no fault of the utterance, which only goes back to where it waited.
        """
        job = step.job
        job.tries = TRIES if job.gone else job.tries + blame
        job.failed_at = max(job.failed_at, step.stop)
        if step.kind == "peek":
            self._peeks -= 1
            job.peeked = False
        else:
            self._held.release(job)
        if step.kind == "final":
            self._finishing -= 1
            self._ended.push(job, first=True)
        if job.tries < TRIES or (job.gone and step.kind != "final"):
            return False  # what was forgotten before its last step has been told already
        self._ended.discard(lambda other: other is job)
        return True

    def lost(self, worker: int) -> None:
        """The worker is gone: what it held is open no more, and any other may take it. Call ``failed`` first."""
        self._there.discard(worker)
        pinned = self._ended.pinned.pop(worker, None)
        for job in list(self._held.of(worker)):
            self._held.release(job)
        while pinned is not None and (ended := pinned.pop()) is not None:
            self._ended.push(ended)

    def holds(self, worker: int) -> bool:
        """Whether the worker has open recognitions."""
        return bool(self._held.of(worker))

    def _final(self, job: Job, worker: int) -> Step:
        assert job.stop is not None
        self._finishing += 1
        opens, again = job.worker is None, job.worker is not None and job.fed > job.stop
        if opens or again:
            self._held.take(job, worker)
        return Step(job, "final", job.fed, job.stop, opens or again, again=again)

    def _left_over(self, worker: int) -> Step | None:
        self._in_row, self._peeked_last = 0, False
        left = None if self.held else self._ended.late.pop(self.wanted)
        return self._final(left, worker) if left is not None else None

    def _follow(self, worker: int, *, free: bool) -> Step | None:
        free = free and self._held.has_room(worker, self._there)
        for job in self._spoken:
            least = STEP_MS * job.source.rate // 1000
            state = self._state(job)
            mine = job.worker == worker or (free and job.worker is None and job.tries < TRIES and state != "deferred")
            if mine and job.heard - job.fed >= least:
                self._spoken.move_to_end(job)
                opens = job.worker is None
                if opens:
                    self._held.take(job, worker)
                text = self._partials and not self._ended.live and state == "live"
                return Step(job, "follow", job.fed, job.heard, opens, text=text)
        return None

    def _peek(self) -> Step | None:
        if self._peeks + self._finishing - len(self._held.of(ELSEWHERE)) >= self._most_peeks:  # those take no worker
            return None
        for job in self._spoken:
            new = job.heard - job.shown >= self.again * job.source.rate
            if new and not job.peeked and job.tries == 0 and self._state(job) == "live":
                self._spoken.move_to_end(job)
                self._peeks += 1
                job.peeked, job.shown = True, job.heard
                return Step(job, "peek", job.start, job.heard, opens=True)
        return None
