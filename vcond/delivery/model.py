"""The words of the room: what is delivered, what a receiver says, what is known of each delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from vcond.base.errors import OperatorError, RefusedError, UnreachableError

MAX_ANSWER = 2048
"""Bytes of a receiver's answer that are kept: enough for the error of a web framework."""
MAX_RETRY_AFTER = 3600.0
"""Seconds a receiver can make us wait at most."""

State = Literal["pending", "sending", "delivered", "dead"]
"""Of one vCon at one sink. ``dead`` waits for the operator; nothing leaves it by itself."""

Stage = Literal["open", "done", "kept", "gone", "lost"]
"""Of one vCon. open: some sink lacks it. done: every sink has it, the core was not told yet. kept, gone: told, and
its file is kept for ``keep_days`` or removed. lost: its file vanished before every sink had it."""


class Clock(Protocol):
    """UTC now."""

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        ...


@dataclass(frozen=True)
class Sealed:
    """A finished vCon on its way: ``body`` are the bytes as published, ``sha512`` their digest in hex."""

    uuid: str
    body: bytes
    sha512: str


@dataclass(frozen=True)
class Receipt:
    """What a receiver answered to something it took."""

    status: int
    """Of HTTP; 0 where there is none."""
    target: str
    """Who has it now: a URL without secrets, a file name."""
    answer: str = ""
    """The beginning of the answer."""


class Retry(UnreachableError):  # noqa: N818 - the contract's word for it
    """Not now. The outbox tries again, for ever.

    ``whole_sink``: the receiver as such is in trouble (unreachable, overloaded), so that other vCons would fare no
    better. ``after``: seconds it asked us to wait. ``held``: the whole sink, and somebody must set something right (a
    key, an address, a certificate, permissions). ``too_large``: something on the way refuses vCons of this size; this
    one waits, and larger ones with it. ``detail`` and ``hint`` say in words of ours what is wrong and what mends it:
    no secret, no content, nothing of ``answer``.
    """

    def __init__(
        self,
        reason: str,
        *,
        after: float | None = None,
        whole_sink: bool = False,
        status: int = 0,
        answer: str = "",
        held: bool = False,
        too_large: bool = False,
        detail: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = None if after is None else min(max(after, 0.0), MAX_RETRY_AFTER)
        self.whole_sink = whole_sink or held
        self.status = status
        self.answer = answer
        self.held = held
        self.too_large = too_large
        self.detail = detail
        self.hint = hint


class Refused(RefusedError):  # noqa: N818 - the contract's word for it
    """Never, as things are. The vCon goes to the dead letters; ``reason`` and ``hint`` hold no secret, no content.

    ``asked``: by the receiver's word; False when it was not asked, so that nothing is known of it.
    """

    def __init__(self, reason: str, *, status: int = 0, answer: str = "", hint: str = "", asked: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.answer = answer
        self.hint = hint
        self.asked = asked


class ConflictError(OperatorError):
    """Other bytes were published under this uuid before; the new ones were set aside, nothing was overwritten."""


class Sink(Protocol):
    """A receiver of vCons."""

    @property
    def name(self) -> str:
        """The operator's name for it: the key of its deliveries, and a metric label. Never changes."""
        ...

    @property
    def profile(self) -> str:
        """Which vCon it can take: ``core`` any valid one, ``conserver`` only what vcon-server's model accepts."""
        ...

    @property
    def concurrency(self) -> int:
        """How many deliveries it takes at once, 1 to 32."""
        ...

    async def deliver(self, record: Sealed) -> Receipt:
        """Hand it over; idempotent per uuid. Raises Retry or Refused. Every wait inside has a time-out."""
        ...

    async def erase(self, uuid: str) -> Receipt:
        """Make the receiver forget a vCon, and prove it. Unknown uuids are fine. Raises Retry or Refused."""
        ...

    async def check(self) -> str:
        """One line about the receiver, found without handing anything over. Raises Retry or Refused."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads, for good. May be called twice."""
        ...


class SinkState(msgspec.Struct, frozen=True):
    """How a sink takes deliveries just now."""

    sink: str
    state: Literal["ok", "down", "held"]
    """down: it does not take deliveries, and is tried again. held: so, and somebody must set something right."""
    reason: str = ""
    detail: str = ""
    """What is wrong, with address or path."""
    hint: str = ""
    """What mends it."""
    since: int = 0
    """When it began; 0 = it is well."""
    next_at: int = 0
    """When it is tried again."""
    size_limit: int = 0
    """vCons of so many bytes and more wait, because something on the way refuses them; 0 = none."""


class Seen(msgspec.Struct, frozen=True):
    """One thing that a look at a receiver found."""

    level: Literal["ok", "warning", "error"]
    text: str
    fix: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """One vCon at one sink: also the ledger of who received what."""

    sink: str
    state: State
    attempts: int
    """Tries that came to an end, since it was published or put back."""
    next_at: int
    """Not before this moment; 0 = at once."""
    last_at: int
    """When the last try ended; for ``delivered`` when the receiver had it. 0 = no try yet."""
    status: int
    """HTTP status of the last answer; 0 = none."""
    reason: str
    """Why it is not delivered: ``unreachable``, ``http:500``, ``refused:403``, ... Empty once it is."""
    answer: str
    """The beginning of the last answer."""
    target: str
    """Who has it."""
    configured: bool
    """False for a sink that was removed from the configuration."""


class Entry(msgspec.Struct, frozen=True):
    """One vCon in the outbox or the ledger."""

    uuid: str
    sha512: str
    """Of the bytes published, which are the bytes sent."""
    bytes: int
    published_at: int
    closed_at: int
    """When every sink had it; 0 = not yet."""
    stage: Stage
    facts: dict[str, str]
    sinks: tuple[Delivery, ...]


def bounded(answer: bytes) -> str:
    """The beginning of an answer as text that is safe to print: no control characters but line ends."""
    text = answer[:MAX_ANSWER].decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
