"""What is built on this room: an application that takes calls. See ``vcond.sip`` for how the parts fit together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

from vcond.sip.messages import Request


class Flow(NamedTuple):
    """Where a message came from, and where its answer goes."""

    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    remote: tuple[str, int]
    """The other side's address and port, as the socket says; never what a header says."""
    local: tuple[str, int]
    """Our own, as the other side reaches it: what Contact says, and where an offer's address may be taken from."""
    connection: int = 0
    """Which connection of a stream transport; 0 for datagrams."""

    @property
    def reliable(self) -> bool:
        """Whether nothing that was sent needs to be sent again because it was lost on the way."""
        return self.transport != "udp"


class DialogId(NamedTuple):
    """RFC 3261 section 12: what finds a dialog, on whatever connection its requests come."""

    call_id: str
    local_tag: str
    remote_tag: str
    """Empty for a client that sends none (RFC 2543)."""


class End(StrEnum):
    """Why a dialog is over."""

    BYE = "bye"
    CANCELLED = "cancelled"
    """Before it was answered."""
    NO_ACK = "no-ack"
    """Nobody acknowledged the answer in 32 s; a BYE was sent."""
    EXPIRED = "expired"
    """The session timer ran out, and the application said that nothing comes any more; a BYE was sent."""
    OURS = "ours"
    """The application ended it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer to a request."""

    status: int = 200
    """200 or 300 to 699."""
    body: bytes = b""
    content_type: str = "application/sdp"
    """Of the body; not sent without one."""
    headers: tuple[tuple[str, str], ...] = ()
    """More header fields. Via, From, To, Call-ID, CSeq, Contact, Allow, Supported, session timers are added by the core."""
    reason: str = ""
    """The phrase; empty for the usual one."""

    def __post_init__(self) -> None:
        if not (self.status == 200 or 300 <= self.status < 700):
            raise ValueError("a final answer is 200 or 300 to 699")

    @classmethod
    def refused(cls, status: int, *headers: tuple[str, str]) -> Self:
        """A refusal; of a re-INVITE or UPDATE it leaves the dialog as it was (RFC 3261 section 14.2)."""
        return cls(status, headers=headers)


class Dialog(Protocol):
    """A dialog, as the application sees it. Nothing of it is the application's to change."""

    @property
    def id(self) -> DialogId:
        """A key for the application's own dictionary."""

    @property
    def flow(self) -> Flow:
        """On which its latest request came."""

    def saved(self) -> bytes:
        """All that ``SipServer.restore`` needs to go on with it in another process; a few hundred bytes."""


class Application(Protocol):
    """Takes calls. ``SipServer`` calls it; of one dialog never two of the three coroutines at once.

    A coroutine that raises or needs more than the answer's time-out is answered with 500. After it returned it is
    called for that dialog again until ``on_end``, which comes exactly once for each dialog whose ``on_invite``
    returned a 200, and for no other: what was opened for a refused call is the coroutine's own to close.
    """

    def health(self) -> int:
        """0 when new calls are welcome. Otherwise seconds: OPTIONS and new INVITEs get 503 with that Retry-After."""

    async def on_invite(self, dialog: Dialog, request: Request) -> Answer:
        """A new call. 100 was sent. Without a body in the request the answer's body is an offer."""

    async def on_reinvite(self, dialog: Dialog, request: Request) -> Answer:
        """The same INVITE within a dialog: other media, other parties, hold."""

    async def on_update(self, dialog: Dialog, request: Request) -> Answer:
        """RFC 3311. An answer without a body where the request had no SDP."""

    def on_ack(self, dialog: Dialog, request: Request) -> None:
        """The answer has arrived. Its body answers an offer of ours (RFC 3261 section 13.2.1). Once for each INVITE."""

    def on_info(self, dialog: Dialog, request: Request) -> None:
        """An INFO without a package (RFC 2976); it was answered with 200."""

    def on_changed(self, dialog: Dialog) -> None:
        """What ``dialog.saved`` gives is another one now: write it down to survive a restart."""

    def alive(self, dialog: Dialog) -> bool:
        """The session timer ran out: whether it goes on all the same, as media still comes. False ends the dialog."""

    def odd(self, reason: str) -> None:
        """Something was dropped or refused: short fixed words, to be counted and told now and then.

        ``address`` (not allowed), ``malformed``, ``unknown-dialog``, ``cseq``, ``pending``, ``extension``, ``encoding``,
        ``session-interval``, ``options-rate``, ``invite-rate``, ``full``, ``not-well``, ``password``; of sockets
        ``connections``, ``accept``, ``handshake``, ``idle``, ``not-read``, ``not-sent``.
        """

    def on_end(self, dialog: Dialog, why: End, request: Request | None) -> None:
        """It is over. ``request`` is the BYE or CANCEL of the other side, None for the rest."""
