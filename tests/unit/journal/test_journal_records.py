from __future__ import annotations

import zlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import records
from vcond.journal.records import CHUNK, FORMAT, MAX_RECORD, Reader, encode

FIRST = ev.CallOpened(at=Instant(1), call="c", adapter="a", key="k")


def read(data: bytes, chunk: int = CHUNK) -> tuple[list[ev.Event], Reader]:
    reader = Reader()
    events = [event for i in range(0, len(data), chunk) for event in reader.feed(data[i : i + chunk])]
    reader.close()
    return events, reader


def log_of(*events: ev.Event) -> bytes:
    return b"".join(encode(event, first=i == 0) for i, event in enumerate(events))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
events = st.one_of(
    st.builds(ev.Tagged, at=st.integers(-(2**63), 2**63 - 1), name=texts, value=texts),
    st.builds(ev.Dtmf, at=st.integers(0, 2**62), party=st.integers(0, 9), button=st.sampled_from(sorted(ev.BUTTONS))),
    st.builds(ev.PartyJoined, at=st.integers(0, 2**62), party=st.integers(0, 9), key=texts, who=st.builds(ev.PartyInfo, name=texts)),
    st.builds(
        ev.Transcribed, at=st.integers(0, 2**62), utterance=st.integers(0, 99), engine=texts, model=texts, text=texts,
        words=st.lists(st.builds(ev.Word, start=st.integers(0, 2**40), stop=st.integers(0, 2**40), text=texts), max_size=4),
        confidence=st.floats(0, 1),
    ),
    st.builds(ev.Unknown, at=st.integers(0, 2**62), type=st.just("Later"), fields=st.dictionaries(st.sampled_from("xyz"), texts)),
)  # fmt: skip


@given(st.lists(events, max_size=20), st.integers(1, 200))
def test_what_is_encoded_is_read_again_however_the_bytes_come(history, chunk):
    data = log_of(FIRST, *history)
    got, reader = read(data, chunk)
    assert got == [FIRST, *history]
    assert (reader.good, reader.seen, reader.damage, reader.version) == (len(data), len(data), "", FORMAT)


@given(st.lists(events, max_size=6), st.data())
def test_any_cut_and_any_change_of_a_byte_gives_what_was_before(history, data):
    everything = [FIRST, *history]
    ends = [len(log_of(*everything[: i + 1])) for i in range(len(everything))]
    whole = log_of(*everything)
    at = data.draw(st.integers(0, len(whole) - 1))
    intact = sum(end <= at for end in ends)
    cut, reader = read(whole[:at])
    assert cut == everything[:intact]
    assert bool(reader.damage) == (at not in {0, *ends})
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    got, reader = read(bytes(changed), data.draw(st.integers(1, 300)))
    if got != everything:  # another spelling of the same bytes (bin8 as bin16) is no damage
        assert got == everything[:intact]
        assert reader.damage
        assert reader.good == (ends[intact - 1] if intact else 0)


@given(st.binary(max_size=400), st.integers(1, 60))
def test_noise_is_damage_and_never_an_error(noise, chunk):
    got, reader = read(log_of(FIRST) + noise, chunk)
    assert got == [FIRST]
    assert reader.good == len(log_of(FIRST))
    assert bool(reader.damage) == bool(noise)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 5000,  # what some file systems leave after a power loss
        b"\x91" * 5000,  # lists in lists in lists
        b"\xc6\xff\xff\xff\xff",  # 4 GB announced
        b"\xdd\xff\xff\xff\xff",
        b"\x92\xc0\xc4\x00",
        msgpack.packb([zlib.crc32(b"\xc1"), b"\xc1"]),
        msgpack.packb([zlib.crc32(b"\x01"), b"\x01"]),
        msgpack.packb([zlib.crc32(msgpack.packb({"t": "Tagged"})), msgpack.packb({"t": "Tagged"})]),
        msgpack.packb([zlib.crc32(b"\x81\x90\x01"), b"\x81\x90\x01"]),  # a list as a key
    ],
)
def test_garbage_ends_the_log(garbage):
    got, reader = read(log_of(FIRST) + garbage + encode(FIRST))
    assert got == [FIRST]
    assert reader.damage.startswith(f"byte {len(log_of(FIRST))}: ")


def raw(plain: object) -> bytes:
    payload = msgpack.packb(plain)
    return msgpack.packb([zlib.crc32(payload), payload])


def test_the_first_record_has_a_version_and_opens_the_call():
    assert msgpack.unpackb(msgpack.unpackb(encode(FIRST, first=True))[1])["v"] == FORMAT
    for bad in (
        encode(FIRST),
        raw({"t": "Tagged", "at": 1, "v": 1, "name": "x"}),
        raw({"t": "CallOpened", "at": 1, "v": "1"}),
    ):
        got, reader = read(bad)
        assert got == []
        assert reader.damage.startswith("byte 0: ")
        assert reader.good == 0


def test_a_newer_format_gives_nothing_and_says_so():
    newer = raw({"t": "CallOpenedOtherwise", "at": 1, "v": FORMAT + 1})
    got, reader = read(newer + b"whatever that version writes")
    assert got == []
    assert reader.newer
    assert not reader.damage


def test_an_event_whose_fields_changed_their_types_is_kept_as_unknown():
    got, reader = read(log_of(FIRST) + raw({"t": "Answered", "at": 5}) + raw({"t": "Digit", "at": 6, "party": "zero"}))
    assert got[1:] == [ev.Answered(at=Instant(5)), ev.Unknown(at=Instant(6), type="Digit", fields={"party": "zero"})]
    assert not reader.damage


def test_characters_without_utf8_do_not_lose_the_event():
    got, _ = read(log_of(FIRST, ev.Tagged(at=Instant(1), name="n", value="a\ud800b")))
    assert got[1] == ev.Tagged(at=Instant(1), name="n", value="a?b")


@pytest.mark.parametrize(
    "event",
    [
        ev.Tagged(at=Instant(1), name="secret", value="x" * (MAX_RECORD + 1)),
        ev.Dtmf(at=Instant(1), party=2**70, button="1"),
        ev.Unknown(at=Instant(1), type="secret", fields={"secret": object}),
    ],
)
def test_what_cannot_be_written_is_refused_without_its_content(event):
    with pytest.raises(ValueError, match=type(event).__name__) as refused:
        encode(event)
    assert "secret" not in str(refused.value)


def test_a_record_of_the_largest_size_is_read_back():
    event = ev.Tagged(at=Instant(1), name="n", value="x" * (MAX_RECORD - 100))
    got, reader = read(log_of(FIRST, event, FIRST))
    assert got == [FIRST, event, FIRST]
    assert not reader.damage
    assert records.MAX_LOG > MAX_RECORD


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "read", [test_noise_is_damage_and_never_an_error, test_any_cut_and_any_change_of_a_byte_gives_what_was_before]
)
def test_much_more_damage_is_told_as_well(fuzz, read):
    fuzz.examples(2000, read)
