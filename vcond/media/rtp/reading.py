"""What the kernel holds for a UDP socket, and when it came: all of it by one system call, where libc has ``recvmmsg``.

A system call a datagram costs more than all that is done with it. Where many are not to be had at once (another kernel or
libc, a filter of system calls), one after the other is read; that is found out once, with datagrams of our own on loopback.
docs/decisions/0004-rtp-sockets.md has the figures.
"""

from __future__ import annotations

import ctypes
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from struct import Struct
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

from vcond.media.placement.clocks import Moment
from vcond.media.rtp.packets import MAX_DATAGRAM, Address
from vcond.media.rtp.together import SLOT, Together

Moment_co = TypeVar("Moment_co", bound=int, covariant=True)

SLOTS: Final = 32
"""Datagrams that one system call takes at most; 5 or 10 wait in normal operation."""
SECOND: Final = 1_000_000_000
SO_TIMESTAMPNS: Final = 35
"""Have the kernel say when each datagram came: a timespec of its wall clock (Linux, asm-generic/socket.h)."""
PATIENCE: Final = 1_000
"""Milliseconds that a datagram of our own may take over loopback."""

_timespec: Final = Struct("@ll")
_SPACE: Final = socket.CMSG_SPACE(_timespec.size)
_NAME: Final = 32
"""Bytes for an address, of which IPv6 needs 28."""
_inet: Final = Struct("!2xH4s")
_inet6: Final = Struct("!2xHI16s")
_family: Final = Struct("@H")
_scope: Final = Struct("@24xI")
_MESSAGE: Final = 64
"""Bytes of a struct mmsghdr."""


class Clock(Protocol[Moment_co]):
    """Our one clock."""

    def now(self) -> Moment_co:
        """This moment."""


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_: ClassVar = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """struct msghdr (recvmsg(2)); musl pads its shorter lengths to the same."""

    _fields_: ClassVar = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Message(ctypes.Structure):
    """struct mmsghdr (recvmmsg(2))."""

    _fields_: ClassVar = [("header", _Header), ("size", ctypes.c_uint)]


class Batch:
    """Room for what one call brings, laid out once. The sockets of one thread share it: each is done with it in its turn."""

    def __init__(self) -> None:
        """Raises AttributeError where libc has no such call."""
        # ``PyDLL`` keeps the interpreter's lock: nothing is waited for, and to hand it over costs more than the call.
        self._call: Any = ctypes.PyDLL(None).recvmmsg
        self._call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
        messages, vectors = (_Message * SLOTS)(), (_Vector * SLOTS)()
        names, controls, data = (ctypes.create_string_buffer(SLOTS * each) for each in (_NAME, _SPACE, SLOT))
        for slot, (message, vector) in enumerate(zip(messages, vectors, strict=True)):
            vector.base, vector.length = ctypes.addressof(data) + slot * SLOT, MAX_DATAGRAM
            message.header = _Header(
                ctypes.addressof(names) + slot * _NAME, _NAME, ctypes.addressof(vector), 1,
                ctypes.addressof(controls) + slot * _SPACE, _SPACE,
            )  # fmt: skip
        self._at, self._kept = ctypes.addressof(messages), (vectors,)
        self._messages, self._names, self._controls, self._data = (
            memoryview(each).cast("B") for each in (messages, names, controls, data)
        )
        self._fresh = bytes(self._messages)
        self._used = 0
        self._out: Together[Any] | None = None

    def receive(self, sock: socket.socket, most: int) -> int:
        """Take what waits at a socket, ``most`` datagrams at most; how many there were. What came before is void."""
        if self._out is not None:
            self._out.over()
            self._out = None
        # The kernel wrote how long each address and message was, and what it does not write now must not be read again.
        used = self._used
        self._messages[: used * _MESSAGE] = self._fresh[: used * _MESSAGE]
        self._controls[: used * _SPACE] = bytes(used * _SPACE)
        count: int = self._call(sock.fileno(), self._at, min(most, SLOTS), socket.MSG_DONTWAIT, None)
        self._used = max(count, 0)  # a call that fails has found nothing
        return self._used

    def names(self, count: int) -> bytes:
        """Of the first ``count``, where they came from, in the kernel's form."""
        return bytes(self._names[: count * _NAME])

    def stamps(self, count: int, ahead: int, otherwise: Moment) -> list[Moment]:
        """Of the same, when they came by the clock that the kernel's is ``ahead`` of; ``otherwise`` where it does not say."""
        said = _stamps(count).unpack_from(self._controls)
        kinds, seconds, nanos = said[::3], said[1::3], said[2::3]
        if kinds.count(SO_TIMESTAMPNS) == count == seconds.count(seconds[0]):
            begin = seconds[0] * SECOND - ahead
            at = [begin + more for more in nanos]
        else:
            each = zip(kinds, seconds, nanos, strict=True)
            at = [
                second * SECOND + more - ahead if kind == SO_TIMESTAMPNS else otherwise for kind, second, more in each
            ]
        return cast("list[Moment]", at)

    def together(self, addresses: Sequence[Address], arrivals: Sequence[Moment]) -> Together[Moment]:
        """The same, with where they came from and when; good until the next call."""
        self._out = made = Together(self._data, _sizes(len(addresses)).unpack_from(self._messages), addresses, arrivals)
        return made


