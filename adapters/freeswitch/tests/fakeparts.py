"""What a fake FreeSWITCH is made of: channels, taps on them, and connections to its event socket."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from faketaps import Bug

if TYPE_CHECKING:
    from fakeswitch import FakeSwitch


@dataclass
class Channel:
    uuid: str
    direction: str
    name: str
    number: str
    label: str
    destination: str
    created: int
    other: str = ""
    answered: int = 0
    state: str = "RINGING"
    holding: bool = False
    holds: list = field(default_factory=list)
    listed: float = 0.0
    bypass: bool = False
    codec_channels: int = 1
    app: str = "bridge"
    loopback: str = ""
    """The other half of a loopback pair."""
    ended: bool = False
    """Its hang-up has begun."""
    variables: dict = field(default_factory=dict)
    """Set by the dialplan or the directory; names are case-blind (faults of 1.10.12, record_stereo)."""
    bugs: list[Bug] = field(default_factory=list)
    says: deque = field(default_factory=deque)


class Session:
    """One connection to the event socket."""

    def __init__(self, switch: FakeSwitch, writer) -> None:
        self.switch, self.writer = switch, writer
        self.user = None
        self.ready = False
        self.names: set[str] = set()
        self.form = "json"

    def reply(self, text: str, **more: str) -> None:
        lines = [f"Reply-Text: {text}", *(f"{name.replace('_', '-')}: {value}" for name, value in more.items())]
        self.write("Content-Type: command/reply\n" + "\n".join(lines) + "\n\n")

    def response(self, body: str) -> None:
        data = body.encode()
        self.write(f"Content-Type: api/response\nContent-Length: {len(data)}\n\n{body}")

    def write(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        size = self.switch.chunk or len(data)
        for start in range(0, len(data), size):
            if not self.writer.is_closing():
                self.writer.write(data[start : start + size])

    def event(self, headers: dict[str, str]) -> None:
        if headers["Event-Name"] not in self.names and headers.get("Event-Subclass") not in self.names:
            return
        if self.form == "json":
            body = json.dumps(headers).encode()
        else:
            inner = headers.get("_body", "")
            lines = [f"{name}: {quote(value, safe='')}" for name, value in headers.items() if name != "_body"]
            extra = f"Content-Length: {len(inner)}\n\n{inner}" if inner else "\n"
            body = ("\n".join(lines) + "\n" + extra).encode()
        self.write(f"Content-Length: {len(body)}\nContent-Type: text/event-{self.form}\n\n".encode() + body)
