"""The parts of the RTP receiver: sequence numbers, keys, RTCP."""

from __future__ import annotations

import struct

import pytest
import rtp_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_kit import MS

from vcond.base.errors import ProtocolError
from vcond.call.events import BUTTONS
from vcond.media.rtp.dtmf import Keys, Pressed
from vcond.media.rtp.rtcp import Bye, Report, SenderClock, read
from vcond.media.rtp.sequence import Sequence, Turn
from vcond.media.rtp.sources import Source

# Sequence numbers.


def turns(numbers: list[int]) -> tuple[list[Turn], Sequence]:
    sequence = Sequence(numbers[0])
    return [sequence.take(number) for number in numbers], sequence


def test_the_next_a_gap_a_late_and_a_double_one():
    seen, sequence = turns([65534, 65535, 2, 0, 0, 1, 65535, 3])
    assert seen == [
        Turn.NEXT, Turn.NEXT, Turn.NEXT, Turn.LATE, Turn.DOUBLE, Turn.LATE, Turn.DOUBLE, Turn.NEXT
    ]  # fmt: skip
    assert (sequence.received, sequence.lost, sequence.late, sequence.double) == (6, 0, 2, 2)


def test_what_never_came_is_lost():
    _, sequence = turns([10, 11, 15, 16])
    assert (sequence.received, sequence.lost) == (4, 3)
    assert sequence.missing(12)
    assert not sequence.missing(11)


def test_one_number_far_away_is_odd_and_two_in_a_row_are_a_new_count():
    seen, sequence = turns([10, 11, 40_000, 12, 40_001, 40_002, 40_003])
    assert seen[2] is Turn.ODD
    assert seen[3] is Turn.NEXT
    assert seen[4:] == [Turn.ODD, Turn.RESTART, Turn.NEXT]
    assert (sequence.odd, sequence.restarts, sequence.lost, sequence.received) == (1, 1, 0, 6)


def test_a_number_of_the_last_round_is_no_hole_of_this_one():
    sequence = Sequence(0)
    sequence.take(0)
    sequence.take(2)  # 1 is missing
    for number in range(3, 65536 + 10):
        sequence.take(number & 0xFFFF)
    assert sequence.take(1) is Turn.DOUBLE
    assert sequence.lost == 1


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=200))
def test_the_books_balance_whatever_the_numbers(numbers):
    seen, sequence = turns(numbers)
    assert sequence.received == len(numbers) - sequence.double - sequence.odd
    assert sequence.received >= 1
    assert sequence.lost >= 0
    assert seen.count(Turn.DOUBLE) == sequence.double


@given(first=st.integers(0, 65535), data=st.data())
def test_any_order_within_the_reach_is_told_right(first, data):
    sent = list(range(60))
    order = data.draw(st.permutations(sent[1:]))
    lost = data.draw(st.sets(st.sampled_from(sent[1:]), max_size=30))
    arrived = [0] + [number for number in order if number not in lost]
    _, sequence = turns([(first + number) & 0xFFFF for number in arrived])
    assert sequence.received == len(arrived)
    assert sequence.lost == len([number for number in lost if number < max(arrived)])
    assert sequence.double == sequence.odd == 0


# Keys.


def press(keys: Keys[int], button: int, stamp: int, at: int, *, packets=5, drop=(), ends=3) -> list[Pressed[int]]:
    """A key of 50 ms a packet: arrivals in ns from ``at``, key down."""
    out = []
    for i in range(packets + ends - 1):
        duration = min(i + 1, packets) * 400
        if i not in drop:
            arrived = at + min(i + 1, packets) * 50 * MS + (i >= packets) * MS
            out += keys.take(kit.event(button, duration, end=i >= packets - 1), stamp, arrived)
    return out


def test_a_key_is_told_once_with_its_key_down_and_length():
    assert press(Keys(8000), 5, 1000, 7 * MS) == [Pressed("5", 7 * MS, 250)]


def test_all_sixteen_keys():
    keys = Keys[int](8000)
    told = [pressed.button for i in range(16) for pressed in press(keys, i, i * 10_000, i * 1000 * MS)]
    assert "".join(told) == "0123456789*#ABCD"


def test_a_key_whose_first_packets_are_lost_has_its_key_down_all_the_same():
    assert press(Keys(8000), 1, 0, 0, drop={0, 1, 2}) == [Pressed("1", 0, 250)]