@cache
def _sizes(count: int) -> Struct:
    """Of so many struct mmsghdr the bytes that came, as Linux has them on all processors of 64 bits."""
    return Struct("@" + "56xI4x" * count)


@cache
def _stamps(count: int) -> Struct:
    """Of so many struct cmsghdr with a timespec the type, seconds and nanoseconds, likewise."""
    return Struct("@" + "12xill" * count)


@cache
def can_batch(family: int) -> bool:
    """Whether that works here: datagrams of our own have to come as they were sent, and from where."""
    if (ctypes.sizeof(_Message), _SPACE) != (_MESSAGE, _stamps(1).size):  # 32 bits
        return False
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    try:
        batch = Batch()
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
            reader = Reader(sock, _Wall(), batch)
            sent = [b"one", b"two and more"]
            for datagram in sent:
                sock.sendto(datagram, sock.getsockname())
            came: list[tuple[bytes, Address, int]] = []
            wait = select.poll()  # ``select`` bears no descriptor above 1023, and a daemon may have as many open
            wait.register(sock, select.POLLIN)
            while len(came) < len(sent) and wait.poll(PATIENCE):
                taken = list(reader.read(SLOTS))
                if not taken:
                    return False
                came += taken
            return [(datagram, address) for datagram, address, _ in came] == [(one, sock.getsockname()) for one in sent]
    except (AttributeError, OSError, ValueError):
        return False


class _Wall:
    """A clock for that."""

    def now(self) -> int:
        """The wall clock's moment."""
        return time.time_ns()


class Reader(Generic[Moment]):
    """What comes to one socket."""

    def __init__(self, sock: socket.socket, clock: Clock[Moment], batch: Batch | None) -> None:
        """``batch``: None where datagrams are read one after the other."""
        self.socket = sock
        self._clock, self._batch = clock, batch
        self._name = b""
        self._source: Address = ()
        self._emptied = clock.now()
        with suppress(OSError):  # where this cannot be had, datagrams come when they are read
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def read(self, most: int) -> Sequence[tuple[bytes, Address, Moment]]:
        """The datagrams that the kernel holds, each with the moment when it came; ``most`` of them at most.

        Good until anything is read by the same batch.
        """
        # In this order: should we be held up between the two, packets seem late, which the placement bears, not early.
        wall, now = time.time_ns(), self._clock.now()
        out = (self._singly if self._batch is None else self._at_once)(most, now, wall - now)
        self._emptied = now
        return out

    def _at_once(self, most: int, now: Moment, ahead: int) -> Sequence[tuple[bytes, Address, Moment]]:
        out = self._one_call(most, now, ahead)
        if len(out) < SLOTS:
            return out
        more = list(out)
        while len(out) == SLOTS and len(more) < most:
            out = self._one_call(most - len(more), now, ahead)
            more += out
        return more

    def _one_call(self, most: int, now: Moment, ahead: int) -> Sequence[tuple[bytes, Address, Moment]]:
        batch = self._batch
        assert batch is not None
        count = batch.receive(self.socket, most)
        if not count:
            return ()
        names = batch.names(count)
        if names == self._name * count:
            addresses = [self._source] * count
        else:
            addresses = [self._address(names[at : at + _NAME]) for at in range(0, len(names), _NAME)]
        arrivals = batch.stamps(count, ahead, now)
        if (
            min(arrivals) < self._emptied or max(arrivals) > now
        ):  # the wall clock stepped, and nothing came before the turn before
            arrivals = [min(max(self._emptied, at), now) for at in arrivals]
        return batch.together(addresses, arrivals)

    def _address(self, name: bytes) -> Address:
        """An address as Python has it; the same object again for the same address, which is told from others at once."""
        if name != self._name:
            self._name = name
            if _family.unpack_from(name)[0] == socket.AF_INET:
                port, host = _inet.unpack_from(name)
                self._source = (socket.inet_ntoa(host), port)
            else:
                port, flow, host = _inet6.unpack_from(name)
                self._source = (socket.inet_ntop(socket.AF_INET6, host), port, flow, _scope.unpack_from(name)[0])
        return self._source

    def _singly(self, most: int, now: Moment, ahead: int) -> list[tuple[bytes, Address, Moment]]:
        out: list[tuple[bytes, Address, Moment]] = []
        moment, receive, source = type(now), self.socket.recvmsg, self._source
        oldest = self._emptied  # the wall clock may step; nothing came before the turn before
        with suppress(OSError):  # nothing is left
            while len(out) < most:
                datagram, said, _, sender = receive(MAX_DATAGRAM, _SPACE)
                if sender != source:  # else the same object again, which is told from others at once
                    source = sender
                came = now
                if said and said[0][1] == SO_TIMESTAMPNS:
                    seconds, nanos = _timespec.unpack(said[0][2])
                    at = seconds * SECOND + nanos - ahead
                    if at < now:
                        came = moment(max(oldest, at))
                out.append((datagram, source, came))
        self._source = source
        return out
