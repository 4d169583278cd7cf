"""Dialogs and what happens to them. RFC 3261 sections 9.2, 12.2.2, 13.3, 14.2 and 15.1.2; a part of the core."""

from __future__ import annotations

from collections.abc import Callable, Collection

from vcond.base.time import Instant
from vcond.sip.actions import Acked, Ask, Changed, Doubtful, Ended, Informed, Kind, Send
from vcond.sip.application import Answer, DialogId, End, Flow
from vcond.sip.dialogs import DialogState, restored
from vcond.sip.door import Refusal
from vcond.sip.messages import Request, Response
from vcond.sip.responses import way_back
from vcond.sip.sending import Sender
from vcond.sip.sessions import SessionTimers
from vcond.sip.settings import Settings
from vcond.sip.timers import Session, negotiate, session_expires
from vcond.sip.transactions import State, Transaction, Transactions, key_of


class Calls:
    """All dialogs of one server. What is to be done goes to the sender."""

    def __init__(
        self, settings: Settings, transactions: Transactions, sender: Sender, token: Callable[[], str]
    ) -> None:
        self._settings, self._transactions, self._sender, self._token = settings, transactions, sender, token
        self._dialogs: dict[DialogId, DialogState] = {}
        self._sessions = SessionTimers()

    @property
    def all(self) -> Collection[DialogState]:
        """Those that go on."""
        return self._dialogs.values()

    def get(self, request: Request) -> DialogState | None:
        """The one that a request is within (RFC 3261 section 12.2.2)."""
        return self._dialogs.get(DialogId(request.call_id, request.to_tag, request.from_tag))

    def begin(self, request: Request, flow: Flow, now: Instant) -> None:
        """A new one."""
        dialog = DialogState.begun(request, flow, self._token())
        self._dialogs[dialog.id] = dialog
        self._ask(Kind.INVITE, dialog, request, flow, now)

    def within(self, dialog: DialogState, request: Request, flow: Flow, now: Instant) -> None:
        """A request within one."""
        number, method = request.cseq
        if number < dialog.remote_cseq or (number == dialog.remote_cseq and method != "BYE"):
            self._sender.refuse(request, flow, Refusal(500, odd="cseq"))
        elif method in {"INVITE", "UPDATE"}:
            self._change(dialog, request, flow, now)
        elif method == "INFO" and "info-package" in request.headers:
            dialog.seen(request, flow)
            self._sender.refuse(request, flow, Refusal(469, (("Recv-Info", ""),)))
        else:
            dialog.seen(request, flow)
            if method == "OPTIONS" or self._transactions.full:
                self._sender.refuse(request, flow, Refusal(200))
            else:
                transaction = self._transactions.add(request, way_back(request, flow), now)
                self._sender.final(transaction, request, 200, now)
            if method == "INFO":
                self._sender.add(Informed(dialog, request))
            if method == "BYE":
                self._end(dialog, End.BYE, request, now)
            else:
                self._sender.add(Changed(dialog))

    def cancel(self, request: Request, known: Transaction | None, flow: Flow, now: Instant) -> None:
        """RFC 3261 section 9.2. A re-INVITE is answered as if none had come: what it changed is changed."""
        dialog = None if known is None else known.dialog
        if known is None or dialog is None:
            self._sender.refuse(request, flow, Refusal(481))
            return
        self._sender.refuse(request, flow, Refusal(200), tag=dialog.id.local_tag)
        if known.first and known.state is State.PENDING:
            self._end(dialog, End.CANCELLED, request, now)

    def ack(self, request: Request, flow: Flow, now: Instant) -> None:
        """Of a 200, or of a refusal."""
        known = self._transactions.get(key_of(request))
        if known is not None and known.state is State.REFUSED:
            self._transactions.acked(known, now)
            return
        dialog = self.get(request)
        waiting = None if dialog is None else self._transactions.get(dialog.unacked)
        if dialog is not None and waiting is not None and waiting.cseq.number == request.cseq.number:
            self._transactions.acked(waiting, now)
            dialog.flow, dialog.unacked, dialog.offered = flow, (), False
            self._sender.add(Acked(dialog, request))

    def answered(self, response: Response, now: Instant) -> None:
        """To an UPDATE of ours, or to a BYE, after which nothing comes."""
        own = self._sender.answered(response)
        dialog = None if own is None or own.method != "UPDATE" else self._dialogs.get(own.dialog.id)
        if dialog is None:
            return
        if response.status < 300:
            interval, refresher = session_expires(response.headers)
            dialog.session = Session(interval, ours=refresher != "uas") if interval else None
            self._sessions.arm(dialog, now)
            self._sender.add(Changed(dialog))
        elif response.status in {408, 481}:
            self._sender.add(Doubtful(dialog, End.EXPIRED))

    def answer(self, ask: Ask, answer: Answer, now: Instant) -> None:
        """What the application says to ``ask``. Nothing when nobody waits for it any more.

        Raises ValueError when it cannot be written; it may then be answered otherwise.
        """
        _, dialog, request, transaction = ask
        if transaction.state is State.PENDING:
            session = None
            more = answer.headers
            if answer.status == 200:
                settings = self._settings
                session = negotiate(request.headers, least=settings.min_se, usual=settings.session_expires)
                if session is not None:
                    more += (session.field, *([] if session.ours else [("Require", "timer")]))
            if answer.body:
                more += (("Content-Type", answer.content_type),)
            self._sender.final(
                transaction, request, answer.status, now, more=more, body=answer.body, reason=answer.reason
            )
            if answer.status == 200:
                self._agreed(ask, session, offered=bool(answer.body) and not request.body, now=now)
            elif transaction.first:
                del self._dialogs[dialog.id]
        dialog.pending = ()

    def keep(self, dialog: DialogState, now: Instant) -> None:
        """It goes on, whatever a timer says."""
        if dialog.id in self._dialogs:
            self._sessions.arm(dialog, now)

    def hang_up(self, dialog: DialogState, now: Instant, why: End = End.OURS) -> None:
        """End it, with a BYE if it has begun."""
        if dialog.id in self._dialogs:
            if dialog.confirmed:
                self._sender.request(dialog, "BYE", now)
            self._end(dialog, why, None, now)

    def restore(self, saved: bytes, now: Instant) -> DialogState:
        """Go on with what another process saved. Raises ProtocolError when it is not that."""
        dialog = restored(saved)
        dialog.flow = dialog.flow._replace(connection=-1)  # a stream's number is another one's by now
        self._dialogs[dialog.id] = dialog
        self._sessions.arm(dialog, now)
        return dialog

    def due(self) -> Instant | None:
        """When ``tick`` has something to do for a session timer."""
        return self._sessions.due()

    def tick(self, now: Instant) -> None:
        """Do what is due, and what transactions have to do."""
        for transaction in self._transactions.tick(now):
            dialog = transaction.dialog
            if now < transaction.ends:
                self._sender.add(Send(transaction.flow, transaction.response))
            elif transaction.state is State.ANSWERED and dialog is not None:
                dialog.unacked = ()
                # a later request says as well as an ACK that the answer has arrived
                if transaction.first and dialog.remote_cseq == transaction.cseq.number:
                    self._sender.add(Doubtful(dialog, End.NO_ACK))
        for dialog, refresh in self._sessions.pop(now):
            if refresh and dialog.session is not None:
                expires = ("Session-Expires", f"{dialog.session.interval};refresher=uac")
                self._sender.request(dialog, "UPDATE", now, expires, ("Supported", "timer"))
                self._sender.add(Changed(dialog))
            else:
                self._sender.add(Doubtful(dialog, End.EXPIRED))

    def _change(self, dialog: DialogState, request: Request, flow: Flow, now: Instant) -> None:
        """re-INVITE and UPDATE; RFC 3261 section 14.2, RFC 3311 section 5.2."""
        if dialog.pending:
            wait = int(self._token()[:2], 16) % 11
            self._sender.refuse(request, flow, Refusal(500, (("Retry-After", str(wait)),), "pending"))
        elif dialog.offered and (request.method == "INVITE" or request.body):
            self._sender.refuse(request, flow, Refusal(491, odd="pending"))
        elif self._transactions.full:
            self._sender.refuse(request, flow, Refusal(503, (("Retry-After", "10"),), "full"))
        else:
            dialog.seen(request, flow)
            self._ask(Kind.REINVITE if request.method == "INVITE" else Kind.UPDATE, dialog, request, flow, now)

    def _ask(self, kind: Kind, dialog: DialogState, request: Request, flow: Flow, now: Instant) -> None:
        transaction = self._transactions.add(request, way_back(request, flow), now)
        transaction.dialog, transaction.first = dialog, kind is Kind.INVITE
        dialog.pending = transaction.key
        if request.method == "INVITE":
            self._sender.trying(transaction, request, flow)
        self._sender.add(Ask(kind, dialog, request, transaction))

    def _agreed(self, ask: Ask, session: Session | None, *, offered: bool, now: Instant) -> None:
        """A 200 was sent to an INVITE or UPDATE."""
        dialog = ask.dialog
        dialog.session = session
        if ask.kind is not Kind.UPDATE:
            earlier = self._transactions.get(dialog.unacked)
            if earlier is not None:  # its ACK was lost, but who asks again has the answer
                self._transactions.acked(earlier, now)
            dialog.confirmed, dialog.unacked, dialog.offered = True, ask.transaction.key, offered
        self._sessions.arm(dialog, now)
        self._sender.add(Changed(dialog))

    def _end(self, dialog: DialogState, why: End, request: Request | None, now: Instant) -> None:
        del self._dialogs[dialog.id]
        self._sessions.drop(dialog)
        pending, unacked = self._transactions.get(dialog.pending), self._transactions.get(dialog.unacked)
        if pending is not None and pending.request is not None:
            self._sender.final(pending, pending.request, 480 if why is End.OURS else 487, now)
        if unacked is not None:
            self._transactions.acked(unacked, now)
        self._sender.add(Ended(dialog, why, request))
