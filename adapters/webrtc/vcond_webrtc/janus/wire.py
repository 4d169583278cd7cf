"""Janus's API as values: what it answers, decoded with bounds. No sockets.

Sources: Janus 1.x API documentation ("Janus API", "WebSockets Interface") and the VideoRoom plugin's own.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from vcond.sdk.contract import ConfigError, ProtocolError, RefusedError

MAX_MESSAGE: Final = 4 << 20
"""Bytes of one message: the list of some 5,000 rooms."""
MOST_NAME: Final = 128
"""Characters that are kept of a display name."""
PLUGIN: Final = "janus.plugin.videoroom"

Id = int | Annotated[str, Meta(max_length=256)]
"""Of a room or a participant: numbers, or strings where Janus has ``string_ids``."""

UNAUTHORIZED: Final = frozenset({403, 405})
"""Codes of the core: wrong or missing API secret, token without the right to a plugin."""
NO_SUCH_SESSION: Final = 458
NO_SUCH_PLUGIN: Final = 460
NO_SUCH_ROOM: Final = 426
NO_SUCH_FEED: Final = 428
MISSING: Final = 429
WRONG_SECRET: Final = 433

_SAID: Final = {
    NO_SUCH_SESSION: "the session has ended",
    NO_SUCH_PLUGIN: "this Janus has no VideoRoom plugin",
    NO_SUCH_ROOM: "no such room",
    NO_SUCH_FEED: "no such publisher or forward",
    MISSING: "a secret is missing: admin_key, secrets or pins",
    WRONG_SECRET: "a secret is wrong: admin_key, secrets or pins",
}


class JanusError(RefusedError):
    """An answer that says no. Only the code is kept: Janus's own words hold ids and, at times, what was sent."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: {code}, {_SAID.get(code, 'refused')}")
        self.code = code


class Body(msgspec.Struct):
    """``plugindata``."""

    data: msgspec.Raw = msgspec.Raw(b"{}")


class Number(msgspec.Struct):
    """``data`` of a success: the id of what was made."""

    id: int = 0


class Refusal(msgspec.Struct):
    """``error`` of the core."""

    code: int = 0


class Envelope(msgspec.Struct):
    """What every message has."""

    janus: str
    transaction: str = ""
    session_id: int = 0
    data: Number = msgspec.field(default_factory=Number)
    plugindata: Body = msgspec.field(default_factory=Body)
    error: Refusal = msgspec.field(default_factory=Refusal)


class Plugin(msgspec.Struct):
    """One of ``plugins`` in a server's information."""

    version_string: str = ""


class Info(msgspec.Struct):
    """``server_info``."""

    version: int = 0
    """1102 = 1.1.2."""
    version_string: str = ""
    plugins: dict[str, Plugin] = {}


class Room(msgspec.Struct):
    """One of ``list``."""

    room: Id
    num_participants: int = 0
    require_pvtid: bool = False
    """Only who joined may subscribe, so nobody else is told what a publisher sends."""


class Participant(msgspec.Struct):
    """One of ``listparticipants``: who joined, publishing or not."""

    id: Id
    display: str = ""
    publisher: bool = False
    dummy: bool = False
    """Janus's own stand-in for renegotiations; nobody."""


class Stream(msgspec.Struct):
    """One of ``streams`` that a subscriber is offered."""

    type: str = ""
    feed_mid: str = ""
    codec: str = ""


class Forward(msgspec.Struct):
    """One of ``forwarders``."""

    stream_id: int
    host: str = ""
    port: int = 0
    ssrc: int = 0


class Forwards(msgspec.Struct):
    """Those of one publisher."""

    publisher_id: Id
    forwarders: list[Forward] = []


class Answer(msgspec.Struct):
    """What the plugin says. Which of it is there depends on the request."""

    error_code: int = 0
    rooms: list[Room] = msgspec.field(default_factory=list, name="list")
    participants: list[Participant] = []
    publishers: list[Forwards] = []
    forwarders: list[Forward] = []
    streams: list[Stream] = []


_envelope: Final = msgspec.json.Decoder(Envelope)
_answer: Final = msgspec.json.Decoder(Answer)
_info: Final = msgspec.json.Decoder(Info)


def decode(message: str | bytes) -> Envelope:
    """Raises ProtocolError for what is no message of Janus."""
    try:
        return _envelope.decode(message)
    except (ValueError, RecursionError) as why:
        raise ProtocolError(f"not a Janus message ({type(why).__name__})") from None


def decode_info(message: str | bytes) -> Info:
    """Raises ProtocolError."""
    try:
        return _info.decode(message)
    except (ValueError, RecursionError) as why:
        raise ProtocolError(f"not Janus server information ({type(why).__name__})") from None


def answer(what: str, envelope: Envelope) -> Answer:
    """What the plugin answered. Raises JanusError for a no, ProtocolError for nonsense."""
    refused(what, envelope)
    try:
        found = _answer.decode(envelope.plugindata.data)
    except (ValueError, RecursionError) as why:
        raise ProtocolError(f"{what}: not an answer of the VideoRoom plugin ({type(why).__name__})") from None
    if found.error_code:
        raise JanusError(what, found.error_code)
    return found


def refused(what: str, envelope: Envelope) -> None:
    """Raises ConfigError for a wrong API secret or token, JanusError for every other no of the core."""
    if envelope.janus != "error":
        return
    if envelope.error.code in UNAUTHORIZED:
        raise ConfigError("Janus refuses vcond: compare it with api_secret in janus.jcfg", "adapters.janus.api_secret")
    raise JanusError(what, envelope.error.code)


def encode(message: dict[str, Any]) -> str:
    """A request as it is sent."""
    return msgspec.json.encode(message).decode()


def clean(display: str) -> str:
    """A display name without line breaks and other control characters, at most 128 characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in display[: 4 * MOST_NAME]).split())[:MOST_NAME]
