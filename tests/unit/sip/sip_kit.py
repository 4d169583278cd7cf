"""Requests as bytes, a core at a moment that is moved by hand, and an application that writes down what it is told."""

from __future__ import annotations

import itertools
import re

from vcond.base.time import SECOND, Instant
from vcond.sip.actions import Ask, Doubtful, Send
from vcond.sip.application import Answer, Flow
from vcond.sip.core import Uas
from vcond.sip.messages import MalformedError, read
from vcond.sip.settings import Settings

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 26100 RTP/AVP 0\r\na=sendonly\r\n"
UDP = Flow("udp", ("127.0.0.1", 5099), ("127.0.0.1", 5060), 1)
TCP = Flow("tcp", ("127.0.0.1", 40_001), ("127.0.0.1", 5060), 7)
_branches = itertools.count(1)


def request(
    method="INVITE", *, cseq=1, call_id="call-1", branch="", from_tag="ft", to_tag="", uri="sip:srs@127.0.0.1:5060",
    transport="UDP", via="", contact="<sip:src@127.0.0.1:5099>;+sip.src", extra="", body=b"", kind="application/sdp",
):  # fmt: skip
    branch = branch or f"z9hG4bK{next(_branches)}"
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via or f'SIP/2.0/{transport} 127.0.0.1:5099;branch={branch};rport'}",
        f"From: <sip:src@127.0.0.1:5099>;tag={from_tag}",
        f"To: <sip:srs@127.0.0.1:5060>{f';tag={to_tag}' if to_tag else ''}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *([f"Contact: {contact}"] if contact else []),
        *extra.splitlines(),
        *([f"Content-Type: {kind}"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reply(data, start, *more):
    """An answer to a request of ours."""
    same = [
        line for line in data.decode().split("\r\n") if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
    ]
    return "\r\n".join([f"SIP/2.0 {start}", *same, *more, "", ""]).encode()


def status(data):
    return int(data.split(b" ", 2)[1])


def field(data, name):
    found = re.search(rf"(?im)^{name}:[ ]*(.*?)\r$", data.partition(b"\r\n\r\n")[0].decode() + "\r")
    return found and found[1]


def fields(data, name):
    return re.findall(rf"(?im)^{name}:[ ]*(.*?)\r$", data.partition(b"\r\n\r\n")[0].decode() + "\r")


def tag(data):
    return re.search(r";tag=([^;\s]+)", field(data, "To"))[1]


class Table:
    """A core, and what it wanted: datagrams in ``sent``, everything else in ``told``."""

    def __init__(self, **settings):
        self.now = Instant(1_000 * SECOND)
        self.wait = 0
        tokens = itertools.count(1)
        self.core = Uas(
            Settings(**settings), health=lambda: self.wait, token=lambda: f"0{next(tokens)}local", secret=b"s"
        )
        self.sent, self.told, self.asks = [], [], []

    def take(self, actions):
        """What was sent now."""
        before = len(self.sent)
        for action in actions:
            if isinstance(action, Send):
                self.sent.append((action.flow, action.data))
            elif isinstance(action, Ask):
                self.asks.append(action)
            else:
                self.told.append(action)
        return [data for _, data in self.sent[before:]]

    def feed(self, data, flow=UDP):
        try:
            message = read(data)
        except MalformedError as why:
            message = why
        if message is None:
            return []
        return self.take(self.core.receive(message, flow, self.now))

    def answer(self, answer=None):
        return self.take(self.core.answer(self.asks.pop(0), answer or Answer(body=SDP), self.now))

    def pass_(self, seconds):
        """Let time pass; what was sent meanwhile, with the seconds at which it was."""
        until = Instant(self.now + round(seconds * SECOND))
        start, out = self.now, []
        while (due := self.core.due()) is not None and due <= until:
            self.now = max(due, self.now)
            out += [((self.now - start) / SECOND, data) for data in self.take(self.core.tick(self.now))]
        self.now = until
        return out

    def call(self, **said):
        """A call that was answered and acknowledged; its local tag."""
        self.feed(request(body=SDP, **said))
        (final,) = self.answer()
        self.feed(request("ACK", to_tag=tag(final), **{k: v for k, v in said.items() if k in {"call_id", "from_tag"}}))
        return tag(final)

    def kinds(self):
        """The names of what was told since the last time."""
        told, self.told = self.told, []
        return [type(action).__name__ for action in told]

    def odd(self):
        return [action.reason for action in self.told if type(action).__name__ == "Odd"]

    def doubts(self):
        return [action.why for action in self.told if isinstance(action, Doubtful)]
