"""The contract of sinks: what one is handed, what it may answer, what it says of itself.

A sink is a plug-in: a class in the entry point group ``vcond.sinks``, made with its configuration. The outbox
(``vcond.delivery``) decides when it is tried and remembers what became of it. ``vcond.testing.sinks`` has the suite that
every sink passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, runtime_checkable

import msgspec

from vcond.base.errors import RefusedError, UnreachableError

MAX_ANSWER = 2048
"""Bytes of a receiver's answer that are kept: enough for the error of a web framework."""
MAX_RETRY_AFTER = 3600.0
"""Seconds a receiver can make us wait at most."""
Form = Literal["plain", "signed", "encrypted"]
"""How a vCon is sent: JSON as it is, inside a JWS, inside a JWE that holds the JWS."""
MEDIA_TYPE: Final = "application/vcon"
"""Of all forms (draft-ietf-vcon-vcon-core-04)."""
Profile = Literal["core", "conserver"]
"""Which plain vCon a sink takes: any valid one, or only what vcon-server's model accepts."""


@dataclass(frozen=True)
class OutgoingVcon:
    """A finished vCon on its way: ``body`` are the bytes as published, ``sha512`` their digest in hex."""

    uuid: str
    body: bytes
    sha512: str
    form: Form = "plain"

    @property
    def key(self) -> str:
        """What tells it from everything else that is sent: several sinks may bring several forms to one receiver."""
        return f"{self.uuid}.{self.form}"


@dataclass(frozen=True)
class Receipt:
    """What a receiver answered to something it took."""

    status: int
    """Of HTTP; 0 where there is none."""
    target: str
    """Who has it now: a URL without secrets, a file name."""
    answer: str = ""
    """The beginning of the answer."""
    sent: str = ""
    """The form in which it got it, and the SHA-512 of those bytes in hex. Not the sink's to say: vcond does."""


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
        self.after = None if after is None or math.isnan(after) else min(max(after, 0.0), MAX_RETRY_AFTER)
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


class Seen(msgspec.Struct, frozen=True):
    """One thing that a look at a receiver found."""

    level: Literal["ok", "warning", "error"]
    text: str
    fix: str = ""


class Sink(Protocol):
    """A receiver of vCons, as the outbox sees it."""

    @property
    def name(self) -> str:
        """The operator's name for it: the key of its deliveries, and a metric label. Never changes."""

    @property
    def concurrency(self) -> int:
        """How many deliveries it takes at once, 1 to 32."""

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Hand it over; idempotent per uuid. Raises Retry or Refused. Every wait inside has a time-out."""

    async def erase(self, uuid: str) -> Receipt:
        """Make the receiver forget a vCon, and prove it. Unknown uuids are fine. Raises Retry or Refused."""

    async def look(self) -> list[Seen]:
        """All that can be found about the receiver without handing anything over. Raises Retry or Refused."""

    async def close(self) -> None:
        """Let go of connections and threads, for good. May be called twice."""


@runtime_checkable
class Confirming(Protocol):
    """What a sink may have besides: its receiver can be asked what it still has."""

    confirm_after: float
    """Seconds after a delivery: longer than the receiver keeps what it has not really stored. 0 = it is never asked."""

    async def has(self, uuid: str) -> bool:
        """Whether the receiver has a vCon; False only by its own word, as then it is sent again. Raises Retry or Refused."""


class SinkPlugin(Sink, Protocol):
    """What a class in the group ``vcond.sinks`` makes of its ``Config``. Raises ConfigError where that cannot be.

    The fields say what it takes: a vCon is made to fit before it is handed over.
    """

    Config: ClassVar[type[msgspec.Struct]]
    """A ``[[sinks]]`` section without ``type`` and ``form``. Has ``name``, with the kind's name as default."""
    forms: ClassVar[tuple[Form, ...]]
    """Which values ``form`` of its section may have."""
    profile: ClassVar[Profile]
    max_bytes: int
    """Of a vCon; 0 = no limit that is known. In the profile ``conserver`` audio that makes it larger is left out."""
    address: str
    """Of the receiver, where several sinks could have the same and each would replace what the other sent; else empty."""


def bounded(answer: bytes) -> str:
    """The beginning of an answer as text that is safe to print: no control characters but line ends."""
    text = answer[:MAX_ANSWER].decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
