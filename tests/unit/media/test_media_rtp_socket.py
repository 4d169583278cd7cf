"""UDP ports for RTP: real sockets on loopback, read by one system call for many datagrams and by one for each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time

import pytest
import rtp_kit as kit
import uvloop
from rtp_kit import FRAME, MS, Notes, rtp

from vcond.base.errors import ConfigError
from vcond.capture.clock import SteadyClock
from vcond.media.rtp import ports as rtpsocket
from vcond.media.rtp import reading
from vcond.media.rtp.ports import RtpPorts
from vcond.media.rtp.receiver import RtpReceiver

ANY = (0, 0)


@pytest.fixture(autouse=True, params=["at once", "singly"])
def way(request, monkeypatch) -> None:
    """How sockets are read."""
    assert reading.can_batch(socket.AF_INET)
    if request.param == "singly":
        monkeypatch.setattr(rtpsocket, "can_batch", lambda _: False)


@pytest.fixture(scope="module", autouse=True)
def _kernel_stamps():
    """The kernel begins to stamp some moments after a socket has asked for it; until then a packet came when it is read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, reading.SO_TIMESTAMPNS, 1)
        sock.bind(("127.0.0.1", 0))
        stamped = sent = 0
        while not 0 < stamped < sent + 10 * MS:
            sent = time.time_ns()
            sock.sendto(b"x", sock.getsockname())
            while time.time_ns() < sent + 20 * MS:
                pass
            _, [(_, _, said)], _, _ = sock.recvmsg(9, socket.CMSG_SPACE(16))
            seconds, nanos = struct.unpack("qq", said)
            stamped = seconds * 10**9 + nanos
        yield