def test_a_key_whose_end_is_lost_is_up_when_nothing_more_comes():
    keys = Keys[int](8000)
    assert press(keys, 1, 0, 0, drop={4, 5, 6}) == []
    assert keys.tick(399 * MS) == []
    assert keys.tick(400 * MS) == [Pressed("1", 0, 200)]
    assert keys.tick(900 * MS) == []
    assert keys.take(kit.event(1, 2000, end=True), 0, 950 * MS) == []  # its end, far too late


def test_a_key_whose_end_is_lost_is_up_when_the_next_one_comes():
    keys = Keys[int](8000)
    assert press(keys, 1, 0, 0, drop={4, 5, 6}) == []
    assert [key.button for key in press(keys, 1, 4000, 500 * MS)] == ["1", "1"]


def test_a_late_packet_of_an_earlier_key_is_nothing_new():
    keys = Keys[int](8000)
    assert len(press(keys, 1, 0, 0)) == 1
    assert keys.take(kit.event(2, 400), 4000, 550 * MS) == []
    assert keys.take(kit.event(1, 800), 0, 560 * MS) == []
    assert keys.take(kit.event(2, 800, end=True), 4000, 600 * MS) == [Pressed("2", 500 * MS, 100)]


def test_a_key_held_longer_than_a_duration_can_say_is_one_key():
    keys = Keys[int](8000)
    out = []
    for segment, stamp in enumerate([100, 100 + 0xFFFF, 100 + 2 * 0xFFFF]):
        for duration in (30_000, 0xFFFF) if segment < 2 else (400, 800):
            at = (segment * 0xFFFF + duration) * 125_000
            out += keys.take(kit.event(9, duration, end=segment == 2 and duration == 800), stamp, at)
            assert keys.tick(at) == []
    assert out == [Pressed("9", 0, (2 * 0xFFFF + 800) // 8)]


def test_keys_that_share_a_packet():
    keys = Keys[int](8000)
    assert keys.take(kit.event(1, 400, end=True) + kit.event(2, 400, end=True), 0, 100 * MS) == [
        Pressed("1", 50 * MS, 50), Pressed("2", 50 * MS, 50),
    ]  # fmt: skip


def test_events_that_are_no_keys_and_payloads_that_are_no_events():
    keys = Keys[int](8000)
    assert keys.take(kit.event(16, 400, end=True), 0, 0) == []
    for payload in (b"", b"\x01", b"\x01\x80\x01", b"\0" * 4096):
        assert keys.take(payload, 0, 0) == []
    assert keys.bad == 4


@settings(max_examples=60, deadline=None)
@given(
    pressed=st.lists(st.tuples(st.integers(0, 15), st.integers(1, 12)), min_size=1, max_size=8),
    stamp=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_each_key_exactly_once_whatever_is_lost_doubled_or_late(pressed, stamp, data):
    arrivals, expected = [], []
    at = 0
    for button, packets in pressed:
        stamps = stamp + at // 125_000
        sent = [(at + min(i + 1, packets) * 50 * MS, i) for i in range(packets + 2)]
        lost = data.draw(st.sets(st.integers(0, packets + 1), max_size=packets + 1))
        for when, i in sent:
            if i in lost:
                continue
            late = data.draw(st.sampled_from([0, 0, 0, 30, 60])) * MS
            datagram = (kit.event(button, min(i + 1, packets) * 400, end=i >= packets - 1), stamps % 2**32)
            arrivals.append((when + late, *datagram))
            if data.draw(st.booleans()):
                arrivals.append((when + late + 10 * MS, *datagram))
        expected.append((kit_button(button), at, packets))
        at += packets * 50 * MS + 150 * MS
    keys = Keys[int](8000)
    told, turn = [], 0
    for when, payload, of in sorted(arrivals):
        # a key that is said to be up for good must not come again for a packet that was long on its way
        while turn + 100 * MS <= when:
            turn += 100 * MS
            told += keys.tick(turn)
        told += keys.take(payload, of, when)
    told += keys.flush()
    assert sorted(key.button for key in told) == sorted(button for button, _, _ in expected)
    for key, (button, down, packets) in zip(sorted(told, key=lambda key: key.at), expected, strict=True):
        assert key.button == button
        assert down <= key.at <= down + 60 * MS
        assert 0 < key.ms <= packets * 50


def kit_button(number: int) -> str:
    return list(BUTTONS)[number]


@given(st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 2**32 - 1), st.integers(0, 10**12)), max_size=30))
def test_no_payload_of_events_raises(packets):
    keys = Keys[int](8000)
    for payload, stamp, at in packets:
        keys.take(payload, stamp, at)
        keys.tick(at)
    keys.flush()


