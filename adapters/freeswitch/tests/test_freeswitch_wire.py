from __future__ import annotations

import pytest
from fskit import frames, names, raw, recut
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import ProtocolError
from vcond_freeswitch import wire
from vcond_freeswitch.events import HEADERS, Event, decode, from_json, from_plain
from vcond_freeswitch.wire import Decoder, Frame

ALL = names()


def test_the_kit_is_whole():
    assert len([name for name in ALL if name.endswith((".json", ".plain"))]) == 37
    assert len([name for name in ALL if name.startswith("proto_")]) == 11


@pytest.mark.parametrize("name", ALL)
def test_every_capture_gives_the_same_frames_however_it_is_cut(name):
    data = raw(f"{name}.s2c.bin")
    whole = frames(data, len(data))
    assert whole
    for size in (1, 7, 4096):
        assert frames(data, size) == whole
    for frame in whole:
        if frame.kind.startswith("text/event-"):
            assert decode(frame).name


def test_a_body_without_a_newline_is_followed_at_once_by_the_next_frame():
    data = b"Content-Type: api/response\nContent-Length: 5\n\nfalseContent-Type: command/reply\nReply-Text: +OK bye\n\n"
    first, second = Decoder().feed(data)
    assert (first.kind, first.body) == ("api/response", b"false")
    assert second.reply == "+OK bye"


def test_text_in_a_body_that_looks_like_a_frame_is_none():
    body = b"\n\nContent-Length: 9\n\nEvent-Name: EVIL\n\n"
    data = b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(body), body)
    (frame,) = Decoder().feed(data)
    assert frame.body == body


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 5\nno colon here\n\n",
        b"Content-Length: -1\n\n",
        b"Content-Length: 99999999999\n\n",
        b"Content-Length: \xd9\xa3\n\n",
        b"a: b\n" * 300 + b"\n",
        b"a" * (wire.MAX_HEAD + 2),
        b"a: " + b"b" * wire.MAX_HEAD + b"\n\n",
    ],
)
def test_what_cannot_be_a_frame_is_refused(data):
    with pytest.raises(ProtocolError):
        Decoder().feed(data)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_no_bytes_raise_anything_else(data, size):
    decoder = Decoder()
    try:
        found = [frame for part in recut(data, size) for frame in decoder.feed(part)]
        for frame in found:
            decode(frame)
    except ProtocolError:
        pass


@given(
    st.lists(st.tuples(st.sampled_from(["command/reply", "api/response"]), st.binary(max_size=60)), max_size=8),
    st.integers(1, 40),
)
def test_frames_that_were_written_are_read_again(written, size):
    data = b"".join(
        b"Content-Type: %b\nContent-Length: %d\n\n%b" % (kind.encode(), len(body), body) for kind, body in written
    )
    decoder = Decoder()
    found = [frame for part in recut(data, size) for frame in decoder.feed(part)]
    assert [(frame.kind, frame.body) for frame in found] == written
    assert decoder.idle


# Events.


def test_a_caller_who_is_not_utf_8_breaks_nothing_and_keeps_his_name():
    for form in ("json", "plain"):
        found = [frame for frame in frames(raw(f"callerid_latin1.{form}.s2c.bin")) if "event" in frame.kind]
        assert {decode(frame).caller_name for frame in found} == {"José Müller"}


def test_utf_8_and_quotes_are_kept():
    for form in ("json", "plain"):
        for name, caller in (("utf8", "José 山田"), ("quotes", 'Bob \\"Q\\" 100A a:b')):
            found = [frame for frame in frames(raw(f"callerid_{name}.{form}.s2c.bin")) if "event" in frame.kind]
            assert {decode(frame).caller_name for frame in found} == {caller}


def test_headers_that_repeat_are_lists_in_json_and_arrays_in_plain():
    assert from_json(b'{"Event-Name":"X","variable_transfer_source":["a","b"]}').transfer_source == "b"
    assert from_plain(b"Event-Name: X\nvariable_transfer_source: ARRAY%3A%3Aa%7C%3Ab\n\n").transfer_source == "b"


def test_a_name_with_an_encoded_newline_injects_no_header():
    event = from_plain(b"Event-Name: CHANNEL_CREATE\nUnique-ID: 1\nCaller-Caller-ID-Name: x%0AUnique-ID%3A%20EVIL\n\n")
    assert event.leg == "1"
    assert event.caller_name == "x\nUnique-ID: EVIL"


def test_a_plus_and_a_comma_are_what_they_are():
    event = from_plain(b"Event-Name: X\nCaller-Caller-ID-Number: +1,2\n\n")
    assert event.caller_number == "+1,2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b'{"Event-Name":5}',
        b'{"Event-Name":{"a":1}}',
        b'{"Event-Name":"X","Unique-ID":"a b"}',
        b'{"Event-Name":"X","Unique-ID":"a\\nbgapi hupall"}',
        b'{"Event-Name":"X","Unique-ID":"' + b"a" * 129 + b'"}',
        b"[" * 100_000,
    ],
)
def test_events_that_make_no_sense_are_refused(body):
    with pytest.raises(ProtocolError):
        decode(Frame({"Content-Type": "text/event-json"}, body))


def test_an_event_beyond_all_size_is_refused():
    with pytest.raises(ProtocolError):
        decode(Frame({"Content-Type": "text/event-json"}, b" " * (2 << 20)))


@given(st.dictionaries(st.sampled_from(sorted(HEADERS.values())), st.text(max_size=30), max_size=12))
def test_json_and_plain_say_the_same(said):
    import json
    from urllib.parse import quote

    said.pop("_body", None)
    said["Event-Name"] = "X"
    said = {name: value for name, value in said.items() if "ARRAY::" not in value}
    plain = "".join(f"{name}: {quote(value, safe='')}\n" for name, value in said.items()) + "\n"

    def read(take, data: bytes) -> Event | None:
        try:
            return take(data)
        except ProtocolError:
            return None

    try:
        one = read(from_json, json.dumps(said).encode())
    except UnicodeEncodeError:
        return
    assert one == read(from_plain, plain.encode())


@pytest.mark.fuzz
@pytest.mark.parametrize("parser", [test_no_bytes_raise_anything_else, test_json_and_plain_say_the_same])
def test_the_wire_takes_much_more_of_it(fuzz, parser):
    fuzz.examples(4000, parser)
