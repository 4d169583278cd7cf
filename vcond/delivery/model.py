"""The words of the room: what is known of each vCon, of each delivery and of each sink."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from vcond.base.errors import OperatorError

State = Literal["pending", "sending", "delivered", "dead", "unmatched"]
"""Of one vCon at one sink. ``dead`` waits for the operator; nothing leaves it by itself. ``unmatched``: the sink's ``match`` left
it out; in the rows that is one that was given up (``rows.UNMATCHED``)."""

Stage = Literal["open", "done", "kept", "gone", "lost"]
"""Of one vCon. open: some sink lacks it. done: every sink has it, the core was not told yet. kept, gone: told, and
its file is kept for ``keep_days`` or removed. lost: its file vanished before every sink had it."""


class Clock(Protocol):
    """UTC now."""

    def now(self) -> int:
        """Nanoseconds since the epoch."""


class ConflictError(OperatorError):
    """Other bytes were published under this uuid before; the new ones were set aside, nothing was overwritten."""


class ForgottenError(OperatorError):
    """This vCon, or its call, was forgotten: nothing of it is taken any more."""


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


class Delivery(msgspec.Struct, frozen=True):
    """One vCon at one sink, also after it was delivered."""

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
    confirmed: Literal["confirmed", "gone", "unknown"]
    """Whether the receiver still had it when it was asked; unknown: it was not, or did not say."""
    configured: bool
    """False for a sink that was removed from the configuration."""


class Entry(msgspec.Struct, frozen=True):
    """One vCon that the outbox knows, also when its file is gone."""

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
