"""What waits at a UDP socket, read by one system call for many datagrams and by one for each: both give the same."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.capture.clock import SteadyClock
from vcond.media.rtp import reading
from vcond.media.rtp.packets import MAX_DATAGRAM
from vcond.media.rtp.reading import SLOTS, Batch, Reader, can_batch
from vcond.testing.time import ManualClock

MOST = 512
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
WAYS: list[Callable[[], Batch | None]] = [Batch, lambda: None]


@contextlib.contextmanager
def bound(family: int = socket.AF_INET) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((HOSTS[family], 0))
        yield sock


def reader(sock: socket.socket, batch: Batch | None) -> Reader[int]:
    return Reader(sock, SteadyClock(), batch)


@pytest.fixture(params=WAYS, ids=["at once", "singly"])
def batch(request) -> Batch | None:
    return request.param()


@pytest.mark.parametrize("family", HOSTS)
def test_this_kernel_gives_many_at_once(family):
    try:
        with bound(family):
            pass
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert can_batch(family)


def test_many_are_had_at_once_by_who_has_a_thousand_files_open_too():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
        fd = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, fd)
        while fd < 1024:
            fd = os.dup(fd)
            stack.callback(os.close, fd)
        assert can_batch.__wrapped__(socket.AF_INET)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, MAX_DATAGRAM + 500), min_size=1, max_size=3 * SLOTS),
    who=st.lists(st.integers(0, 2), min_size=3 * SLOTS, max_size=3 * SLOTS),
    most=st.integers(1, 3 * SLOTS),
)
def test_both_ways_give_the_same_datagrams_of_the_same_senders_in_their_order(sizes, who, most):
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(bound()) for _ in range(3)]
        wanted = [
            (bytes([number]) * size, senders[by].getsockname())
            for number, (size, by) in enumerate(zip(sizes, who, strict=False))
        ]
        for each in WAYS:
            sock = stack.enter_context(bound())
            to, came, turns = reader(sock, each()), [], 0
            for (datagram, _), by in zip(wanted, who, strict=False):
                senders[by].sendto(datagram, sock.getsockname())
            while taken := to.read(most):
                turns += 1
                assert len(taken) <= most
                came += list(taken)
            assert [one[:2] for one in came] == [(datagram[:MAX_DATAGRAM], sender) for datagram, sender in wanted]
            assert turns == -(-len(wanted) // most)
            assert [at for _, _, at in came] == sorted(at for _, _, at in came)


def test_a_datagram_has_the_moment_at_which_the_kernel_got_it(batch, monkeypatch):
    """Exactly, by clocks that stand still: what holds a busy machine up says nothing here."""
    clock = ManualClock()
    with bound() as sock, bound() as sender:
        to = Reader(sock, clock, batch)
        sender.sendto(b"early", sock.getsockname())
        [(_, _, data)] = sock.recvmsg(100, 100, socket.MSG_PEEK)[1]
        seconds, nanos = struct.unpack("@ll", data)
        clock.advance(7 * 10**9)
        read = SimpleNamespace(time_ns=lambda: seconds * 10**9 + nanos + 5 * 10**9)
        monkeypatch.setattr(reading, "time", read)
        [(_, _, at)] = to.read(MOST)
    assert at == clock.now() - 5 * 10**9


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_step_of_the_wall_clock_moves_no_datagram_out_of_its_turn(step, batch, monkeypatch):
    with bound() as sock, bound() as sender:
        to = reader(sock, batch)
        began = to._emptied
        sender.sendto(b"some", sock.getsockname())
        monkeypatch.setattr(reading.time, "time_ns", lambda real=time.time_ns: real() + step * 10**9)
        [(_, _, at)] = to.read(MOST)
        assert began <= at <= to._clock.now()


def test_where_the_kernel_does_not_say_when_a_datagram_comes_when_it_is_read(batch):
    """Also where the datagram before it in the same buffer, of another socket, had its moment."""
    with bound() as sock, bound() as other, bound() as sender:
        told, untold = reader(sock, batch), reader(other, batch)
        other.setsockopt(socket.SOL_SOCKET, reading.SO_TIMESTAMPNS, 0)
        sender.sendto(b"some", sock.getsockname())
        assert len(told.read(MOST)) == 1
        sender.sendto(b"some", other.getsockname())
        before = untold._clock.now()
        [(_, _, at)] = untold.read(MOST)
        assert before <= at


def test_what_was_not_looked_at_in_time_is_never_taken_for_what_came_after_it():
    shared = Batch()
    with bound() as sock, bound() as sender:
        to = reader(sock, shared)
        sender.sendto(b"first", sock.getsockname())
        early, late = to.read(MOST), None
        sender.sendto(b"other", sock.getsockname())
        late = to.read(MOST)
        with pytest.raises(ValueError, match="in time"):
            list(early)
        kept = list(late)
        sender.sendto(b"third", sock.getsockname())
        assert [one[0] for one in to.read(MOST)] == [b"third"]
        assert [one[0] for one in kept] == [one[0] for one in late] == [b"other"]


def test_a_socket_that_is_closed_or_empty_has_nothing(batch):
    with bound() as sock:
        to = reader(sock, batch)
        assert not to.read(MOST)
    assert not to.read(MOST)


def missing(*_):
    return object()


def refused(*_):
    """A system call that a filter forbids."""
    return SimpleNamespace(recvmmsg=lambda *_: -1)


@pytest.mark.parametrize("libc", [missing, refused])
def test_where_many_are_not_to_be_had_at_once_that_is_found_out(libc, monkeypatch):
    monkeypatch.setattr(ctypes, "PyDLL", libc)
    assert not can_batch.__wrapped__(socket.AF_INET)


def test_so_it_is_where_its_structures_have_other_sizes(monkeypatch):
    monkeypatch.setattr(reading, "_MESSAGE", 32)
    assert not can_batch.__wrapped__(socket.AF_INET)


def test_so_it_is_where_another_address_comes_than_that_of_the_sender(monkeypatch):
    monkeypatch.setattr(reading.Reader, "_address", lambda *_: ("127.0.0.1", 1))
    assert not can_batch.__wrapped__(socket.AF_INET)
