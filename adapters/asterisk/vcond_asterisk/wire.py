"""What Asterisk says over ARI: typed events, channels and bridges. No sockets, no clock.

Shapes are those of Asterisk's own ``rest-api/api-docs/{events,channels,bridges}.json`` (22.10; 18 to 23 agree on what
is read here). Unknown fields are ignored, fields that older versions do not send have a default.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from vcond.sdk.contract import Button, Instant, ProtocolError, parse_rfc3339

MAX_EVENT: Final = 1 << 20
"""Bytes of one event. The largest real ones (an attended transfer: six channels, three bridges) have 6 KB."""
MAX_LIST: Final = 32 << 20
"""Bytes of one list (``GET /channels``): 1 KB a channel."""

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
"""Ids are at most 149 characters (AST_MAX_UNIQUEID), names a little more."""

LINKEDID: Final = "CHANNEL(linkedid)"
"""The channel variable that names a conversation; in every event when ari.conf says so (``channelvars``)."""
PRESENTATION: Final = "CALLERID(pres)"
"""The one that says whether the caller hid the number: ``allowed_not_screened``, ``prohib_passed_screen``, ..."""
PRESENTATIONS: Final = (PRESENTATION, "CALLERID(num-pres)", "CALLERID(name-pres)")
"""That of number and name together, and of each; a site may have any of them in its ``channelvars``."""


class CallerId(msgspec.Struct, frozen=True):
    """A name and a number as the PBX shows them; neither is verified by anyone."""

    name: str = ""
    number: str = ""


class Dialplan(msgspec.Struct, frozen=True):
    """Where a channel is in the dialplan."""

    context: str = ""
    exten: str = ""
    app_name: str = ""
    app_data: str = ""


class Channel(msgspec.Struct, frozen=True):
    """One leg: ``PJSIP/agent-00000005``."""

    id: Id
    name: Id
    state: str = ""
    """Down, Reserved, OffHook, Dialing, Ring, Ringing, Up, Busy, ..."""
    protocol_id: str = ""
    """The SIP Call-ID, from Asterisk 18.something; empty until the INVITE was handled."""
    caller: CallerId = CallerId()
    """Of the channel's own party."""
    connected: CallerId = CallerId()
    """Of whom it talks to."""
    dialplan: Dialplan = Dialplan()
    channelvars: dict[str, str | None] = {}
    creationtime: str = ""
    language: str = ""
    accountcode: str = ""

    @property
    def presentation(self) -> str:
        """Whether the caller hid the number, empty when ari.conf does not send it."""
        said = [self.channelvars.get(name) or "" for name in PRESENTATIONS]
        return next((one for one in said if one.startswith("prohib")), next(filter(None, said), ""))

    @property
    def linkedid(self) -> str:
        """The conversation's id, empty when ari.conf does not send it."""
        return self.channelvars.get(LINKEDID) or ""

    @property
    def technology(self) -> str:
        """``PJSIP``, ``Local``, ``Snoop``: what stands before the first slash."""
        return self.name.partition("/")[0]

    @property
    def endpoint(self) -> str:
        """``PJSIP/agent``: the name without the number that makes it unique."""
        return endpoint(self.name)


class Bridge(msgspec.Struct, frozen=True):
    """What connects channels."""

    id: Id
    technology: str = ""
    """simple_bridge, softmix, native_rtp, holding_bridge."""
    bridge_type: str = ""
    """mixing, holding."""
    name: str = ""
    channels: list[str] = []


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all events."""

    timestamp: str = ""


class ApplicationReplaced(Event, tag=True, frozen=True):
    """Another client took our application; this socket gets nothing any more."""


class BridgeMerged(Event, tag=True, frozen=True):
    """The channels of ``bridge_from`` go over to ``bridge``."""

    bridge: Bridge
    bridge_from: Bridge


class BridgeDestroyed(Event, tag=True, frozen=True):
    """A bridge is gone."""

    bridge: Bridge


class BridgeTransfer(Event, frozen=True, kw_only=True):
    """Base of transfers."""

    result: str = ""

    @property
    def outcome(self) -> Literal["success", "failed"]:
        """Whether it was done."""
        return "success" if self.result == "Success" else "failed"


class BridgeBlindTransfer(BridgeTransfer, tag=True, frozen=True):
    """``channel`` sent the others to an extension without asking."""

    channel: Channel
    exten: str = ""
    transferee: Channel | None = None


class BridgeAttendedTransfer(BridgeTransfer, tag=True, frozen=True):
    """Somebody who talked to two sides connected them. There is no ``channel``."""

    transferer_first_leg: Channel
    transferer_second_leg: Channel
    transferee: Channel | None = None
    transfer_target: Channel | None = None


class ChannelCallerId(Event, tag=True, frozen=True):
    """The channel's own name or number changed."""

    channel: Channel


class ChannelConnectedLine(Event, tag=True, frozen=True):
    """The name or number of whom it talks to changed."""

    channel: Channel


class ChannelCreated(Event, tag=True, frozen=True):
    """A channel is there."""

    channel: Channel


class ChannelDestroyed(Event, tag=True, frozen=True):
    """A channel is gone."""

    channel: Channel
    cause: int = 0
    """ITU-T Q.850."""
    tech_cause: int | None = None
    """SIP status, from Asterisk 20 or so, when there is one."""


