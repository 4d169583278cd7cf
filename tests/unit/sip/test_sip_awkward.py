"""What border controllers send that is awkward and legal, over UDP, TCP and TLS: each is a call from INVITE to BYE."""

import asyncio
import re

import pytest
from sip_clients import Notes, Stream, Udp, contexts
from sip_kit import SDP, field, fields, request, status

from vcond.sip.server import SipServer
from vcond.sip.settings import Settings
from vcond.testing.time import LoopClock, run_virtual

KINDS = ("udp", "tcp", "tls")
COMPACT = {
    b"Via": b"v", b"From": b"f", b"To": b"t", b"Call-ID": b"i", b"Contact": b"m", b"Content-Type": b"c",
    b"Content-Length": b"l",
}  # fmt: skip


def names(data: bytes, change) -> bytes:
    """The same with other names of header fields, or something else before the colon."""
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    parts = [line.partition(b": ") for line in lines]
    return b"\r\n".join([start, *(change(key) + rest for key, _, rest in parts)]) + b"\r\n\r\n" + body


def more(line: bytes):
    return lambda data: data.replace(b"\r\nCall-ID", b"\r\n" + line + b"\r\nCall-ID", 1)


def via(said: str):
    """``{T}`` is the transport, ``{P}`` the client's port."""
    return lambda data: re.sub(rb"Via: SIP/2.0/(\w+) 127.0.0.1:5099", said.encode().replace(b"{T}", rb"\1"), data)


AWKWARD = {
    "nothing": lambda data: data,
    "compact names": lambda data: names(data, lambda key: COMPACT.get(key, key) + b": "),
    "names in small letters": lambda data: names(data, lambda key: key.lower() + b": "),
    "no blank behind the colon": lambda data: names(data, lambda key: key + b":"),
    "blanks before the colon": lambda data: names(data, lambda key: key + b" \t: "),
    "Via without a port": via(r"Via: SIP/2.0/{T} 127.0.0.1"),
    "Via with a name": via(r"Via: SIP/2.0/{T} sbc.invalid:5060"),
    "an escape in the branch": lambda data: data.replace(b"branch=z9hG4bK", b"branch=z9hG4bK%2Fa"),
    "a folded field": more(b"X-Long: a\r\n b"),
    "an empty field": more(b"Subject:"),
    "a display name with a blank and no quotes": lambda data: data.replace(b"From: <", b"From: Alice Smith <"),
    "bytes that are no UTF-8": more(b"Subject: M\xfcller"),
    "a second Via": more(b"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKupstream"),
    "Record-Route": more(b"Record-Route: <sip:127.0.0.1:5999;lr>"),
    "several parts": lambda data: re.sub(
        rb"application/sdp\r\nContent-Length: \d+\r\n\r\n",
        b"multipart/mixed;boundary=X\r\nContent-Length: %d\r\n\r\n--X\r\n\r\n" % (len(SDP) + 7),
        data,
    ),
}


class Caller:
    """A client of one transport."""

    def __init__(self, kind: str, address, tls) -> None:
        self.kind, self.address, self.tls = kind, address, tls
        self.client = None

    async def connect(self) -> None:
        if self.kind == "udp":
            self.client = await Udp.to(self.address)
        else:
            self.client = await Stream.to(self.address, self.tls if self.kind == "tls" else None)

    def made(self, method: str, cseq: int = 1, **said) -> bytes:
        return request(method, cseq=cseq, transport=self.kind.upper(), **said)

    def follow(self, final: bytes, method: str, cseq: int) -> bytes:
        """A request in the dialog of a final answer."""
        to = field(final, "To").partition(";tag=")[2]
        return self.made(method, cseq, to_tag=to)

    async def end(self, final: bytes) -> int:
        self.client.send(self.follow(final, "ACK", 1))
        while True:
            ended = await self.client.ask(self.follow(final, "BYE", 90))
            if field(ended, "CSeq") == "90 BYE":
                return status(ended)


def served(kind, folder, test) -> None:
    async def main():
        ours, theirs = contexts(folder) if kind == "tls" else (None, None)
        notes = Notes()
        async with SipServer(Settings(), notes, LoopClock()) as server:
            caller = Caller(kind, await server.listen(kind, "127.0.0.1", 0, ours), theirs)
            await caller.connect()
            try:
                await test(caller, caller.client, notes)
            finally:
                await caller.client.close()
            assert not server.dialogs

    run_virtual(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", AWKWARD)
def test_a_call_that_is_awkward_and_legal(kind, what, tmp_path):
    async def test(caller, client, notes):
        sent = AWKWARD[what](caller.made("INVITE", body=SDP))
        final = await client.ask(sent)
        assert status(final) == 200
        branches = [branch.decode() for branch in re.findall(rb"branch=([^;\s]+)", sent)]
        assert [re.search(r"branch=([^;\s]+)", one)[1] for one in fields(final, "Via")] == branches
        assert (field(final, "Record-Route") is not None) == (what == "Record-Route")
        assert notes.told[0][1].endswith(SDP)
        assert await caller.end(final) == 200
        assert notes.kinds == ["invite", "ack", "end"]

    served(kind, tmp_path, test)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_outside_of_a_call_within_it_and_twice(kind, tmp_path):
    async def test(caller, client, notes):
        assert status(await client.ask(caller.made("OPTIONS"))) == 200
        assert status(await client.ask(caller.made("BYE", to_tag="nope", call_id="other"))) == 481
        assert status(await client.ask(caller.made("CANCEL", call_id="another"))) == 481
        invite = caller.made("INVITE", body=SDP)
        final = await client.ask(invite)
        assert await client.ask(invite) == final, "the same answer, with the same tag"
        assert await client.final() == final, "again until its ACK comes"
        client.send(caller.follow(final, "ACK", 1))
        assert status(await client.ask(caller.follow(final, "INFO", 2))) == 200
        assert await caller.end(final) == 200
        assert notes.kinds.count("invite") == 1

    served(kind, tmp_path, test)


@pytest.mark.parametrize("kind", KINDS)
def test_keep_alives_pieces_and_noise_before_a_call(kind, tmp_path):
    async def test(caller, client, notes):
        invite = caller.made("INVITE", body=SDP)
        if kind == "udp":
            for said in (b"\r\n\r\n", b"\x00\xffgarbage\r\nno colon here\r\n\r\n", b"\r\n"):
                client.send(said)
            client.send(invite)
        else:
            client.send(b"\x00\xffgarbage\r\nno colon here\r\n\r\n")
            await client.close()
            await caller.connect()
            client = caller.client
            client.send(b"\r\n\r\n\r\n")
            for at in range(0, len(invite), 300):
                await asyncio.sleep(0.1)
                client.send(invite[at : at + 300])
        final = await client.final()
        assert status(final) == 200
        assert await caller.end(final) == 200

    served(kind, tmp_path, test)
