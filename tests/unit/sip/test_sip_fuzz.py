"""Made-up input: bytes, messages that were changed, and requests in any order."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sip_kit import SDP, TCP, UDP, Table, request, status, tag

from vcond.sip.application import Answer
from vcond.sip.messages import MAX_BODY, MAX_HEAD, MalformedError, Request, read
from vcond.sip.stream import StreamReader
from vcond.testing.changed import spoiled

DATA = [file.read_bytes() for file in sorted((Path(__file__).parent / "data").glob("*.sip"))]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff", b'"', b"<", b">", b";", b",", b"\\", b"%", b"=", b":", b"@", b" ",
    b";rport", b";received=x", b";tag=", b"Content-Length: 5\r\n", b"l: 99999999999999999999\r\n", b"Via: x\r\n",
    b"Require: y\r\n", b"Content-Type: a\r\n", b"SIP/2.0", b"sip:", b"CANCEL", b"ACK", b"OPTIONS", b"2147483648", b"-1",
    b"Session-Expires: 1\r\nSupported: timer\r\n", b"Route: <sip:a;lr>\r\n", b"a" * 9000,
]  # fmt: skip
ANSWER = re.compile(rb"SIP/2\.0 [1-6]\d\d [^\r\n]*\r\n(?:[!-9;-~]+: [^\r\n\0]*\r\n)+\r\n", re.DOTALL)


def sound(data):
    """What is sent is one whole message, with nothing in it that a client could take for another."""
    found = ANSWER.match(data)
    if found is None:
        assert data.startswith((b"BYE ", b"UPDATE "))
        return
    assert int(re.search(rb"\r\nContent-Length: (\d+)\r\n", found[0])[1]) == len(data) - found.end()


@pytest.mark.fuzz
def test_any_bytes(fuzz):
    @given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(PIECES), st.sampled_from(DATA)), max_size=8))
    def one(pieces):
        data = b"".join(pieces)
        table = Table()
        for answer in table.feed(data):
            sound(answer)
        reader = StreamReader()
        for piece in pieces:
            for item in reader.feed(piece):
                for answer in table.take(table.core.receive(item, TCP, table.now)):
                    sound(answer)
            assert len(reader._buffer) <= MAX_HEAD + MAX_BODY + len(piece)

    fuzz.examples(400, one)


@pytest.mark.fuzz
def test_messages_that_were_changed(fuzz):
    for chance in fuzz.rounds(4000):
        data = bytearray(chance.choice(DATA))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(min(len(data), 700))
            until = at + chance.choice([0, 0, 1, 1, 5, 50])
            data[at:until] = chance.choice(PIECES) if chance.random() < 0.7 else bytes([chance.randrange(256)])
        table = Table(users={"a": "b"} if chance.random() < 0.2 else {}, extensions=frozenset({"siprec"}))
        for answer in table.feed(bytes(data)):
            sound(answer)
        while table.asks:
            for answer in table.answer(Answer(body=SDP)):
                sound(answer)
        for _, answer in table.pass_(40):
            sound(answer)
        for dialog in list(table.core.dialogs):
            assert Table().core.restore(dialog.saved(), table.now).id == dialog.id
            for answer in table.take(table.core.hang_up(dialog, table.now)):
                sound(answer)
        try:
            message = read(bytes(data))
        except MalformedError:
            continue
        if isinstance(message, Request):
            assert message.cseq.method == message.method
            assert message.via.host


@pytest.mark.fuzz
def test_datagrams_and_streams_are_read_or_malformed(fuzz):
    """As a datagram, and with whatever was before it on the same stream, cut anywhere."""
    reader = StreamReader()
    for chance in fuzz.rounds(20_000):
        data = spoiled(chance.choice(DATA), chance, PIECES)
        with suppress(MalformedError):
            read(data)
        if reader.broken:
            reader = StreamReader()
        cut = int(chance.random() * len(data))
        for piece in (data[:cut], data[cut:]):
            reader.feed(piece)
            assert len(reader._buffer) <= MAX_HEAD + MAX_BODY + len(piece)


METHODS = ["INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "UPDATE", "INFO", "OPTIONS", "REGISTER"]


@pytest.mark.fuzz
def test_requests_in_any_order(fuzz):
    """Whatever comes: a dialog ends once, each final answer is given once, and at last nothing is left."""
    for chance in fuzz.rounds(400):
        table = Table(dialogs=3, invites=1e6)
        begun, ended, seen, tags = set(), [], [], [""]
        for _ in range(chance.randrange(60)):
            step = chance.random()
            if step < 0.6:
                data = chance.choice(seen) if seen and chance.random() < 0.2 else request(
                    chance.choice(METHODS), cseq=chance.randrange(1, 9), call_id=f"c{chance.randrange(3)}",
                    branch=f"z9hG4bK{chance.randrange(12)}", to_tag=chance.choice(tags), body=chance.choice([b"", SDP]),
                    extra=chance.choice(["", "", "Supported: timer\nSession-Expires: 90;refresher=uas"]),
                )  # fmt: skip
                seen.append(data)
                sent = table.feed(data, chance.choice([UDP, TCP]))
            elif step < 0.8 and table.asks:
                ask = table.asks[0]
                answer = chance.choice([Answer(body=SDP), Answer.refused(488)])
                sent = table.answer(answer)
                assert not (sent and ask.dialog.id in ended)
            else:
                sent = [data for _, data in table.pass_(chance.choice([0.5, 5, 50]))]
            for data in sent:
                sound(data)
                if data.startswith(b"SIP/2.0 2") and b"CSeq: " in data and tag(data) not in tags:
                    tags.append(tag(data))
            for action in table.told:
                kind = type(action).__name__
                if kind == "Ended":
                    assert action.dialog.id not in ended
                    ended.append(action.dialog.id)
                elif kind == "Changed":
                    begun.add(action.dialog.id)
                elif kind == "Doubtful" and chance.random() < 0.7:
                    table.take(table.core.hang_up(action.dialog, table.now, action.why))
            table.told.clear()
            assert len(table.core.dialogs) <= 3
        while table.asks:
            table.answer(Answer.refused(486))
        for dialog in list(table.core.dialogs):
            table.take(table.core.hang_up(dialog, table.now))
        table.pass_(100)
        assert (table.core.due(), len(table.core._transactions), list(table.core.dialogs)) == (None, 0, [])
        assert table.core._transactions._bytes == 0


def test_what_sound_means():
    table = Table()
    (answer,) = table.feed(request("OPTIONS"))
    sound(answer)
    assert status(answer) == 200
    with pytest.raises(AssertionError):
        sound(answer + b"x")
