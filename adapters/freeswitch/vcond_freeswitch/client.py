"""The connection to FreeSWITCH's event socket: commands and their answers, events, and always drained.

Answers come strictly in the order of the commands and carry no id, so each command takes a place in a queue and keeps
it, also when nobody waits any more. A command is written at one go: half a command would stop FreeSWITCH from sending
events. What arrives is read at once, whatever the reader of events does; when that falls too far behind, we hang up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from vcond.sdk.contract import Clock, ConfigError, Instant, ProtocolError, RefusedError, UnreachableError
from vcond_freeswitch import commands
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, decode
from vcond_freeswitch.wire import Decoder, Frame

WAITING: Final = 20_000
"""Events that wait to be understood. More means that we are seconds behind: better start afresh."""
CHUNK: Final = 1 << 18
"""Bytes read at once."""
COMMANDS: Final = 1_000
"""Commands without an answer. More means that FreeSWITCH stopped answering."""
JOB_SECONDS: Final = 20.0
"""How long a background job may take. One without an answer costs nothing but this wait."""

Arrived = tuple[Event, Instant]


class NoSuchChannelError(RefusedError):
    """The channel is gone."""


class Connection:
    """A connection that is logged in. Made by ``connected``."""

    def __init__(
        self, config: Config, clock: Clock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.allowed_events: frozenset[str] | None = None
        """What this user may subscribe to; None = everything."""
        self.odd = 0
        """Events that made no sense."""
        self.heard: float = asyncio.get_running_loop().time()
        """When the last byte came, by the loop's time."""
        self.variables = tuple(config.variables)
        """Channel variables that are wanted."""
        self._config = config
        self._clock = clock
        self._reader = reader
        self._writer = writer
        self._replies: deque[asyncio.Future[Frame]] = deque()
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._events: deque[Arrived] = deque()
        self._came = asyncio.Event()
        self._greeting: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._over: Exception | None = None

    # Commands.

    async def command(self, line: str) -> Frame:
        """Send a command, wait for its answer. Raises UnreachableError, ProtocolError; a refusal is an answer."""
        if self._over is not None:
            raise UnreachableError(str(self._over))
        if len(self._replies) >= COMMANDS:
            raise self._end(UnreachableError("FreeSWITCH does not answer commands"))
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._replies.append(answer)
        self._writer.write(line.encode("ascii") + b"\n\n")
        try:
            async with asyncio.timeout(self._config.timeout):
                return await answer
        except TimeoutError:
            raise UnreachableError("FreeSWITCH did not answer a command in time") from None

    async def api(self, line: str) -> str:
        """The answer of an api command that answers at once. Raises RefusedError when it says no."""
        frame = await self.command(commands.api(line))
        return _answer(frame.reply or frame.body.decode("utf-8", "replace"), line)

    async def background(self, line: str) -> str:
        """The answer of an api command that may take its time, run beside the connection. Raises RefusedError."""
        job = str(uuid4())
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._jobs[job] = done
        try:
            _answer((await self.command(commands.background(line, job))).reply, line)
            async with asyncio.timeout(JOB_SECONDS):
                return _answer(await done, line)
        except TimeoutError:
            raise UnreachableError(f"{line.partition(' ')[0]} did not end in time") from None
        finally:
            self._jobs.pop(job, None)

    async def log_in(self) -> None:
        """Say who we are. Raises ConfigError when FreeSWITCH refuses, with what to change."""
        async with asyncio.timeout(self._config.timeout):
            greeting = await asyncio.shield(self._greeting)
        if greeting.kind == "text/rude-rejection":
            raise ConfigError(
                "FreeSWITCH refuses this machine's address: add it to an access list and set that as apply-inbound-acl"
                " in event_socket.conf.xml (without one only loopback may connect)",
                "adapters.freeswitch.host",
            )
        user, secret = self._config.user, self._config.secret()
        try:
            frame = await self.command(commands.userauth(user, secret) if user else commands.auth(secret))
        except UnreachableError as why:
            raise UnreachableError("the connection was lost while logging in") from why
        if not frame.reply.startswith("+OK"):
            what = "user and its esl-password in the directory" if user else "password in event_socket.conf.xml"
            raise ConfigError(f"FreeSWITCH refuses it: compare it with the {what}", "adapters.freeswitch.password")
        allowed = frame.headers.get("Allowed-Events")
        if user and allowed is not None and "ALL" not in allowed.upper().split():
            self.allowed_events = frozenset(allowed.split())

    async def subscribe(self) -> list[str]:
        """Ask for events; which of those wanted this user may not have. Raises ConfigError when it cannot do without."""
        may = self.allowed_events
        names = [name for name in commands.EVENTS if may is None or name in may]
        custom = [name for name in commands.SUBCLASSES if may is None or {"CUSTOM", name} <= may]
        missing = [name for name in (*commands.EVENTS, *commands.SUBCLASSES) if name not in {*names, *custom}]
        lacking = sorted(commands.NEEDED.intersection(missing))
        if lacking:
            raise ConfigError(
                f"this user is not allowed the events {' '.join(lacking)}: add them to its esl-allowed-events",
                "adapters.freeswitch.user",
            )
        frame = await self.command(commands.subscribe(names, custom, self._config.format))
        if not frame.reply.startswith("+OK"):
            raise ConfigError("FreeSWITCH refuses the subscription to events", "adapters.freeswitch.user")
        return missing

    # Events.

    async def next(self) -> Arrived:
        """The next event and when it arrived. Raises UnreachableError or ProtocolError once the connection is over."""
        while not self._events:
            if self._over is not None:
                raise self._over
            self._came.clear()
            await self._came.wait()
        return self._events.popleft()

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""
        return len(self._events)

    def spoken_of(self) -> set[str]:
        """Channels of which events that wait to be taken tell the end, or another name."""
        ends = {event.leg for event, _ in self._events if event.name == "CHANNEL_HANGUP_COMPLETE"}
        return ends | {event.old_leg for event, _ in self._events if event.name == "CHANNEL_UUID"}

    # Inside.

    async def drain(self) -> None:
        """Read for as long as the connection lives."""
        decoder = Decoder()
        loop = asyncio.get_running_loop()
        try:
            while data := await self._reader.read(CHUNK):
                arrived, self.heard = self._clock.now(), loop.time()
                for frame in decoder.feed(data):
                    self._take(frame, arrived)
                if decoder.broken is not None:
                    raise decoder.broken
            cut = "" if decoder.idle else ", in the middle of a message"
            self._end(UnreachableError("FreeSWITCH closed the connection" + cut))
        except OSError as why:
            self._end(UnreachableError(f"the connection was lost: {type(why).__name__}"))
        except (ProtocolError, UnreachableError) as why:
            self._end(why)
        finally:
            self._end(UnreachableError("the connection was closed"))

    def _take(self, frame: Frame, arrived: Instant) -> None:
        kind = frame.kind
        if kind in {"text/event-json", "text/event-plain"}:
            self._event(frame, arrived)
        elif kind in {"command/reply", "api/response"}:
            if not self._replies:
                raise ProtocolError("an answer without a command")
            answer = self._replies.popleft()
            if not answer.done():
                answer.set_result(frame)
        elif kind in {"auth/request", "text/rude-rejection"} and not self._greeting.done():
            self._greeting.set_result(frame)
        # text/disconnect-notice, log/data and what a later version may say: of no interest

    def _event(self, frame: Frame, arrived: Instant) -> None:
        try:
            event = decode(frame, self.variables)
        except ProtocolError:
            self.odd += 1
            return
        if event.name == "BACKGROUND_JOB":
            done = self._jobs.get(event.job)
            if done is not None and not done.done():
                done.set_result(event.body)
            return
        if event.name == "HEARTBEAT" and self._events:
            return  # that it came is what counts
        if len(self._events) >= WAITING:
            raise UnreachableError("too many events at once; vcond connects again")
        self._events.append((event, arrived))
        self._came.set()

    def _end(self, why: Exception) -> Exception:
        """The connection is over: whoever waits is told. The first reason counts."""
        if self._over is None:
            self._over = why
            waiters: list[asyncio.Future[Any]] = [*self._replies, *self._jobs.values(), self._greeting]
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(UnreachableError(str(why)))
                    waiter.exception()  # nobody may be waiting, which is no mistake
            self._writer.transport.abort()
            self._came.set()
        return why