# RTCP.

WALL = 1_767_614_400_500_000_000


def test_a_compound_with_a_report_a_description_and_a_goodbye():
    description = struct.pack("!BBHIBB2s", 0x81, 202, 2, 7, 1, 2, b"ab")
    said = read(kit.sender_report(7, WALL, 1234) + description + kit.bye(7, 8))
    assert said == [Report(7, said[0].wall, 1234, said[0].middle), Bye(7), Bye(8)]
    assert abs(said[0].wall - WALL) <= 1


def test_ntp_after_2036_and_no_clock_at_all():
    later = 2_500_000_000 * 10**9
    assert read(kit.sender_report(7, later, 0))[0].wall == later
    assert read(struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 0, 0, 5, 0, 0)) == [Report(7, 0, 5)]


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\x80", kit.sender_report(7, WALL, 0)[:-1], kit.bye(7) + b"\0", b"\x40" + kit.bye(7)[1:], kit.bye() * 33],
)
def test_what_is_no_compound(datagram):
    assert read(datagram) is None


def test_a_goodbye_that_counts_more_than_it_holds():
    assert read(b"\x9f" + kit.bye(7)[1:]) == [Bye(7)]


@given(st.binary(max_size=120))
def test_no_compound_raises(noise):
    read(noise)
    read(b"\x80\xc8\x00\x06" + noise)
    read(b"\x9f\xcb" + noise)


@given(ppm=st.floats(-200, 200), base=st.integers(0, 2**32 - 1))
def test_two_streams_of_one_sender_share_its_clock_and_skew_is_told(ppm, base):
    one, other = SenderClock(8000), SenderClock(48000)
    for i in range(13):
        passed = i * 5 * 10**9
        ticks = passed * (1 + ppm / 1e6) / 10**9
        one.take(Report(1, WALL + passed, (base + round(ticks * 8000)) % 2**32))
        other.take(Report(2, WALL + passed + 10**9, (77 + round((ticks + 1) * 48000)) % 2**32))
    assert one.ppm == pytest.approx(ppm, abs=3)
    moment = 61 * 10**9
    here = one.wall((base + round(61 * (1 + ppm / 1e6) * 8000)) % 2**32)
    there = other.wall((77 + round(61 * (1 + ppm / 1e6) * 48000)) % 2**32)
    assert abs(here - WALL - moment) < MS
    assert abs(here - there) < MS


def test_a_clock_that_was_set_begins_anew():
    clock = SenderClock(8000)
    assert clock.wall(0) is None
    assert clock.ppm is None
    for i in range(5):
        clock.take(Report(1, WALL + i * 5 * 10**9, i * 40_000))
    assert clock.ppm == pytest.approx(0, abs=0.1)
    clock.take(Report(1, WALL + 3600 * 10**9, 5 * 40_000))
    assert (clock.steps, clock.reports, clock.ppm) == (1, 6, None)
    assert clock.wall(5 * 40_000 + 8000) == WALL + 3601 * 10**9
    clock.take(Report(1, 0, 99))
    assert clock.reports == 6


# Where packets may come from.


def test_expected_sources():
    assert Source().takes(kit.HERE, 1)
    assert Source("192.0.2.1", 4000, 7).takes(kit.HERE, 7)
    assert not Source("192.0.2.1", 4000, 7).takes(kit.HERE, 8)
    assert not Source("192.0.2.1", 4001).takes(kit.HERE, 7)
    assert not Source("192.0.2.9").takes(kit.HERE, 7)
    assert Source("2001:DB8:0::1").takes(("2001:db8::1", 1, 0, 0), 7)
    with pytest.raises(ProtocolError):
        Source("media.example")


@pytest.mark.fuzz
def test_much_more_of_what_is_no_report(fuzz):
    fuzz.examples(4000, test_no_compound_raises)
