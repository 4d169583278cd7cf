"""Server transactions: requests that are remembered until nobody sends them again. RFC 3261 section 17.2, RFC 6026."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from vcond.base.time import Instant
from vcond.sip.application import Flow
from vcond.sip.dialogs import DialogState
from vcond.sip.fields import CSeq
from vcond.sip.messages import Request
from vcond.sip.timers import LIFE, T1, T2, T4, Timers

COOKIE: Final = "z9hG4bK"
MAX_BYTES: Final = 64 << 20
"""That all of them hold."""

Key = tuple[str, ...]


def key_of(request: Request) -> Key:
    """What a request and its retransmissions have in common; ACK and CANCEL have it in common with their INVITE.

    RFC 3261 section 17.2.3; without a branch that tells, as RFC 2543 had it.
    """
    method = "INVITE" if request.method in {"ACK", "CANCEL"} else request.method
    via, cseq = request.via, request.cseq
    if via.branch.startswith(COOKIE) and len(via.branch) > len(COOKIE):
        return method, via.branch, via.host.lower(), str(via.port)
    return method, request.uri, request.from_tag, request.call_id, str(cseq.number), request.vias[0]


class State(Enum):
    """Of a transaction."""

    PENDING = auto()
    """The application has not answered."""
    ANSWERED = auto()
    """By 200, which is sent again until its ACK comes. Only of INVITE."""
    REFUSED = auto()
    """The same of a refusal."""
    DONE = auto()
    """Only retransmissions may come."""


@dataclass(slots=True, eq=False)
class Transaction:
    """One of them."""

    key: Key
    call: Key
    """The request, by whatever way it came."""
    cseq: CSeq
    request: Request | None = field(repr=False)
    """Until it is answered."""
    flow: Flow
    """Where its answers go."""
    ends: Instant
    dialog: DialogState | None = None
    state: State = State.PENDING
    response: bytes = field(default=b"", repr=False)
    """What retransmissions get; nothing while it is empty."""
    pause: int = T1
    first: bool = False
    """Whether it is the INVITE that began its dialog."""
    size: int = 0
    """Bytes that it holds, about."""

    @property
    def invite(self) -> bool:
        """Whether its answer waits for an ACK."""
        return self.cseq.method == "INVITE"


class Transactions:
    """All of them, and when which of them sends its answer again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_key: dict[Key, Transaction] = {}
        self._by_call: dict[Key, Key] = {}
        self._timers: Timers[Key] = Timers()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def full(self) -> bool:
        """Whether no more are remembered."""
        return len(self._by_key) >= self._most or self._bytes >= MAX_BYTES

    def get(self, key: Key) -> Transaction | None:
        """The one with that key."""
        return self._by_key.get(key)

    def merged(self, request: Request) -> bool:
        """Whether a new request came before by another way (RFC 3261 section 8.2.2.2)."""
        return _call(request) in self._by_call

    def add(self, request: Request, flow: Flow, now: Instant) -> Transaction:
        """Begin one; whoever does answers it, however long that takes."""
        key = key_of(request)
        new = Transaction(key, _call(request), request.cseq, request, flow, Instant(now + LIFE))
        self._by_key[key] = new
        if not request.to_tag:
            self._by_call[new.call] = key
        self._resize(new, len(request.body) + sum(len(name) + len(value) for name, value in request.headers))
        return new

    def answered(self, transaction: Transaction, response: bytes, status: int, now: Instant) -> None:
        """Its final answer is sent now; again by ``tick``, until an ACK comes."""
        transaction.response, transaction.request, transaction.ends = response, None, Instant(now + LIFE)
        self._resize(transaction, len(response))
        if not transaction.invite:
            transaction.state = State.DONE
            self._timers.set(transaction.key, transaction.ends)
            return
        transaction.state = State.ANSWERED if status < 300 else State.REFUSED
        again = status < 300 or not transaction.flow.reliable  # a 200 crosses hops that may lose it (section 13.3.1.4)
        self._timers.set(transaction.key, Instant(now + T1) if again else transaction.ends)

    def acked(self, transaction: Transaction, now: Instant) -> None:
        """Its answer has arrived."""
        if transaction.state is State.REFUSED:
            transaction.ends = Instant(now + T4)
        transaction.state = State.DONE
        self._timers.set(transaction.key, transaction.ends)

    def due(self) -> Instant | None:
        """When ``tick`` has something to do."""
        return self._timers.due()

    def tick(self, now: Instant) -> Iterator[Transaction]:
        """Those whose answer is to be sent again, or which are over: then they are gone, in the state that they had."""
        for key in self._timers.pop(now):
            transaction = self._by_key[key]
            if now >= transaction.ends:
                del self._by_key[key]
                self._resize(transaction, 0)
                if self._by_call.get(transaction.call) == key:
                    del self._by_call[transaction.call]
            else:
                transaction.pause = min(2 * transaction.pause, T2)
                self._timers.set(key, min(Instant(now + transaction.pause), transaction.ends))
            yield transaction

    def _resize(self, transaction: Transaction, size: int) -> None:
        self._bytes += size - transaction.size
        transaction.size = size


def _call(request: Request) -> Key:
    return request.from_tag, request.call_id, *map(str, request.cseq)
