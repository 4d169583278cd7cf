"""The core with sockets, tasks and a clock around it."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Protocol, Self, TypeVarTuple

import structlog

from vcond.base.errors import ConfigError
from vcond.base.tasks import cancelled
from vcond.base.time import Instant, seconds
from vcond.sip.actions import Acked, Action, Ask, Changed, Doubtful, Ended, Informed, Kind, Odd, Send
from vcond.sip.application import Answer, Application, Dialog, DialogId, End, Flow
from vcond.sip.core import Uas
from vcond.sip.dialogs import DialogState
from vcond.sip.messages import MalformedError, Message
from vcond.sip.settings import Settings
from vcond.sip.transports import Datagrams, Streams

log = structlog.get_logger()
Ts = TypeVarTuple("Ts")


class Clock(Protocol):
    """Our one clock."""

    def now(self) -> Instant:
        """This moment."""


class SipServer:
    """Takes calls until it is left. What goes on then is the application's to save."""

    def __init__(self, settings: Settings, application: Application, clock: Clock) -> None:
        """Raises ConfigError when the settings cannot be used."""
        self._settings, self._application, self._clock = settings, application, clock
        self._core = Uas(settings, health=self._health)
        self._numbers = itertools.count(1)
        self._datagrams: dict[int, Datagrams] = {}
        self._streams = Streams(settings, self._numbers, self._receive, self._core.allows, self._odd)
        self._tasks: dict[DialogId, asyncio.Task[None]] = {}
        self._over: dict[DialogId, Ended] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await cancelled(self._tasks.values())
        await self._streams.close()
        for datagrams in self._datagrams.values():
            datagrams.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    async def listen(self, transport: str, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Take messages there: ``udp``, ``tcp``, or ``tls`` with a context. Returns the address, for port 0 with its number.

        Raises ConfigError when it cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            if transport == "udp":
                datagrams = Datagrams(next(self._numbers), self._receive, self._core.allows, self._odd)
                await loop.create_datagram_endpoint(lambda: datagrams, local_addr=(host, port))
                self._datagrams[datagrams.number] = datagrams
                address = datagrams.local
            else:
                assert (tls is not None) == (transport == "tls")
                address = await self._streams.listen(host, port, tls)
        except (OSError, UnicodeError) as why:
            reason = why.strerror if isinstance(why, OSError) else "no host has such a name"
            raise ConfigError(f"cannot listen on {transport} {host}:{port}: {reason}", "listen") from None
        log.info("listening for SIP", transport=transport, address=f"{address[0]}:{address[1]}")
        return address

    @property
    def dialogs(self) -> Collection[Dialog]:
        """Those that go on."""
        return self._core.dialogs

    @property
    def connections(self) -> int:
        """Of TCP and TLS, now."""
        return len(self._streams)

    def restore(self, saved: bytes) -> Dialog:
        """Go on with a dialog that ``Dialog.saved`` described. Raises ProtocolError when it is not that."""
        dialog = self._core.restore(saved, self._clock.now())
        self._wake()
        return dialog

    def hang_up(self, dialog: Dialog) -> None:
        """End it with a BYE; ``on_end`` comes with ``End.OURS``. Nothing when it is over."""
        if isinstance(dialog, DialogState):
            self._do(self._core.hang_up(dialog, self._clock.now()))

    def _receive(self, message: Message | MalformedError, flow: Flow) -> None:
        self._do(self._core.receive(message, flow, self._clock.now()))

    def _tick(self) -> None:
        self._timer = None
        self._do(self._core.tick(self._clock.now()))

    def _wake(self) -> None:
        """Have ``_tick`` called when it is due."""
        due = self._core.due()
        if due is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, seconds(due - self._clock.now()))
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._tick)

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(flow, data):
                    self._send(flow, data)
                case Ask(_, dialog, _, _):
                    self._tasks[dialog.id] = asyncio.get_running_loop().create_task(self._answer(action))
                case Acked(dialog, request):
                    self._tell(self._application.on_ack, dialog, request)
                case Informed(dialog, request):
                    self._tell(self._application.on_info, dialog, request)
                case Changed(dialog):
                    self._tell(self._application.on_changed, dialog)
                case Odd(reason):
                    self._odd(reason)
                case Ended(dialog, _, _):
                    if dialog.id in self._tasks:  # it is told when that is done
                        self._over[dialog.id] = action
                    else:
                        self._ended(action)
                case Doubtful(dialog, why):
                    self._doubt(dialog, why)
        self._wake()

    def _send(self, flow: Flow, data: bytes) -> None:
        if flow.reliable:
            self._streams.send(data, flow)
            return
        sockets = self._datagrams
        for socket in [sockets[flow.connection]] if flow.connection in sockets else sockets.values():
            if (":" in socket.local[0]) == (":" in flow.remote[0]):  # any of them, for a dialog of another process
                socket.send(data, flow.remote)
                break

    async def _answer(self, ask: Ask) -> None:
        """Have the application answer, and say so."""
        kind, dialog = ask.kind, ask.dialog
        said = sent = Answer.refused(500)
        handler = {
            Kind.INVITE: self._application.on_invite,
            Kind.REINVITE: self._application.on_reinvite,
            Kind.UPDATE: self._application.on_update,
        }[kind]
        try:
            async with asyncio.timeout(self._settings.answer_timeout):
                said = sent = await handler(dialog, ask.request)
        except TimeoutError:
            log.exception("SIP request refused with 500: the answer took too long", request=kind.value)
        except Exception:  # a fault in one call must not end the others
            log.exception("SIP request refused with 500: internal error", request=kind.value)
        del self._tasks[dialog.id]
        try:
            actions = self._core.answer(ask, sent, self._clock.now())
        except ValueError:
            log.exception("SIP request refused with 500: its answer cannot be written", request=kind.value)
            sent = Answer.refused(500)
            actions = self._core.answer(ask, sent, self._clock.now())
        ended = self._over.pop(dialog.id, None)
        if kind is Kind.INVITE and said.status != 200:
            ended = None  # it never began
        elif kind is Kind.INVITE and sent.status != 200:
            ended = Ended(dialog, End.OURS, None)
        self._do(actions)
        if ended is not None:
            self._ended(ended)

    def _doubt(self, dialog: DialogState, why: End) -> None:
        alive = True
        try:
            alive = self._application.alive(dialog)
        except Exception:  # as above; what may be alive goes on
            log.exception("SIP session timer expired, but checking the session failed; keeping it")
        now = self._clock.now()
        self._do(self._core.keep(dialog, now) if alive else self._core.hang_up(dialog, now, why))

    def _ended(self, ended: Ended) -> None:
        self._tell(self._application.on_end, ended.dialog, ended.why, ended.request)

    def _odd(self, reason: str) -> None:
        self._tell(self._application.odd, reason)

    def _tell(self, what: Callable[[*Ts], None], *said: *Ts) -> None:
        try:
            what(*said)
        except Exception:  # a fault in one call must not end the others
            log.exception("internal error while handling a SIP message")

    def _health(self) -> int:
        try:
            return self._application.health()
        except Exception:  # a fault there must not refuse calls
            log.exception("cannot check whether SIP calls are allowed; accepting them")
            return 0
