"""What the core has to say, collected until somebody takes it; and what of it is remembered to be said again."""

from __future__ import annotations

from collections.abc import Callable

from vcond.base.time import Instant
from vcond.sip.actions import Action, Odd, Send
from vcond.sip.application import Flow
from vcond.sip.client import Own, OwnRequests
from vcond.sip.dialogs import DialogState
from vcond.sip.door import Refusal
from vcond.sip.messages import Request, Response
from vcond.sip.responses import Fields, Writer, way_back
from vcond.sip.timers import LIFE
from vcond.sip.transactions import COOKIE, Transaction, Transactions


class Sender:
    """Answers and requests of ours, on their way out."""

    def __init__(self, writer: Writer, transactions: Transactions, token: Callable[[], str]) -> None:
        self._writer, self._transactions, self._token = writer, transactions, token
        self._own = OwnRequests()
        self._out: list[Action] = []

    def add(self, *actions: Action) -> None:
        """To be done after what was added before."""
        self._out += actions

    def take(self) -> list[Action]:
        """All of it, once."""
        out, self._out = self._out, []
        return out

    def refuse(self, request: Request, flow: Flow, refusal: Refusal, tag: str = "") -> None:
        """Answer without remembering it."""
        if refusal.odd:
            self.add(Odd(refusal.odd))
        response = self._writer.response(request, flow, refusal.status, tag=tag, more=refusal.more)
        self.add(Send(way_back(request, flow), response))

    def trying(self, transaction: Transaction, request: Request, flow: Flow) -> None:
        """100, at once."""
        transaction.response = self._writer.response(request, flow, 100)
        self.add(Send(transaction.flow, transaction.response))

    def final(
        self,
        transaction: Transaction,
        request: Request,
        status: int,
        now: Instant,
        *,
        more: Fields = (),
        body: bytes = b"",
        reason: str = "",
    ) -> None:
        """The answer that a transaction remembers. Raises ValueError when it cannot be written."""
        tag = "" if transaction.dialog is None else transaction.dialog.id.local_tag
        response = self._writer.response(
            request, transaction.flow, status, tag=tag, more=more, body=body, reason=reason
        )
        self._transactions.answered(transaction, response, status, now)
        self.add(Send(transaction.flow, response))

    def request(self, dialog: DialogState, method: str, now: Instant, *more: tuple[str, str]) -> None:
        """A request of ours."""
        branch = COOKIE + self._token()
        data = self._writer.request(dialog, method, branch, more)
        self._own.add(Own(branch, method, dialog, dialog.flow, data, Instant(now + LIFE)), now)
        self.add(Send(dialog.flow, data))

    def answered(self, response: Response) -> Own | None:
        """The request of ours that has its final answer now."""
        return self._own.answered(response)

    def due(self) -> Instant | None:
        """When ``tick`` has something to do."""
        return self._own.due()

    def tick(self, now: Instant) -> None:
        """Send requests of ours again."""
        self.add(*(Send(own.flow, own.data) for own in self._own.tick(now)))