class ChannelDialplan(Event, tag=True, frozen=True):
    """A channel goes on to another application of the dialplan."""

    channel: Channel
    dialplan_app: str = ""


class ChannelDtmfReceived(Event, tag=True, frozen=True):
    """A digit, stamped when the key came up."""

    channel: Channel
    digit: Button
    duration_ms: int = 0


class ChannelEnteredBridge(Event, tag=True, frozen=True):
    """A channel is in a bridge; ``bridge.channels`` has it already."""

    bridge: Bridge
    channel: Channel | None = None


class ChannelHangupRequest(Event, tag=True, frozen=True):
    """Somebody wants a channel to end: its own party unless ``soft``."""

    channel: Channel
    cause: int = 0
    soft: bool = False


class ChannelHold(Event, tag=True, frozen=True):
    """The party of ``channel`` put the others on hold."""

    channel: Channel
    musicclass: str = ""
    """``N/A`` when Asterisk does it for a feature (``#1``, ``*2``)."""


class ChannelLeftBridge(Event, tag=True, frozen=True):
    """A channel is no longer in a bridge."""

    bridge: Bridge
    channel: Channel


class ChannelStateChange(Event, tag=True, frozen=True):
    """Ringing, Up, ..."""

    channel: Channel


class ChannelUnhold(Event, tag=True, frozen=True):
    """The party of ``channel`` took the others back."""

    channel: Channel


class ChannelUserevent(Event, tag=True, frozen=True):
    """The dialplan (``UserEvent``), or a program, said something of its own, of a channel or of none."""

    eventname: str
    userevent: dict[str, Any] = {}
    """What it said, by names, the event's own among them."""
    channel: Channel | None = None


class ChannelVarset(Event, tag=True, frozen=True):
    """A channel (or, without one, a global) variable was set."""

    variable: str
    value: str = ""
    channel: Channel | None = None


class Dial(Event, tag=True, frozen=True):
    """How dialling ``peer`` goes: ``""`` (begins), RINGING, ANSWER, BUSY, CANCEL, NOANSWER, CONGESTION, CHANUNAVAIL."""

    peer: Channel
    dialstatus: str = ""
    dialstring: str = ""
    """What was dialled, without the technology: ``15550100200@trunk``. In the first event of a peer only."""
    caller: Channel | None = None


class StasisStart(Event, tag=True, frozen=True):
    """A channel is in our application and can be controlled."""

    channel: Channel


class StasisEnd(Event, tag=True, frozen=True):
    """A channel left our application."""

    channel: Channel


AnyEvent = (
    ApplicationReplaced | BridgeAttendedTransfer | BridgeBlindTransfer | BridgeDestroyed | BridgeMerged
    | ChannelCallerId | ChannelConnectedLine | ChannelCreated | ChannelDestroyed | ChannelDialplan | ChannelDtmfReceived
    | ChannelEnteredBridge | ChannelHangupRequest | ChannelHold | ChannelLeftBridge | ChannelStateChange
    | ChannelUnhold | ChannelUserevent | ChannelVarset | Dial | StasisEnd | StasisStart
)  # fmt: skip

READ: Final = tuple(sorted(kind.__name__ for kind in AnyEvent.__args__))
"""The types of events that mean something to us; the event filter asks for these and no others."""


T = TypeVar("T")


class _Head(msgspec.Struct):
    type: str


_head: Final = msgspec.json.Decoder(_Head)
_event: Final = msgspec.json.Decoder(AnyEvent)
_channels: Final = msgspec.json.Decoder(list[Channel])
_bridges: Final = msgspec.json.Decoder(list[Bridge])


def decode_event(text: str | bytes) -> Event | None:
    """One message of the event socket; None when its type means nothing to us.

    Raises ProtocolError when it is no event, larger than ``MAX_EVENT``, or has fields of wrong types.
    """
    if len(text) > MAX_EVENT:
        raise ProtocolError(f"ARI event of {len(text)} bytes; the limit is {MAX_EVENT}")
    kind = ""
    try:
        kind = _head.decode(text).type
        return _event.decode(text) if kind in READ else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise ProtocolError(f"not an ARI event: {kind if kind in READ else 'not a JSON object with a type'}") from why


def decode_channels(body: bytes) -> list[Channel]:
    """The answer to ``GET /channels``. Raises ProtocolError."""
    return _list(_channels, body, "channels")


def decode_bridges(body: bytes) -> list[Bridge]:
    """The answer to ``GET /bridges``. Raises ProtocolError."""
    return _list(_bridges, body, "bridges")


def _list(decoder: msgspec.json.Decoder[list[T]], body: bytes, what: str) -> list[T]:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise ProtocolError(f"not a list of {what}") from why


def stamp(event: Event) -> Instant | None:
    """When Asterisk says that it happened (``2026-11-22T09:27:42.555+0000``), on its own clock; None without."""
    try:
        return parse_rfc3339(event.timestamp)
    except ValueError:
        return None


def endpoint(name: str) -> str:
    """``PJSIP/agent`` of ``PJSIP/agent-00000005`` or ``PJSIP/agent-00000005<ZOMBIE>``; a name without number as it is."""
    base, dash, number = name.removesuffix("<ZOMBIE>").rpartition("-")
    return base if dash and number and all(c in "0123456789abcdefABCDEF;" for c in number) else name
