"""Dialogs, found by Call-ID and tags and never by a connection. RFC 3261 section 12."""

from __future__ import annotations

import json
from typing import Final, Self

import msgspec

from vcond.base.errors import ProtocolError
from vcond.sip.application import DialogId, Flow
from vcond.sip.fields import Address
from vcond.sip.messages import Request
from vcond.sip.timers import Session

MAX_ROUTES: Final = 16
"""Proxies that want to see each request of a dialog."""
MAX_TEXT: Final = 1024
"""Characters of a Contact or route that is kept."""


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """A dialog, so that another process can go on with it."""

    id: DialogId
    flow: Flow
    local: str
    remote: str
    target: str
    routes: tuple[str, ...]
    remote_cseq: int
    local_cseq: int
    session: Session | None


class DialogState:
    """One dialog. ``vcond.sip.application.Dialog`` is what an application sees of it."""

    def __init__(self, saved: Saved) -> None:
        self.id, self.flow, self.local, self.remote = saved.id, saved.flow, saved.local, saved.remote
        """``local`` and ``remote`` are From and To of requests of ours, with their tags."""
        self.target, self.routes, self.session = saved.target, saved.routes, saved.session
        self.remote_cseq, self.local_cseq = saved.remote_cseq, saved.local_cseq
        self.confirmed = True
        """Whether the INVITE was answered with 200."""
        self.pending: tuple[str, ...] = ()
        """The transaction that the application has not yet answered."""
        self.unacked: tuple[str, ...] = ()
        """The INVITE whose 200 was not yet acknowledged."""
        self.offered = False
        """Whether an offer of ours waits for its answer in an ACK."""

    @classmethod
    def begun(cls, request: Request, flow: Flow, tag: str) -> Self:
        """By an INVITE."""
        routes = request.headers.values("record-route")[:MAX_ROUTES]
        self = cls(
            Saved(
                id=DialogId(request.call_id, tag, request.from_tag),
                flow=flow,
                local=f"{request.headers.get('to')};tag={tag}",
                remote=request.headers.get("from"),
                target=Address.parse(request.headers.get("from")).uri,
                routes=tuple(route for route in routes if len(route) <= MAX_TEXT),
                remote_cseq=request.cseq.number,
                local_cseq=0,
                session=None,
            )
        )
        self.confirmed = False
        self.seen(request, flow)
        return self

    def seen(self, request: Request, flow: Flow) -> None:
        """A request within it: where the other side is now (RFC 3261 section 12.2.2)."""
        self.flow = flow
        self.remote_cseq = max(self.remote_cseq, request.cseq.number)
        if request.method in {"INVITE", "UPDATE"}:
            try:
                target = Address.parse(request.headers.values("contact")[0]).uri
            except (ProtocolError, IndexError):  # none that can be used: it stays where it was
                return
            if not any(char in target for char in '<>" \t') and len(target) <= MAX_TEXT:
                self.target = target

    def saved(self) -> bytes:
        """As ``restored`` takes it."""
        now = Saved(
            self.id, self.flow, self.local, self.remote, self.target, self.routes,
            self.remote_cseq, self.local_cseq, self.session,
        )  # fmt: skip
        return json.dumps(msgspec.to_builtins(now)).encode()  # unlike msgspec's it takes bytes that are no UTF-8


def restored(saved: bytes) -> DialogState:
    """What another process saved. Raises ProtocolError when it is not that."""
    try:
        return DialogState(msgspec.convert(json.loads(saved), Saved))
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise ProtocolError("saved SIP dialog cannot be read") from None
