"""A resolver or a disk that does not answer stops no call."""

import contextlib
import errno
import socket
import threading
from pathlib import Path

import pytest

from vcond.call import events as ev
from vcond.capture import disk
from vcond.capture.disk import FreeSpace
from vcond.config import DaemonConfig, host
from vcond.sdk.contract import ArrivalClock, Codec


@pytest.fixture
def no_name(monkeypatch):
    """A machine that does not know its own domain."""
    host.machine_name.cache_clear()
    monkeypatch.setattr(socket, "gethostname", lambda: "edge")
    yield
    host.machine_name.cache_clear()


@pytest.fixture
def stuck():
    """Whatever waits for it goes on at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_the_resolver_is_asked_once(no_name, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getfqdn", lambda: asked.append(1) or "edge.example.com")
    assert {DaemonConfig().host for _ in range(5)} == {"edge.example.com"}
    assert len(asked) == 1


def test_a_resolver_that_does_not_answer_is_not_waited_for(no_name, stuck, monkeypatch):
    monkeypatch.setattr(host, "PATIENCE", 0.01)
    monkeypatch.setattr(socket, "getfqdn", lambda: stuck.wait() and "late.example.com")
    assert DaemonConfig().host == "edge"
    stuck.set()
    assert DaemonConfig().host == "edge", "a name for the whole run"


@pytest.mark.parametrize(
    ("own", "asked", "name"),
    [
        ("edge.example.com", "never", "edge.example.com"),
        ("edge", "localhost", "edge"),
        ("edge", "localhost.localdomain", "edge"),
        ("ed_ge", "ed_ge.example.com.", "ed-ge.example.com"),
        ("localhost", "localhost", "host-b8a1c8d3a0f6"),
        ("localhost.localdomain", "", "host-b8a1c8d3a0f6"),
    ],
)
def test_no_machine_is_called_localhost(no_name, monkeypatch, tmp_path: Path, own: str, asked: str, name: str):
    monkeypatch.setattr(host, "MACHINE_ID", tmp_path / "machine-id")
    monkeypatch.setattr(socket, "gethostname", lambda: own)
    monkeypatch.setattr(socket, "getfqdn", lambda: asked)
    if name.startswith("host-"):
        assert host.machine_name() == "host-without-name"
        host.machine_name.cache_clear()
        (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        assert host.machine_name().startswith("host-")
        assert "0123" not in host.machine_name()
    else:
        assert host.machine_name() == name


async def test_no_call_asks_for_a_name(house, monkeypatch):
    def asked(*_):
        raise AssertionError("the resolver was asked on the loop")

    for name in ("getfqdn", "gethostname", "gethostbyname", "getaddrinfo"):
        monkeypatch.setattr(socket, name, asked)
    house.registry.config = DaemonConfig(state_dir=house.config.state_dir)
    call = house.host.call("k", at=house.now(0))
    assert call.state.recorder == "edge.example.com"


async def test_a_disk_that_does_not_answer_stops_no_frame(house, stuck, monkeypatch):
    monkeypatch.setattr(disk, "FIRST", 0.01)
    now = [0.0]
    space = FreeSpace(lambda _: stuck.wait() and 10**12, clock=lambda: now[0])
    house.registry.pressure._free_space = space
    call = house.host.call("k", at=house.now(0))
    track = call.track(call.party("a", at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000,
                       clock=ArrivalClock())  # fmt: skip
    threads = threading.active_count()
    for tick in range(1, 60):
        now[0] = tick / 2
        for frame in range(25):
            track.write(b"\x10\x20" * 160, arrived=house.now(tick / 2 + frame / 50))
        house.registry.tick(house.now(tick / 2 + 0.5))
    assert "does not answer" in house.registry.pressure.trouble["disk"]
    assert threading.active_count() < threads + 5, "one thread waits, not one for each look"
    call.end(at=house.now(30))
    assert call.state.tracks[0].spans.total(ev.SpanKind.RECEIVED) > 28 * 8000


def test_free_space_is_told_as_of_the_last_look_and_so_are_errors(tmp_path: Path):
    answers: list[int | OSError] = [5, 7, OSError(errno.ESTALE, "Stale file handle"), 9]
    looked = threading.Semaphore(0)

    def measure(_):
        answer = answers.pop(0)
        try:
            if isinstance(answer, OSError):
                raise answer
            return answer
        finally:
            looked.release()

    def settled():
        """What is told once the look that was asked for is over."""
        with contextlib.suppress(OSError):
            space(tmp_path)
        looked.acquire()
        while space._asked is not None:
            pass
        return getattr(space._last, "strerror", space._last)

    space = FreeSpace(measure)
    assert [settled() for _ in range(4)] == [5, 7, "Stale file handle", 9]


def test_a_look_that_ends_while_it_is_asked_for_harms_nobody(tmp_path: Path):
    """The thread answers between any two steps of who asks: here while the clock is read."""
    space: FreeSpace
    looking, answer = threading.Event(), threading.Event()

    def measure(_):
        if looking.is_set():
            answer.wait()
        return 5

    def clock():
        if looking.is_set() and space._asked is not None:
            answer.set()
            while space._asked is not None:
                pass
        return 0.0

    space = FreeSpace(measure, clock)
    assert space(tmp_path) == 5
    while space._asked is not None:
        pass
    looking.set()
    assert space(tmp_path) == 5, "asks"
    assert space(tmp_path) == 5, "and is answered now"
