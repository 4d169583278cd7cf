"""The RTP receiver: whose packets count, what they say, when a stream begins and ends."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import rtp_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from rtp_kit import FRAME, HERE, MS, THERE, ULAW, Notes, make, rtp, stream, writer_is_whole

from vcond.media.rtp.formats import STATIC
from vcond.media.rtp.receiver import RtpReceiver, Source
from vcond.media.rtp.streams import MAX_STREAMS
from vcond.testing.host import MemoryHost

# Joining.


def test_packets_that_follow_one_another_become_one_frame_with_a_number_of_its_own():
    receiver, owner = make()
    receiver.feed_all(stream(0, 1) + stream(1, 4, at=20 * MS))
    receiver.feed_all(stream(5, 5, at=100 * MS))
    [writer] = owner.writers
    # the first packet opens the stream and comes alone
    assert [(len(frame[0]), *frame[1:]) for frame in writer.frames] == [
        (160, 20 * MS, 0, 0), (640, 100 * MS, 160, 1), (800, 200 * MS, 800, 2),
    ]  # fmt: skip
    assert receiver.stats.packets == 10


def test_a_joined_frame_is_as_late_as_the_least_late_of_its_packets():
    receiver, owner = make()
    receiver.feed_all(stream(0, 1))
    late = [(data, source, at + delay * MS) for (data, source, at), delay in zip(
        stream(1, 3, at=20 * MS), (9, 2, 30), strict=True)]  # fmt: skip
    receiver.feed_all(late)
    assert owner.writers[0].frames[1][1] == 82 * MS


def test_what_cannot_be_joined_is_handed_on_packet_by_packet():
    receiver, owner = make()
    receiver.feed_all(stream(0, 5, pt=97, payload=b"opus"))
    assert owner.writers[0].frames == [(b"opus", (i + 1) * 20 * MS, i * FRAME, i) for i in range(5)]


def test_half_a_sample_spoils_no_neighbour():
    receiver, owner = make()
    sent = stream(0, 5, pt=96, payload=kit.loud(1))
    sent[2] = (rtp(2, 2 * FRAME, b"odd", pt=96), HERE, 60 * MS)
    receiver.feed_all(sent)
    assert [len(frame[0]) for frame in owner.writers[0].frames] == [320, 320, 3, 640]


def test_after_a_gap_nothing_is_joined_until_it_cannot_be_filled_any_more():
    receiver, owner = make()
    sent = stream(0, 40)
    late = (sent[10][0], HERE, sent[14][2] + MS)
    receiver.feed_all([*sent[:10], *sent[11:15], late, *sent[15:]])
    frames = owner.writers[0].frames
    number = frames[1][3] + 1  # the first alone, nine joined, then the gap
    assert frames[1][0] == ULAW * 9
    singles = frames[2:13]
    assert [frame[3] for frame in singles] == [
        number + 1,
        number + 2,
        number + 3,
        number + 4,
        number,
        *range(number + 5, number + 11),
    ]
    assert [len(frame[0]) for frame in frames[13:]] == [16 * FRAME, 3 * FRAME]
    assert [frame[3] for frame in frames[13:]] == [number + 11, number + 12]
    assert writer_is_whole(owner.writers[0], 40)
    assert (receiver.stats.lost, receiver.stats.late) == (0, 1)


def test_numbers_wrap_and_stay_numbers_of_sixteen_bits():
    receiver, owner = make()
    receiver.feed_all(stream(0, 20, base=65530))
    assert owner.writers[0].numbers == [65530, 65531, 65532]
    receiver.feed_all(stream(20, 1, base=65530))
    receiver.feed_all(stream(22, 1, base=65530))
    assert owner.writers[0].numbers[3:] == [65533, 65535]


def test_double_packets_are_counted_and_go_no_further():
    receiver, owner = make()
    sent = stream(0, 10)
    receiver.feed_all([packet for packet in sent for _ in range(2)])
    assert writer_is_whole(owner.writers[0], 10)
    assert receiver.stats.double == 10


# Formats.


def test_a_new_payload_type_is_a_new_stream_and_stragglers_find_the_old_one():
    receiver, owner = make()
    old, new = stream(0, 10), stream(10, 10, at=200 * MS, pt=8)
    straggler = (old[8][0], HERE, 230 * MS)
    receiver.feed_all([*old[:8], old[9], new[0], straggler, *new[1:]])
    receiver.tick(300 * MS)
    first, second = owner.writers
    assert [(s.number, s.pt, s.format.name, s.at) for s in owner.streams] == [
        (0, 0, "pcmu", 20 * MS), (1, 8, "pcma", 220 * MS),
    ]  # fmt: skip
    assert (first.closed, second.closed) == (None, None)
    receiver.tick(420 * MS)
    assert first.closed == 220 * MS
    assert writer_is_whole(first, 10)
    assert writer_is_whole(second, 10)
    assert receiver.stream is owner.streams[1]


def test_formats_that_change_in_quick_succession_all_end():
    receiver, owner = make()
    for i, pt in enumerate((0, 8, 96, 0)):
        receiver.feed_all(stream(i, 1, at=i * 20 * MS, pt=pt))
    assert [writer.closed for writer in owner.writers] == [40 * MS, 60 * MS, None, None]
    receiver.close(90 * MS)
    assert [writer.closed for writer in owner.writers] == [40 * MS, 60 * MS, 80 * MS, 90 * MS]


def test_two_payload_types_of_one_format_are_one_stream():
    owner = Notes()
    receiver = RtpReceiver({0: STATIC[0], 98: STATIC[0]}, owner)
    receiver.feed_all(stream(0, 5) + stream(5, 5, at=100 * MS, pt=98) + stream(10, 5, at=200 * MS))
    assert len(owner.streams) == 1
    assert writer_is_whole(owner.writers[0], 15)
    assert [len(frame[0]) // FRAME for frame in owner.writers[0].frames] == [1, 4] * 3


def test_a_stream_that_nobody_wants_is_asked_about_once():
    receiver, owner = make(Notes(lambda stream: stream.format.name != "g722"))
    receiver.feed_all(stream(0, 10, pt=9))
    assert len(owner.streams) == 1
    assert receiver.stats.refused == 10
    receiver.feed_all(stream(10, 10, at=200 * MS))
    assert writer_is_whole(owner.writers[0], 10)


def test_a_payload_type_that_was_not_agreed_on_takes_its_number_and_begins_nothing():
    receiver, owner = make()
    receiver.feed_all(stream(0, 3, pt=120))
    assert owner.streams == []
    assert receiver.stats.unknown == 3
    receiver.feed_all(stream(3, 3, at=60 * MS) + stream(6, 1, at=120 * MS, pt=120) + stream(7, 3, at=140 * MS))
    assert owner.writers[0].frames[2][0] == b""
    assert owner.writers[0].numbers == [3, 4, 5, 6]
    assert receiver.stats.lost == 0


def test_what_changes_for_ever_comes_to_an_end():
    receiver, owner = make()
    for i in range(MAX_STREAMS + 50):
        receiver.feed_all(stream(i, 1, at=i * 20 * MS, pt=8 * (i % 2)))
    assert len(owner.streams) == MAX_STREAMS
    assert receiver.stats.refused == 50


# Sources.


def test_a_new_ssrc_from_the_same_address_is_a_new_stream_and_loses_nothing():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.feed_all(stream(0, 10, at=200 * MS, ssrc=8, base=500))
    receiver.feed_all(stream(10, 3, at=400 * MS, ssrc=8, base=500))
    first, second = owner.writers
    assert [s.ssrc for s in owner.streams] == [7, 8]
    assert owner.streams[1].at == 220 * MS
    assert first.closed == 220 * MS or first.closed is None
    receiver.tick(900 * MS)
    assert first.closed == 220 * MS
    assert writer_is_whole(first, 10)
    assert writer_is_whole(second, 13)
    assert (receiver.stats.packets, receiver.stats.foreign, receiver.stats.lost) == (23, 0, 0)


def test_a_new_ssrc_that_sends_little_begins_when_time_passes():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.feed_all(stream(0, 2, at=200 * MS, ssrc=8))
    assert len(owner.streams) == 1
    receiver.tick(320 * MS)
    assert [writer_is_whole(writer, n) for writer, n in zip(owner.writers, (10, 2), strict=True)] == [True, True]


def test_a_packet_of_another_source_alone_changes_nothing():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.feed_all(stream(77, 1, at=300 * MS, ssrc=8))
    receiver.tick(5_000 * MS)
    assert len(owner.streams) == 1
    assert receiver.stats.foreign == 1


def test_who_sends_all_the_time_is_not_pushed_aside():
    receiver, owner = make()
    for i in range(100):
        receiver.feed_all(stream(i, 1, at=i * 20 * MS))
        receiver.feed_all(stream(i, 1, at=i * 20 * MS, ssrc=8, base=9))
        receiver.feed_all(stream(i, 1, at=i * 20 * MS, ssrc=7, base=9_000, source=THERE))
        receiver.feed_all([(rtp(i * 7919, 0, ssrc=i + 1000), THERE, i * 20 * MS)])
    receiver.close(2_000 * MS)
    assert len(owner.streams) == 1
    assert writer_is_whole(owner.writers[0], 100)
    assert receiver.stats.foreign == 300


def test_noise_from_everywhere_keeps_no_true_successor_out():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    following = stream(0, 30, at=200 * MS, ssrc=8)
    for i, packet in enumerate(following):
        noise = [(rtp(7 * j, 0, ssrc=1000 + 50 * i + j), ("203.0.113.9", 1 + j), packet[2]) for j in range(50)]
        receiver.feed_all([*noise[:25], packet, *noise[25:]])
    receiver.close(900 * MS)
    assert [s.ssrc for s in owner.streams] == [7, 8]
    assert writer_is_whole(owner.writers[1], 30)


def test_another_address_takes_over_after_the_silence_asked_for():
    receiver, owner = make(relatch=1.0)
    receiver.feed_all(stream(0, 10))
    receiver.feed_all(stream(0, 60, at=300 * MS, ssrc=8, source=THERE))
    first, second = owner.writers
    assert owner.streams[1].address == THERE
    assert owner.streams[1].at == 320 * MS
    assert writer_is_whole(second, 60)
    receiver.tick(3_000 * MS)
    assert first.closed == 320 * MS


def test_the_same_source_by_another_path_goes_on_in_its_stream():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.feed_all(stream(10, 60, at=200 * MS, source=THERE))
    assert len(owner.streams) == 1
    assert writer_is_whole(owner.writers[0], 70)
    assert receiver.stats.lost == 0


@pytest.mark.parametrize("named", ["198.51.100.7", "2001:DB8::7"])
def test_who_comes_from_the_address_that_was_named_takes_over_from_a_stranger_at_once(named):
    receiver, owner = make()
    receiver.name(named)
    there = (str(ip_address(named)), 4000)
    for i in range(10):  # the stranger goes on all the time, and so does noise from everywhere
        receiver.feed_all(stream(i, 1, at=i * 20 * MS))
    for i in range(10, 60):
        noise = [(rtp(7 * j, 0, ssrc=1000 + 50 * i + j), ("203.0.113.9", 1 + j), i * 20 * MS) for j in range(9)]
        receiver.feed_all([*stream(i, 1, at=i * 20 * MS), *noise])
        receiver.feed_all(stream(i - 10, 1, at=i * 20 * MS, ssrc=8, source=there))
    receiver.close(2_000 * MS)
    assert [s.ssrc for s in owner.streams] == [7, 8]
    assert writer_is_whole(owner.writers[1], 50)


def test_a_name_that_is_no_address_or_where_nobody_comes_from_keeps_nobody_out():
    for named in ("", "sbc.example", "192.0.2.99"):
        receiver, owner = make()
        receiver.name(named)
        receiver.feed_all(stream(0, 10))
        receiver.feed_all(stream(0, 60, at=300 * MS, ssrc=8, source=THERE))
        assert [writer_is_whole(writer, n) for writer, n in zip(owner.writers, (10, 60), strict=True)] == [True, True]


def test_expected_sources_only():
    receiver, owner = make(expect=Source("192.0.2.2", None, 8))
    receiver.feed_all(stream(0, 5) + stream(0, 5, source=THERE) + stream(0, 5, ssrc=8))
    assert owner.streams == []
    assert receiver.stats.foreign == 15
    receiver.feed_all(stream(0, 5, source=THERE, ssrc=8))
    assert writer_is_whole(owner.writers[0], 5)


def test_stragglers_of_a_source_that_was_followed_are_taken():
    receiver, owner = make()
    old = stream(0, 10)
    receiver.feed_all([*old[:8], old[9]])
    receiver.feed_all(stream(0, 8, at=200 * MS, ssrc=8))
    receiver.feed_all([(old[8][0], HERE, 365 * MS), (old[3][0], HERE, 366 * MS)])
    assert len(owner.writers) == 2
    assert writer_is_whole(owner.writers[0], 10)
    assert receiver.stats.foreign == 1  # the double one


# The rest.


def test_what_is_no_rtp_is_counted():
    receiver, owner = make()
    stun = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    for datagram in (stun, b"", b"\x16\xfe\xfd", rtp()[:11], b"\x80\xc8", rtp(payload=bytes(2048))):
        receiver.feed(datagram, HERE, 0)
    stats = receiver.stats
    assert (stats.stun, stats.other, stats.bad) == (1, 2, 3)
    assert owner.streams == []


def test_a_number_far_from_all_others_harms_nothing_and_two_are_a_new_count():
    receiver, owner = make()
    receiver.feed_all(stream(0, 10))
    receiver.feed(rtp(30_000, 99), HERE, 205 * MS)
    receiver.feed_all(stream(10, 10, at=200 * MS))
    assert writer_is_whole(owner.writers[0], 20)
    assert receiver.stats.odd == 1
    receiver.feed_all(stream(20, 10, at=400 * MS, base=40_000))
    assert writer_is_whole(owner.writers[0], 30)
    assert (receiver.stats.odd, receiver.stats.restarts, receiver.stats.packets) == (1, 1, 30)


def test_padding_and_extensions_are_no_sound():
    receiver, owner = make()
    receiver.feed_all(stream(0, 2))
    receiver.feed(rtp(2, 2 * FRAME, ULAW + b"\0\0\0\4", first=0xA0), HERE, 60 * MS)
    receiver.feed(rtp(3, 3 * FRAME, b"\xbe\xde\0\1abcd" + ULAW, first=0x90), HERE, 80 * MS)
    receiver.feed_all(stream(4, 2, at=80 * MS))
    assert owner.writers[0].sound == ULAW * 6


def test_jitter_as_in_the_rfc():
    receiver, _ = make()
    receiver.feed_all(stream(0, 200))
    assert receiver.stats.jitter == 0
    receiver.feed_all([(data, source, at + (i % 2) * 8 * MS) for i, (data, source, at) in enumerate(
        stream(200, 200, at=4_000 * MS))])  # fmt: skip
    assert receiver.stats.jitter == pytest.approx(0.008, rel=0.01)
    receiver.overflow(3)
    assert receiver.stats.overflow == 3


DATAGRAMS = st.one_of(
    st.binary(max_size=40),
    st.builds(
        rtp,
        st.one_of(st.integers(0, 65535), st.integers(0, 20)),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=20),
        pt=st.sampled_from([0, 8, 9, 10, 11, 13, 96, 97, 101, 127]),
        ssrc=st.integers(0, 3),
        first=st.sampled_from([0x80, 0x80, 0x80, 0x90, 0xA0, 0x81, 0xBF, 0x00]),
    ),
    st.builds(kit.bye, st.integers(0, 3)),
    st.builds(kit.sender_report, st.integers(0, 3), st.integers(0, 4 * 10**18), st.integers(0, 2**32 - 1)),
)


@given(
    st.lists(
        st.tuples(DATAGRAMS, st.sampled_from([HERE, THERE]), st.sampled_from([0, 1, 20, 20, 120, 5000]), st.booleans()),
        max_size=60,
    )
)
def test_no_datagrams_raise_and_every_one_is_accounted_for(sent):
    receiver, owner = make()
    at = rtcp = 0
    for data, source, pause, ticks in sent:
        at += pause * MS
        receiver.feed(data, source, at)
        rtcp += len(data) > 1 and 128 <= data[0] <= 191 and 192 <= data[1] <= 223
        if ticks:
            receiver.tick(at)
    receiver.close(at)
    assert all(writer.closed is not None for writer in owner.writers)
    assert len(owner.writers) == len(owner.streams)
    stats = receiver.stats
    assert min(vars_of(stats)) >= 0
    told = stats.packets + stats.double + stats.odd + stats.bad + stats.foreign + stats.unknown + stats.stun
    assert told + stats.other >= len(sent) - rtcp - stats.refused


def vars_of(stats) -> list[float]:
    return [getattr(stats, name) for name in type(stats).__slots__]


@given(st.lists(st.tuples(DATAGRAMS, st.sampled_from([0, 20, 300])), max_size=60))
def test_no_datagrams_raise_on_their_way_into_a_real_track(sent):
    party = kit.Party()
    at, arrivals = 0, []
    for data, pause in sent:
        at += pause * MS
        arrivals.append((at, data, HERE))
    # two channels and Opus are the adapter's to decode; a track takes the others
    party.receiver = RtpReceiver({pt: of for pt, of in kit.FORMATS.items() if of.codec or not of.is_audio}, party)
    party.play(arrivals, at + 300 * MS)
    assert isinstance(party.host, MemoryHost)
    assert party.host.faults == []


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "sent",
    [
        test_no_datagrams_raise_and_every_one_is_accounted_for,
        test_no_datagrams_raise_on_their_way_into_a_real_track,
    ],
)
def test_many_more_datagrams_do_not_either(fuzz, sent):
    fuzz.examples(600, sent)
