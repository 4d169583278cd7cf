"""What else a sender says to the RTP receiver: goodbyes, reports, keys, comfort noise."""

from __future__ import annotations

import pytest
import rtp_kit as kit
from rtp_kit import FRAME, HERE, MS, THERE, Notes, make, rtp, stream, writer_is_whole

from vcond.media.rtp.formats import EVENTS, Format
from vcond.media.rtp.receiver import RtpReceiver

# Goodbyes and reports.


def test_a_goodbye_ends_the_stream_and_another_source_may_begin_at_once():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.control(kit.sender_report(7, 10**18, 0) + kit.bye(7), (HERE[0], HERE[1] + 1), 210 * MS)
    assert owner.byes == [(owner.streams[0], 210 * MS)]
    receiver.feed_all([(*stream(10, 1)[0][:2], 215 * MS)])  # it was on its way
    receiver.feed_all(stream(0, 2, at=215 * MS, ssrc=8))
    receiver.tick(500 * MS)
    assert [writer.closed for writer in owner.writers] == [210 * MS, None]
    assert [writer_is_whole(writer, n) for writer, n in zip(owner.writers, (11, 2), strict=True)] == [True, True]
    assert receiver.stats.packets == 13


@pytest.mark.parametrize("lie", [kit.bye(9), kit.bye(7)[:-1], kit.bye()])
def test_a_goodbye_of_somebody_else_is_none(lie):
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.control(lie, HERE, 210 * MS)
    receiver.control(kit.bye(7), THERE, 210 * MS)
    receiver.feed_all(stream(10, 10, at=200 * MS))
    assert owner.byes == []
    assert writer_is_whole(owner.writers[0], 20)


def test_who_was_said_to_be_over_and_goes_on_loses_nothing():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.control(kit.bye(7), HERE, 205 * MS)
    receiver.feed_all(stream(10, 40, at=200 * MS))
    receiver.close(1_000 * MS)
    assert len(owner.streams) == 2
    assert sum(len(writer.sound) for writer in owner.writers) == 50 * FRAME


def test_reports_on_the_port_for_rtp_map_stamps_to_the_wall_clock_of_the_sender():
    receiver, _ = make()
    wall = 1_767_614_400 * 10**9
    assert receiver.wall(0) is None
    receiver.feed_all(stream(0, 1))
    for i in range(4):
        receiver.feed(kit.sender_report(7, wall + i * 5 * 10**9, i * 40_004), HERE, i * 5_000 * MS)
    assert receiver.wall(3 * 40_004 + 8000) == pytest.approx(wall + 16 * 10**9, abs=10)
    assert receiver.skew == pytest.approx(100, abs=1)


def test_reports_count_in_the_clock_of_the_sound_whatever_came_first():
    receiver, _ = make()
    receiver.feed(rtp(0, 0, kit.event(1, 160), pt=101), HERE, 20 * MS)
    receiver.feed(rtp(1, 960, b"opus", pt=97), HERE, 40 * MS)
    receiver.feed(kit.sender_report(7, 10**18, 0), HERE, 50 * MS)
    assert receiver.wall(48_000) == pytest.approx(10**18 + 10**9, abs=2)


# Keys and comfort noise.


def test_keys_take_their_numbers_and_are_told_once():
    receiver, owner = make()
    receiver.feed_all(stream(0, 5))
    for i in range(6):
        payload = kit.event(11, min(i + 1, 4) * 160, end=i >= 3)
        receiver.feed(rtp(5 + i, 5 * FRAME, payload, pt=101), HERE, (100 + (min(i, 3) + 1) * 20) * MS)
    receiver.feed_all(stream(11, 5, at=180 * MS))
    assert [(key.button, key.at, key.ms) for key in owner.keys] == [("#", 100 * MS, 80)]
    frames = owner.writers[0].frames
    assert [frame[0] for frame in frames[2:8]] == [b""] * 6
    assert owner.writers[0].numbers == list(range(9))
    assert receiver.stats.lost == 0


def test_a_key_whose_end_is_lost_is_told_by_the_clock_and_at_the_end():
    receiver, owner = make()
    receiver.feed(rtp(0, 0, kit.event(1, 160), pt=101), HERE, 20 * MS)
    receiver.tick(219 * MS)
    assert owner.keys == []
    receiver.tick(220 * MS)
    receiver.feed(rtp(1, 8000, kit.event(2, 160), pt=101), HERE, 1_020 * MS)
    receiver.close(1_030 * MS)
    assert [(key.button, key.at) for key in owner.keys] == [("1", 0), ("2", 1_000 * MS)]
    assert owner.streams == []


def test_keys_of_a_format_with_another_clock():
    owner = Notes()
    receiver = RtpReceiver({97: kit.FORMATS[97], 110: Format(EVENTS, 48000)}, owner)
    receiver.feed(rtp(0, 0, kit.event(5, 4800, end=True), pt=110), HERE, 200 * MS)
    assert [(key.at, key.ms) for key in owner.keys] == [(100 * MS, 100)]


def test_comfort_noise_that_lasts_is_told_as_silence_since_the_sound_ended():
    receiver, owner = make()
    receiver.feed_all(stream(0, 15))
    for i in range(3):  # it says so again and again
        receiver.feed(rtp(15 + i, 15 * FRAME, b"\x40", pt=13), HERE, (320 + i * 1_000) * MS)
    receiver.tick(4_099 * MS)
    assert owner.silences == []
    receiver.tick(4_100 * MS)
    receiver.feed(rtp(18, 15 * FRAME, b"\x40", pt=13), HERE, 5_000 * MS)
    receiver.tick(8_130 * MS)
    receiver.feed_all(stream(19, 1, at=9_000 * MS))
    receiver.tick(60_000 * MS)
    assert owner.silences == [(100 * MS, 4_100 * MS), (4_100 * MS, 8_130 * MS)]
    assert owner.writers[0].numbers == [0, 1, 2, 3, 4, 5, 6]


def test_comfort_noise_after_a_loss_says_nothing_of_the_time_before_it():
    receiver, owner = make()
    receiver.feed_all(stream(0, 15))
    receiver.feed(rtp(17, 17 * FRAME, b"\x40", pt=13), HERE, 360 * MS)
    receiver.tick(4_360 * MS)
    assert owner.silences == [(360 * MS, 4_360 * MS)]


def test_comfort_noise_at_the_end_is_told_before_the_writer_is_closed():
    receiver, owner = make()
    receiver.feed_all(stream(0, 15))
    receiver.feed(rtp(15, 15 * FRAME, b"\x40", pt=13), HERE, 320 * MS)
    receiver.close(1_000 * MS)
    receiver.close(2_000 * MS)
    assert owner.silences == [(100 * MS, 1_000 * MS)]
    assert owner.writers[0].closed == 1_000 * MS
    receiver.feed_all(stream(16, 5, at=1_000 * MS))
    assert writer_is_whole(owner.writers[0], 15)