@asynccontextmanager
async def connected(config: Config, clock: Clock) -> AsyncIterator[Connection]:
    """A connection that is logged in. Raises UnreachableError, ProtocolError, ConfigError."""
    try:
        async with asyncio.timeout(config.timeout):
            reader, writer = await asyncio.open_connection(config.host, config.port, limit=2 * CHUNK)
    except (OSError, TimeoutError) as why:
        raise UnreachableError(f"the event socket cannot be reached: {type(why).__name__}") from why
    connection = Connection(config, clock, reader, writer)
    draining = asyncio.create_task(connection.drain(), name="freeswitch-drain")
    try:
        try:
            await connection.log_in()
        except TimeoutError:
            raise UnreachableError("that port is not an event socket: it sent no greeting") from None
        yield connection
    finally:
        draining.cancel()
        writer.transport.abort()
        await asyncio.wait([draining])
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def together(*requests: Coroutine[Any, Any, Any], at_once: int = 32) -> list[Any]:
    """Run requests, a few at the same time; their results in order. The first that raises stops the rest."""
    places = asyncio.Semaphore(at_once)

    async def one(request: Coroutine[Any, Any, Any]) -> Any:
        async with places:
            return await request

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(request)) for request in requests]
    except BaseExceptionGroup as many:
        raise many.exceptions[0] from None
    finally:
        for request in requests:
            request.close()
    return [task.result() for task in tasks]


def _answer(text: str, line: str) -> str:
    """An answer that is no refusal. Raises RefusedError; neither the answer nor the words of the command are told."""
    if not text.startswith("-ERR"):
        return text
    name = line.split(" ", 1)[0]
    if text.startswith(("-ERR No such channel", "-ERR Cannot locate session", "-ERR no such channel")):
        raise NoSuchChannelError(f"{name}: the channel is gone")
    if "permission denied" in text:
        raise RefusedError(f"{name}: not permitted; add it to the user's esl-allowed-api")
    if "not found" in text.lower():
        raise RefusedError(f"{name}: this FreeSWITCH does not have this command; load its module")
    raise RefusedError(f"{name}: refused")


def names(texts: Iterable[str]) -> str:
    """A list of names for a message, not too long."""
    listed = list(texts)
    return " ".join(listed[:8]) + (" ..." if len(listed) > 8 else "")