class Told(Notes):
    """Notes, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.something = asyncio.Event()

    def stream(self, stream):
        self.something.set()
        return super().stream(stream)

    def over(self, stream, at) -> None:
        self.something.set()
        super().over(stream, at)

    async def wait(self) -> None:
        await self.something.wait()
        self.something.clear()


@contextlib.contextmanager
def sender(address, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        yield sock


def send(sock: socket.socket, first: int, count: int, **more) -> None:
    for i in range(first, first + count):
        sock.send(rtp(i, i * FRAME, **more))


def receiver(owner) -> RtpReceiver[int]:
    return RtpReceiver(kit.FORMATS, owner)


async def capture(bind: str = "127.0.0.1", family=socket.AF_INET) -> Told:
    """Packets come by themselves, and what waits at the end is taken."""
    owner = Told()
    async with RtpPorts(SteadyClock(), bind=bind, ports=ANY) as ports:
        made = await ports.open(receiver(owner))
        with sender(made.address, family) as sock:
            send(sock, 0, 10)
            await owner.wait()
            send(sock, 10, 10)
    assert made.closed
    return owner


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_packets_find_their_owner_and_none_is_left_at_the_end(run):
    owner = run(capture())
    assert owner.writers[0].sound == rtp()[12:] * 20
    assert owner.writers[0].closed is not None


async def test_the_same_with_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert len((await capture("::1", socket.AF_INET6)).writers[0].sound) == 20 * FRAME


async def test_reports_come_to_the_next_port():
    owner = Told()
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        made = await ports.open(receiver(owner))
        assert made.address[1] % 2 == 0
        assert made.rtcp_port == made.address[1] + 1
        with sender(made.address) as sock, sender((made.address[0], made.rtcp_port)) as control:
            send(sock, 0, 3)
            await owner.wait()
            send(sock, 3, 3)
            control.send(kit.bye(7))
            await owner.wait()
        assert [stream.ssrc for stream, _ in owner.byes] == [7]
        assert len(owner.writers[0].sound) == 6 * FRAME


async def test_reports_come_to_the_same_port_when_that_was_agreed():
    owner = Told()
    async with RtpPorts(SteadyClock(), ports=ANY, mux=True) as ports:
        made = await ports.open(receiver(owner))
        assert made.rtcp_port == made.address[1]
        with sender(made.address) as sock:
            send(sock, 0, 3)
            sock.send(kit.bye(7))
            made.flush()
        assert len(owner.byes) == 1
        made.close()
        made.close()
        made.flush()
        assert owner.writers[0].closed is not None


async def test_packets_have_the_moment_at_which_the_kernel_got_them():
    clock, owner = SteadyClock(), Notes()
    async with RtpPorts(clock, ports=ANY) as ports:
        made = await ports.open(receiver(owner))
        opened = clock.now()
        with sender(made.address) as sock:
            send(sock, 0, 1)
            sent = clock.now()
            while clock.now() < sent + 200 * MS:  # the loop is busy
                pass
            made.flush()
    [stream] = owner.streams
    assert opened <= stream.at <= sent + 150 * MS  # but for what the system does between two lines


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_step_of_the_wall_clock_moves_no_packet_out_of_its_turn(step, monkeypatch):
    clock, owner = SteadyClock(), Notes()
    async with RtpPorts(clock, ports=ANY) as ports:
        before = clock.now()
        made = await ports.open(receiver(owner))
        with sender(made.address) as sock:
            send(sock, 0, 1)
            monkeypatch.setattr(reading.time, "time_ns", lambda real=time.time_ns: real() + step * 10**9)
            made.flush()
    assert before <= owner.streams[0].at <= clock.now()


async def test_what_the_kernel_drops_is_counted():
    owner, count = Notes(), 30_000
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        made = await ports.open(receiver(owner))
        with sender(made.address) as sock:
            for i in range(count):
                sock.send(rtp(i, i * FRAME))
        taken = -1
        while taken < made.receiver.stats.packets:
            taken = made.receiver.stats.packets
            made.flush()
    stats = made.receiver.stats
    assert 0 < stats.packets < count
    assert stats.packets + stats.overflow == count


async def test_ports_of_a_range_each_once_and_again_when_they_are_free():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1] // 2 * 2 - 64
    async with RtpPorts(SteadyClock(), ports=(first + 1, first + 64)) as ports:
        made = []

        async def fill() -> None:
            while len(made) < 100:
                made.append(await ports.open(receiver(Notes())))

        with pytest.raises(ConfigError, match="no port is free"):
            await fill()
        numbers = [each.address[1] for each in made]
        assert 0 < len(numbers) == len(set(numbers)) <= 31
        assert all(number % 2 == 0 and first + 2 <= number <= first + 62 for number in numbers)
        made[0].close()
        assert (await ports.open(receiver(Notes()))).address[1] == numbers[0]


async def test_a_port_whose_neighbour_is_taken_is_none():
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        made = await ports.open(receiver(Notes()))
        port = made.address[1]
        made.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", port + 1))
            async with RtpPorts(SteadyClock(), ports=(port, port + 1)) as two:
                with pytest.raises(ConfigError):
                    await two.open(receiver(Notes()))
            async with RtpPorts(SteadyClock(), ports=(port, port + 1), mux=True) as two:
                assert (await two.open(receiver(Notes()))).address[1] == port


@pytest.mark.parametrize(
    "wrong", [{"bind": "media.example"}, {"ports": (0, 5)}, {"ports": (5001, 5002)}, {"ports": (80, 90)},
              {"ports": (60_000, 70_000)}],
)  # fmt: skip
def test_what_cannot_be_listened_on(wrong):
    with pytest.raises(ConfigError):
        RtpPorts(SteadyClock(), **wrong)


async def test_an_address_that_is_not_ours():
    async with RtpPorts(SteadyClock(), bind="192.0.2.1", ports=ANY) as ports:
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
            await ports.open(receiver(Notes()))


@pytest.mark.parametrize("mux", [False, True])
async def test_an_owner_may_close_its_port_when_the_sender_says_goodbye(mux):
    class Polite(Told):
        def over(self, stream, at) -> None:
            made.close()
            super().over(stream, at)

    owner = Polite()
    async with RtpPorts(SteadyClock(), ports=ANY, mux=mux) as ports:
        made = await ports.open(receiver(owner))
        with sender(made.address) as sock, sender((made.address[0], made.rtcp_port)) as control:
            send(sock, 0, 3)
            await owner.wait()
            control.send(kit.bye(7))
            send(sock, 3, 300)
            await owner.wait()
        assert made.closed
    assert [stream.ssrc for stream in owner.streams] == [7]
    assert owner.writers[0].closed is not None


class Broken(Notes):
    """Fails at everything."""

    def stream(self, stream):
        raise RuntimeError("broken")


async def test_an_owner_that_fails_leaves_no_socket_behind():
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        made, other = [await ports.open(receiver(owner)) for owner in (Broken(), Notes())]
        with sender(made.address) as sock:
            send(sock, 0, 1)
        with pytest.raises(RuntimeError):
            made.close()
        assert made.closed
        made.receiver.feed(rtp(1), kit.HERE, 10**9)  # nobody is asked any more
    assert other.closed


async def test_an_owner_that_fails_holds_no_other_up():
    said, owner, all_said = [], Told(), asyncio.Event()

    def hear(_, context) -> None:
        said.append(context["exception"])
        if len(said) == rtpsocket.TURNS:
            all_said.set()

    asyncio.get_running_loop().set_exception_handler(hear)
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        broken = [await ports.open(receiver(Broken())) for _ in range(rtpsocket.TURNS)]
        made = await ports.open(receiver(owner))
        with contextlib.ExitStack() as stack:
            for each in [*broken, made]:
                send(stack.enter_context(sender(each.address)), 0, 1)
        await owner.wait()
        await all_said.wait()
    assert len(owner.writers) == 1
    assert {type(why) for why in said} == {RuntimeError}


async def test_many_sockets_have_their_turns_half_as_often(monkeypatch):
    loop, rests = asyncio.get_running_loop(), []

    def noted(delay, callback, *given):
        rests.append(delay)
        return later(delay, callback, *given)

    later = loop.call_later
    monkeypatch.setattr(rtpsocket, "MANY", 2 * rtpsocket.TURNS)
    async with RtpPorts(SteadyClock(), ports=ANY) as ports:
        owners = [Told() for _ in range(2 * rtpsocket.TURNS)]
        made = [await ports.open(receiver(owner)) for owner in owners[:-1]]
        monkeypatch.setattr(loop, "call_later", noted)
        for owner, each in zip(owners, made, strict=False):
            with sender(each.address) as sock:
                send(sock, 0, 1)
            await owner.wait()
        assert set(rests) == {rtpsocket.WORK / rtpsocket.TURNS}
        rests.clear()
        last = await ports.open(receiver(owners[-1]))
        with sender(last.address) as sock:
            send(sock, 0, 1)
        await owners[-1].wait()
        assert rests[-1] == 2 * rtpsocket.WORK / rtpsocket.TURNS
