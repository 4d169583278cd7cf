"""A pool of speech servers behind one work queue, in virtual time: what ``vcond/speech/queue`` does, event by event.

Every utterance is a job. An edge sends what has ended, ``most`` at once, or so many that they are
answered in half of ``patience``; what has no answer after that is sent again. Servers ask
for jobs: whoever waits for longest gets the next. A server asks while it has fewer than its workers and one more. A job whose
server died is given out again when nothing was heard of it for ``held`` seconds; one whose server was told to stop at once.
What goes over the network takes ``there`` and ``back``; a worker takes ``each`` and ``rtf`` times the audio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from sim_load import Load

Do = Callable[[int, int], None]
HEARD = 10.0
"""Seconds between two signs of life for a job (``server.HELD / 3``)."""
NAK = 2.0
"""Seconds until a job that was given back is given out again (``server.BACK``)."""
AGAIN = 30.0
"""Seconds between two tries to reach NATS at most (``client.AGAIN``)."""


@dataclass(frozen=True)
class Pool:
    """Servers that are alike."""

    servers: int
    workers: int = 1
    rtf: float = 0.207
    each: float = 0.0
    there: float = 0.01
    back: float = 0.01
    most: int = 64
    patience: float = 120.0
    held: float = 30.0
    adapts: bool = True
    """An edge sends no more than is answered in half of its patience; without that always ``most``."""
    ahead: int = 1
    """Jobs that a server takes beside those that its workers have in hand: none of these waits for the network."""


@dataclass(frozen=True)
class Fault:
    """Something that happens: ``kill`` or ``stop`` of a server (back after so many seconds; 0 = never), or ``nats`` away."""

    at: float
    kind: str
    seconds: float = 0.0
    server: int = 0


@dataclass
class Outcome:
    """What came of a run."""

    load: Load
    pool: Pool
    lag: np.ndarray
    """Seconds from the end of each utterance to its text; NaN = it has none when the run is over. Shape (utterances,)."""
    started: np.ndarray
    """Seconds at which a worker took it last; NaN = none did. Shape (utterances,)."""
    texts: bytearray
    """How many texts each has."""
    dropped: int = 0
    """Answers that nobody waited for: late or doubled."""
    again: int = 0
    """Jobs that were given out or sent again."""
    left: int = 0
    """Jobs without a text when the run was over."""
    depth: list[tuple[float, int]] = field(default_factory=list)
    """Utterances without a text, those in hand too, every minute."""
    sent: list[int] = field(default_factory=list)
    """In the order in which they were sent, the first time each."""
    worked: float = 0.0
    """Seconds of workers that gave a text."""
    server_hours: float = 0.0

    def lags(self) -> dict[str, float]:
        """Half, 95 and 99 of 100, and the longest."""
        there = self.lag[~np.isnan(self.lag)]
        found = np.percentile(there, [50, 95, 99, 100]) if len(there) else [np.nan] * 4
        return dict(zip(("p50", "p95", "p99", "most"), map(float, found), strict=True))


@dataclass(slots=True)
class _Server:
    number: int
    there: bool = True
    since: float = 0.0
    epoch: int = 0
    """Grows whenever it loses what it has."""
    asks: bool = False
    """It waits for a job."""
    busy: int = 0
    own: deque[int] = field(default_factory=deque)
    """What it holds and has no worker for."""
    held: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Job, the moment at which it got it, and which time it was sent."""


def simulate(
    load: Load, pool: Pool, faults: tuple[Fault, ...] = (), *, until: float | None = None, seed: int = 0
) -> Outcome:
    """Run it until everything has its text, or until a moment. The same arguments give the same outcome."""
    run = _Run(load, pool, seed)
    for number, fault in enumerate(faults):
        run.happens(fault.at, number)
    run.faults = faults
    return run.go(float("inf") if until is None else until)


