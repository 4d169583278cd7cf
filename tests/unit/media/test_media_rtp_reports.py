"""What is said to whoever sends: when, where to, and in the words of RFC 3550 as aiortc reads them."""

from __future__ import annotations

import socket
from contextlib import closing
from itertools import pairwise

import pytest
import rtp_kit as kit
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket, RtcpSdesPacket
from rtp_kit import MS, rtp

from vcond.media.rtp.ports import CONTROL, RtpPorts
from vcond.media.rtp.receiver import RtpReceiver
from vcond.media.rtp.reports import Reporter
from vcond.testing.time import ManualClock

SECOND = 1000 * MS


def reporter() -> Reporter[int]:
    return Reporter(lambda: 0.5)


def told(datagram: bytes):
    """The one block of a report, and who it is from."""
    said, described, *rest = RtcpPacket.parse(datagram)
    assert isinstance(said, RtcpRrPacket)
    assert isinstance(described, RtcpSdesPacket)
    [chunk] = described.chunks
    assert chunk.ssrc == said.ssrc
    assert [kind for kind, _ in chunk.items] == [1]
    [block] = said.reports
    return said.ssrc, block, rest


def test_a_report_says_what_came_and_names_the_latest_report_of_the_sender():
    receiver, _ = kit.make()
    receiver.feed_all(kit.stream(0, 40, base=65_530))
    receiver.feed_all(kit.stream(50, 40, base=65_530))  # ten are missing
    receiver.control(kit.sender_report(7, 1_767_614_400_500_000_000, 0), kit.HERE, 2 * SECOND)
    made = reporter()
    assert made.look(receiver.source, 2 * SECOND) is None, "nothing is said at once"
    ours, block, rest = told(made.look(receiver.source, 5 * SECOND))
    assert ours != block.ssrc == 7
    assert (block.packets_lost, block.fraction_lost) == (10, 10 * 256 // 90)
    assert block.highest_sequence == 65_536 + (65_530 + 89) % 65_536
    assert block.lsr == ((1_767_614_400 + 2_208_988_800) % 65_536 << 16) + 0x8000
    assert block.dlsr == 3 * 65_536
    assert block.jitter < 160
    assert rest == []
    receiver.feed_all(kit.stream(90, 90, base=65_530, at=2 * SECOND))
    _, block, _ = told(made.look(receiver.source, 20 * SECOND))
    assert (block.packets_lost, block.fraction_lost) == (10, 0), "none since the report before"


def test_a_source_that_sent_no_report_is_told_so():
    receiver, _ = kit.make()
    receiver.feed_all(kit.stream(0, 5))
    made = reporter()
    made.look(receiver.source, 0)
    _, block, _ = told(made.look(receiver.source, 9 * SECOND))
    assert (block.lsr, block.dlsr) == (0, 0)


@pytest.mark.parametrize(("chance", "first", "then"), [(0.0, 1.026, 2.052), (1.0, 3.078, 6.157)])
def test_reports_come_at_the_intervals_of_the_rfc(chance, first, then):
    receiver, _ = kit.make()
    receiver.feed_all(kit.stream(0, 5))
    made = Reporter[int](lambda: chance)
    said = [at for at in range(0, 20_000, 10) if made.look(receiver.source, at * MS) is not None]
    assert said[0] / 1000 == pytest.approx(first, abs=0.011)
    gaps = {round((after - before) / 1000, 2) for before, after in pairwise(said)}
    assert all(gap == pytest.approx(then, abs=0.02) for gap in gaps)


def test_nothing_is_said_to_nobody_and_to_whoever_said_goodbye():
    receiver, _ = kit.make()
    made = reporter()
    assert made.look(receiver.source, 0) is None
    receiver.feed_all(kit.stream(0, 5))
    assert made.last(receiver.source, 1) is None, "who was told nothing is not told that it ends"
    made.look(receiver.source, 1)
    assert made.look(receiver.source, 9 * SECOND) is not None
    receiver.control(kit.bye(7), kit.HERE, 9 * SECOND)
    assert made.look(receiver.source, 20 * SECOND) is None
    assert made.last(receiver.source, 20 * SECOND) is None


def test_a_new_source_is_counted_anew():
    receiver, _ = kit.make()
    receiver.feed_all(kit.stream(0, 5) + kit.stream(15, 5))
    made = reporter()
    made.look(receiver.source, 0)
    assert told(made.look(receiver.source, 9 * SECOND))[1].packets_lost == 10
    receiver.feed_all(kit.stream(0, 50, ssrc=9, at=10 * SECOND))
    _, block, _ = told(made.look(receiver.source, 20 * SECOND))
    assert (block.ssrc, block.packets_lost, block.fraction_lost) == (9, 0, 0)


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(30)
    return sock


class Reporting:
    """A port whose reports are turned on, a sender's two sockets, and time moved by hand."""

    def __init__(self, made, clock, rtp_socket, control) -> None:
        self.made, self.clock, self.rtp, self.control = made, clock, rtp_socket, control

    def passes(self, seconds: float = 10) -> None:
        self.clock.advance(round(seconds * SECOND))
        for _ in range(CONTROL):
            self.made.work()


async def reporting(run, *, mux=False, seal=None):
    clock = ManualClock()
    async with RtpPorts(clock, ports=(0, 0)) as ports:
        with closing(bound()) as media, closing(bound()) as control:
            made = await ports.open(RtpReceiver(kit.FORMATS, kit.Notes()))
            made.report(0 if mux else control.getsockname()[1], seal)
            media.sendto(rtp(0), made.address)
            made.work()
            run(Reporting(made, clock, media, control))


async def test_reports_go_to_the_port_that_was_named_and_then_to_the_one_that_reports_come_from():
    def run(one: Reporting) -> None:
        one.passes()
        datagram, source = one.control.recvfrom(2048)
        assert told(datagram)[1].ssrc == 7
        assert source == (one.made.address[0], one.made.rtcp_port)
        with closing(bound()) as other:
            other.sendto(kit.sender_report(7, 10**18, 0), source)
            one.passes(0.5)
            one.passes()
            assert told(other.recv(2048))[1].lsr
        one.made.goodbye()
        one.control.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.control.recv(2048)

    await reporting(run)


async def test_reports_go_to_where_media_comes_from_when_that_was_agreed():
    def run(one: Reporting) -> None:
        one.passes()
        datagram, source = one.rtp.recvfrom(2048)
        assert told(datagram)[1].ssrc == 7
        assert source == one.made.address

    await reporting(run, mux=True)


async def test_the_last_report_says_goodbye_once_and_is_sealed_like_all():
    def run(one: Reporting) -> None:
        one.passes()
        assert told(one.control.recv(2048)[::-1])[2] == []
        one.made.goodbye()
        ours, _, [bye] = told(one.control.recv(2048)[::-1])
        assert isinstance(bye, RtcpByePacket)
        assert bye.sources == [ours]
        one.made.goodbye()
        one.passes()
        one.control.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.control.recv(2048)

    await reporting(run, seal=lambda datagram: datagram[::-1])


async def test_no_more_reports_are_taken_in_a_turn_than_there_can_be():
    def run(one: Reporting) -> None:
        for _ in range(40):
            one.control.sendto(b"no report", (one.made.address[0], one.made.rtcp_port))
        one.passes()
        assert one.made.receiver.stats.bad == 16

    await reporting(run)
