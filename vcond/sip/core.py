"""The rules of a SIP server, without a socket and without a clock. RFC 3261 sections 8.2, 9.2, 12.2.2, 13.3, 14.2, 15.1.2.

Whatever comes goes into ``receive``; what is to be done comes out, in its order. ``due`` says when ``tick`` is to be
called. Refusals outside of dialogs leave nothing behind: the same request gets the same answer again (section 8.2.7).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

from vcond.base.time import Instant
from vcond.sip.actions import Action, Ask, Odd, Send
from vcond.sip.application import Answer, End, Flow
from vcond.sip.calls import Calls
from vcond.sip.dialogs import DialogState
from vcond.sip.door import Door, Refusal
from vcond.sip.messages import MalformedError, Message, Request, Response
from vcond.sip.responses import Writer, can_be_answered, way_back
from vcond.sip.sending import Sender
from vcond.sip.settings import Settings
from vcond.sip.transactions import Transactions, key_of


class Uas:
    """One server, on any number of transports."""

    def __init__(
        self,
        settings: Settings,
        *,
        health: Callable[[], int] = lambda: 0,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
        secret: bytes | None = None,
    ) -> None:
        """``health`` as ``Application.health``; ``token`` makes tags and branches that nobody guesses."""
        secret = secret or secrets.token_bytes(32)
        self._settings = settings
        self._door = Door(settings, health, secret)
        self._transactions = Transactions(settings.transactions)
        self._sender = Sender(Writer(settings, secret), self._transactions, token)
        self._calls = Calls(settings, self._transactions, self._sender, token)

    @property
    def dialogs(self) -> Collection[DialogState]:
        """Those that go on."""
        return self._calls.all

    def allows(self, host: str) -> bool:
        """Whether an address gets answers."""
        return host in self._door.allowed

    def receive(self, message: Message | MalformedError, flow: Flow, now: Instant) -> list[Action]:
        """A message from outside, or what is none."""
        if not self.allows(flow.remote[0]):
            self._sender.add(Odd("address"))
        elif isinstance(message, MalformedError):
            self._sender.add(Odd("malformed"))
            request = message.request
            if request is not None and request.method != "ACK" and can_be_answered(request):
                self._sender.refuse(request, flow, Refusal(message.status))
        elif isinstance(message, Response):
            self._calls.answered(message, now)
        elif message.method == "ACK":
            self._calls.ack(message, flow, now)
        else:
            self._request(message, flow, now)
        return self._sender.take()

    def answer(self, ask: Ask, answer: Answer, now: Instant) -> list[Action]:
        """What the application says to ``ask``. Nothing when nobody waits for it any more.

        Raises ValueError when it cannot be written; it may then be answered otherwise.
        """
        self._calls.answer(ask, answer, now)
        return self._sender.take()

    def keep(self, dialog: DialogState, now: Instant) -> list[Action]:
        """It goes on, whatever a timer says."""
        self._calls.keep(dialog, now)
        return self._sender.take()

    def hang_up(self, dialog: DialogState, now: Instant, why: End = End.OURS) -> list[Action]:
        """End it, with a BYE if it has begun."""
        self._calls.hang_up(dialog, now, why)
        return self._sender.take()

    def restore(self, saved: bytes, now: Instant) -> DialogState:
        """Go on with what another process saved. Raises ProtocolError when it is not that."""
        return self._calls.restore(saved, now)

    def due(self) -> Instant | None:
        """When ``tick`` has something to do; None as long as nothing comes."""
        return min(filter(None, (self._transactions.due(), self._sender.due(), self._calls.due())), default=None)

    def tick(self, now: Instant) -> list[Action]:
        """Do what is due."""
        self._calls.tick(now)
        self._sender.tick(now)
        return self._sender.take()

    def _request(self, request: Request, flow: Flow, now: Instant) -> None:
        known = self._transactions.get(key_of(request))
        if request.method == "CANCEL":
            self._calls.cancel(request, known, flow, now)
        elif known is not None:
            known.flow = way_back(request, flow)
            if known.response:
                self._sender.add(Send(known.flow, known.response))
        elif refusal := self._door.unfit(request):
            self._sender.refuse(request, flow, refusal)
        elif request.to_tag:
            dialog = self._calls.get(request)
            if dialog is None:
                self._sender.refuse(request, flow, Refusal(481, odd="unknown-dialog"))
            else:
                self._calls.within(dialog, request, flow, now)
        elif request.method == "OPTIONS":
            self._sender.refuse(request, flow, self._door.options(flow, now) or Refusal(200))
        elif request.method == "INVITE":
            self._invite(request, flow, now)
        else:
            self._sender.refuse(request, flow, Refusal(481, odd="unknown-dialog"))

    def _invite(self, request: Request, flow: Flow, now: Instant) -> None:
        if self._transactions.merged(request):
            self._sender.refuse(request, flow, Refusal(482))
            return
        full = len(self._calls.all) >= self._settings.dialogs or self._transactions.full
        if refusal := self._door.invite(request, flow, now, full=full):
            self._sender.refuse(request, flow, refusal)
            return
        self._calls.begin(request, flow, now)