class _Run:
    def __init__(self, load: Load, pool: Pool, seed: int) -> None:
        count = len(load)
        self.load, self.pool, self.rng = load, pool, np.random.default_rng(seed)
        self.out = Outcome(load, pool, np.full(count, np.nan), np.full(count, np.nan), bytearray(count))
        self.ready, self.lag, self.started = (
            memoryview(load.ready),
            memoryview(self.out.lag),
            memoryview(self.out.started),
        )
        self.takes = memoryview(pool.each + pool.rtf * load.seconds)
        self.edge = load.edge.tolist()
        self.sending = [0] * count
        """Which time it is sent; 0 = it never was."""
        self.events: list[tuple[float, int, Do, int, int]] = []
        self.order = 0
        self.faults: tuple[Fault, ...] = ()
        self.servers = [_Server(number) for number in range(pool.servers)]
        self.asking: deque[_Server] = deque(self.servers)
        for server in self.servers:
            server.asks = True
        self.queue: deque[tuple[int, int]] = deque()
        self.again: deque[tuple[int, int]] = deque()
        self.flight = [0] * load.edges
        self.waits: list[deque[int]] = [deque() for _ in range(load.edges)]
        self.since = memoryview(np.zeros(count))
        self.window = [float(pool.most)] * load.edges
        """How many each edge sends at once, by how long answers took (``Sent._window``)."""
        self.narrowed = [0.0] * load.edges
        self.linked = bytearray(b"\1" * load.edges)
        self.nats = True
        self.deadlines: deque[tuple[float, int, int]] = deque()
        self.sails: deque[tuple[float, int, int]] = deque()
        """On their way to NATS: the moment at which each is there, job, which time it is sent."""
        self.there = self.looked = 0
        self.now = 0.0

    def go(self, until: float) -> Outcome:
        """All events in order."""
        upcoming, count, ready, never = 0, len(self.load), self.ready, float("inf")
        events, deadlines, sails, texts = self.events, self.deadlines, self.sails, self.out.texts
        while True:
            while deadlines and texts[deadlines[0][1]]:
                deadlines.popleft()
            arrives = ready[upcoming] if upcoming < count else never
            placed = sails[0][0] if sails else never
            happens = events[0][0] if events else never
            overdue = deadlines[0][0] if deadlines else never
            now = min(arrives, placed, happens, overdue)
            if now == never or now > until:
                break
            self.now = now
            while self.looked * 60 <= now:
                self.out.depth.append((self.looked * 60.0, upcoming - self.there))
                self.looked += 1
            if overdue == now:
                self._overdue()
            elif placed == now:
                self._placed(*sails.popleft())
            elif arrives == now:
                upcoming += 1
                self._ended(upcoming - 1)
            else:
                _, _, do, number, detail = heappop(events)
                do(number, detail)
        self.now = self.now if until == never else until
        self.out.left = upcoming - self.there
        self.out.server_hours += sum(self.now - server.since for server in self.servers if server.there) / 3600
        return self.out

    def happens(self, moment: float, fault: int) -> None:
        """A fault of this number, then."""
        self._at(moment, self._on_fault, fault)

    def _at(self, moment: float, do: Do, number: int, detail: int = 0) -> None:
        self.order += 1
        heappush(self.events, (moment, self.order, do, number, detail))

    # The edges.

    def _ended(self, job: int) -> None:
        edge = self.edge[job]
        if self.linked[edge] and self.flight[edge] < self.window[edge] and not self.waits[edge]:
            self._send(job, edge)
        else:
            self.waits[edge].append(job)

    def _send(self, job: int, edge: int) -> None:
        if not self.sending[job]:
            self.out.sent.append(job)
        self.flight[edge] += 1
        self.sending[job] += 1
        self.since[job] = self.now
        self.deadlines.append((self.now + self.pool.patience, job, self.sending[job]))
        self.sails.append((self.now + self.pool.there, job, self.sending[job]))

    def _send_more(self, edge: int) -> None:
        waits = self.waits[edge]
        while waits and self.linked[edge] and self.flight[edge] < self.window[edge]:
            self._send(waits.popleft(), edge)

    def _overdue(self) -> None:
        _, job, sending = self.deadlines.popleft()
        if not self.out.texts[job] and self.sending[job] == sending:
            self.sending[job] += 1  # whatever comes of the copy is late
            self.out.again += 1
            edge = self.edge[job]
            if self.since[job] >= self.narrowed[edge]:
                self._narrow(edge, min(self.window[edge], self.flight[edge]) / 2)
            self.flight[edge] -= 1
            self.waits[edge].appendleft(job)
            self._send_more(edge)

    def _text(self, job: int, sending: int) -> None:
        """An answer. (Its place at the edge is free at once here, and not after ``back``.)"""
        if self.sending[job] != sending:  # its time was over: it is given up, and the copy that was sent since counts
            self.out.dropped += 1
            return
        self.out.texts[job] += 1
        self.there += 1
        edge = self.edge[job]
        waited, half = self.now - self.since[job], self.pool.patience / 2
        if waited <= half:
            self.window[edge] = min(self.pool.most, self.window[edge] + 1)
        elif self.since[job] >= self.narrowed[edge]:
            self._narrow(edge, self.flight[edge] * half / waited)
        self.flight[edge] -= 1
        self.lag[job] = self.now + self.pool.back - self.ready[job]
        self.out.worked += self.takes[job]
        if self.waits[edge]:
            self._send_more(edge)

    def _narrow(self, edge: int, window: float) -> None:
        if self.pool.adapts:
            self.window[edge], self.narrowed[edge] = max(1.0, window), self.now

    # The queue.

    def _placed(self, _at: float, job: int, sending: int) -> None:
        self.queue.append((job, sending))
        if self.asking:
            self._match()

    def _on_again(self, job: int, sending: int) -> None:
        if self.sending[job] == sending and not self.out.texts[job]:
            self.out.again += 1
            self.again.append((job, sending))
            self._match()

    def _match(self) -> None:
        """Jobs go to those who ask."""
        asking = self.asking
        while self.nats and asking and (self.again or self.queue):
            job, sending = self.again.popleft() if self.again else self.queue.popleft()
            if self.sending[job] != sending or self.out.texts[job]:
                continue  # it was taken out, or is done
            server = asking.popleft()
            server.asks = False
            server.held[job] = (self.now, sending)
            if server.busy < self.pool.workers:
                self._work(server, job)
            else:
                server.own.append(job)
            self._ask(server)

    # The servers.

    def _ask(self, server: _Server) -> None:
        if server.there and not server.asks and len(server.held) < self.pool.workers + self.pool.ahead:
            server.asks = True
            self.asking.append(server)

    def _work(self, server: _Server, job: int) -> None:
        server.busy += 1
        self.started[job] = self.now
        told = server.number << 48 | server.epoch << 16 | server.held[job][1]
        self._at(self.now + self.takes[job], self._on_done, job, told)

    def _on_done(self, job: int, told: int) -> None:
        server, epoch, sending = self.servers[told >> 48], told >> 16 & 0xFFFFFFFF, told & 0xFFFF
        if server.epoch != epoch:
            return  # it was lost with its server
        server.busy -= 1
        server.held.pop(job, None)
        self._text(job, sending)
        while server.own and server.busy < self.pool.workers:
            self._work(server, server.own.popleft())
        if not server.asks:
            self._ask(server)
        if self.queue or self.again:
            self._match()

    def _lose(self, server: _Server, *, held: float) -> None:
        """What it has is given out again after so many seconds; ``held``: since it was last heard of."""
        for job, (since, sending) in server.held.items():
            heard = (self.now - since) % HEARD if held == self.pool.held else 0.0
            self._at(self.now + held - heard, self._on_again, job, sending)
        server.held.clear()
        server.own.clear()
        server.busy, server.epoch = 0, server.epoch + 1
        if server.asks:
            self.asking.remove(server)
            server.asks = False

    # What happens to them.

    def _on_fault(self, number: int, _epoch: int) -> None:
        fault = self.faults[number]
        if fault.kind == "nats":
            self._nats_away(fault.seconds)
            return
        server = self.servers[fault.server]
        if server.there:
            self._lose(server, held=self.pool.held if fault.kind == "kill" else NAK)
            server.there = False
            self.out.server_hours += (self.now - server.since) / 3600
            if fault.seconds:
                self._at(self.now + fault.seconds, self._on_up, server.number)

    def _on_up(self, number: int, _epoch: int) -> None:
        server = self.servers[number]
        server.there, server.since = True, self.now
        self._on_linked_server(number, 0)

    def _nats_away(self, seconds: float) -> None:
        self.nats = False
        self.linked = bytearray(self.load.edges)
        last = min(AGAIN, 1.0 + seconds)
        for server in self.servers:
            self._lose(server, held=max(self.pool.held, seconds + 1))
            self._at(self.now + seconds + self.rng.uniform(0, last), self._on_linked_server, server.number)
        for edge, late in enumerate(self.rng.uniform(0, last, self.load.edges).tolist()):
            self._at(self.now + seconds + late, self._on_linked_edge, edge)
        self._at(self.now + seconds, self._on_nats, 0)

    def _on_nats(self, _number: int, _epoch: int) -> None:
        self.nats = True

    def _on_linked_server(self, number: int, _epoch: int) -> None:
        self._ask(self.servers[number])
        self._match()

    def _on_linked_edge(self, edge: int, _epoch: int) -> None:
        self.linked[edge] = 1
        self._send_more(edge)
