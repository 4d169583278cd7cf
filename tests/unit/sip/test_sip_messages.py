"""Bytes to messages and back: whole datagrams, and streams cut anywhere."""

from pathlib import Path

import pytest

from vcond.sip.messages import MAX_BODY, MAX_FIELD, MAX_FIELDS, MalformedError, Request, Response, encode, read
from vcond.sip.stream import StreamReader

DATA = sorted((Path(__file__).parent / "data").glob("*.sip"))
HEAD = (
    b"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:x@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)


@pytest.mark.parametrize("file", DATA, ids=lambda file: file.stem)
def test_what_opensips_sends_is_read(file):
    data = file.read_bytes()
    request = read(data)
    assert isinstance(request, Request)
    assert request.cseq.method == request.method
    assert request.via.branch.startswith("z9hG4bK")
    assert request.from_tag
    assert data.endswith(request.body)
    assert len(request.body) == int(request.headers.get("content-length"))
    again = read(encode(f"{request.method} {request.uri} SIP/2.0", request.headers, request.body))
    assert again.body == request.body
    assert dict(again.headers).keys() == dict(request.headers).keys()


def test_names_are_compact_lower_case_and_blank_before_the_colon():
    request = read(
        b"BYE sip:x@127.0.0.1 SIP/2.0\r\nv:SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nF: <sip:a@b>;tag=1\r\n"
        b"TO : <sip:x@127.0.0.1>;tag=2\r\ni: c\r\ncseq:1 BYE\r\nl: 2\r\nc: text/plain; x=1\r\nSubject:\r\n\r\nhi"
    )
    assert (request.from_tag, request.to_tag, request.call_id, request.body) == ("1", "2", "c", b"hi")
    assert (request.media_type, request.headers.get("subject", "none")) == ("text/plain", "")


def test_bare_line_feeds_folding_and_bytes_that_are_no_utf_8():
    request = read(HEAD.replace(b"\r\n", b"\n") + b"X-A: M\xfcller\n \t& S\xc3\xb6hne\nX-A: b\n\nbody")
    assert request.headers.all("x-a")[1] == "b"
    assert request.headers.get("x-a").encode("utf-8", "surrogateescape") == b"M\xfcller & S\xc3\xb6hne"
    assert request.body == b"body"
    assert b"X-A: M\xfcller & S\xc3\xb6hne\r\n" in encode("SIP/2.0 200 OK", [("X-A", request.headers.get("x-a"))])


def test_nothing_can_be_smuggled_into_an_answer():
    with pytest.raises(ValueError, match="line end"):
        encode("SIP/2.0 200 OK", [("To", "a\r\nX: b")])
    for bad in (b"X: a\rY: b\r\n", b"X: a\0\r\n"):
        with pytest.raises(MalformedError) as caught:
            read(HEAD + bad + b"\r\n")
        assert (caught.value.status, caught.value.request.call_id) == (400, "c")


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0"])
def test_keep_alives_are_no_messages(data):
    assert read(data) is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"X: " + b"a" * MAX_FIELD + b"\r\n\r\n", 400),
        (HEAD + b"X: a\r\n" * MAX_FIELDS + b"\r\n", 400),
        (HEAD + b"no colon here\r\n\r\n", 400),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (HEAD + b"Content-Length: 5\r\n\r\n1234", 400),
        (HEAD + b"Content-Length: -999\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nl: 2\r\n\r\n12", 400),
        (HEAD + b"Max-Forwards: 300\r\n\r\n", 400),
        (HEAD + b"Call-ID: d\r\n\r\n", 400),
        (HEAD + b'Contact: "x <sip:a@b>\r\n\r\n', 400),
        (HEAD.replace(b"1 OPTIONS", b"1 INVITE") + b"\r\n", 400),
        (HEAD.replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 1) + b"\r\n", 505),
        (HEAD.replace(b"OPTIONS sip", b"OPTIONS  sip") + b"\r\n", 400),
        (HEAD.replace(b"127.0.0.1 SIP/2.0", b"127.0.0.1 ;x SIP/2.0") + b"\r\n", 400),
    ],
)
def test_what_breaks_the_grammar_is_answered(data, status):
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert caught.value.status == status
    assert caught.value.request.headers.get("call-id") == "c"


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xffgarbage\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SIP/2.0 abc OK\r\n\r\n",
        b"SIP/2.0 4294967301 better not break\r\n\r\n",
        HEAD,
        HEAD + b"X: a\r\n" * 600 + b"\r\n",
        HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_nobody_can_be_answered_for(data):
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert caught.value.request is None


def test_a_response():
    response = read(b"SIP/2.0 200 \r\n" + HEAD.partition(b"\r\n")[2] + b"\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (200, "")


STREAM = (
    b"\r\n\r\n"
    + DATA[0].read_bytes()
    + b"\r\n"
    + DATA[1].read_bytes()
    + HEAD
    + b"\r\n\r\n\r\n\n"
    + HEAD.replace(b"CSeq: 1", b"CSeq: x")
    + b"Content-Length: 3\r\n\r\nabc"
    + HEAD.replace(b"\r\n", b"\n")
    + b"l: 4\n\n\r\n\r\n"
)


def kinds(items):
    return [
        (item.request or item).headers.get("cseq") if isinstance(item, MalformedError) else item.body for item in items
    ]


def test_a_stream_cut_at_every_byte_gives_the_same_messages():
    whole = StreamReader()
    wanted = kinds(whole.feed(STREAM))
    assert len(wanted) == 5
    assert wanted[-2:] == ["x OPTIONS", b"\r\n\r\n"]
    assert (whole.pinged, whole.broken, whole.idle) == (True, False, True)
    for at in range(len(STREAM)):
        reader = StreamReader()
        assert kinds(reader.feed(STREAM[:at]) + reader.feed(STREAM[at:])) == wanted
        assert reader.idle
    bytewise = StreamReader()
    assert kinds([item for at in range(len(STREAM)) for item in bytewise.feed(STREAM[at : at + 1])]) == wanted


def test_a_ping_is_seen_also_in_pieces_and_a_lone_line_end_is_none():
    reader = StreamReader()
    for byte in (b"\r", b"\n", b"\r"):
        assert reader.feed(byte) == []
        assert not reader.pinged
    assert reader.feed(b"\n") == []
    assert reader.pinged
    reader.pinged = False
    assert len(reader.feed(b"\r\n" + HEAD + b"\r\n")) == 1
    assert not reader.pinged


@pytest.mark.parametrize(
    ("data", "status", "answered"),
    [
        (HEAD + b"Content-Length: 99999999\r\n\r\n", 413, True),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, True),
        (HEAD + b"Content-Type: application/sdp\r\n\r\nv=0", 400, True),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, False),
        (b"\x16\x03\x01" + b"x" * 70_000, 513, False),
        (b"\rx\r\n\r\n", 400, False),
    ],
)
def test_a_stream_in_which_nothing_can_be_found_is_given_up(data, status, answered):
    reader = StreamReader()
    (fault,) = reader.feed(data)
    assert (fault.status, fault.request is not None, reader.broken) == (status, answered, True)
    assert reader.feed(HEAD + b"\r\n") == []


def test_a_stream_holds_no_more_than_a_message():
    reader = StreamReader()
    for _ in range(3 * 66):
        reader.feed(b"X" * 1000)
    assert len(reader._buffer) <= 66_000
