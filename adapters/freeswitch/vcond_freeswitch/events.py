"""What FreeSWITCH tells in an event: the few headers of interest out of 200, from JSON or plain text.

Two guards that JSON needs (both measured): a caller's display name in ISO-8859-1 makes it invalid UTF-8, and headers
that repeat are lists. SDP, addresses and auth users that events carry too are never taken.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from vcond.sdk.contract import ProtocolError
from vcond_freeswitch.wire import Frame

MAX_EVENT: Final = 1 << 20
"""Bytes of one event; the largest real ones have 12 kB."""
MAX_JOB: Final = 8 << 20
"""Bytes of the answer of a background job."""

HEADERS: Final = {
    "name": "Event-Name",
    "subclass": "Event-Subclass",
    "core": "Core-UUID",
    "stamp": "Event-Date-Timestamp",
    "leg": "Unique-ID",
    "old_leg": "Old-Unique-ID",
    "direction": "Call-Direction",
    "other": "Other-Leg-Unique-ID",
    "loopback": "variable_other_loopback_leg_uuid",
    "loopback_from": "variable_other_loopback_from_uuid",
    "bridge_a": "Bridge-A-Unique-ID",
    "bridge_b": "Bridge-B-Unique-ID",
    "channel": "Channel-Name",
    "call_state": "Channel-Call-State",
    "read_rate": "Channel-Read-Codec-Rate",
    "codec_channels": "variable_rtp_use_codec_channels",
    "caller_name": "Caller-Caller-ID-Name",
    "caller_number": "Caller-Caller-ID-Number",
    "callee_name": "Caller-Callee-ID-Name",
    "callee_number": "Caller-Callee-ID-Number",
    "hide_name": "Caller-Privacy-Hide-Name",
    "hide_number": "Caller-Privacy-Hide-Number",
    "dialed_user": "variable_dialed_user",
    "dialed_domain": "variable_dialed_domain",
    "invite_domain": "variable_sip_invite_domain",
    "shown_number": "variable_origination_caller_id_number",
    "destination": "Caller-Destination-Number",
    "context": "Caller-Context",
    "created": "Caller-Channel-Created-Time",
    "answered": "Caller-Channel-Answered-Time",
    "cause": "Hangup-Cause",
    "q850": "variable_hangup_cause_q850",
    "hung_up": "variable_sip_hangup_disposition",
    "sip_status": "variable_sip_term_status",
    "dialstatus": "variable_DIALSTATUS",
    "originated": "variable_originate_disposition",
    "transfer_to": "variable_transfer_to",
    "transfer_destination": "variable_transfer_destination",
    "transfer_source": "variable_transfer_source",
    "from_uri": "variable_sip_from_uri",
    "to_uri": "variable_sip_to_uri",
    "sip_call_id": "variable_sip_call_id",
    "app": "variable_current_application",
    "app_data": "variable_current_application_data",
    "bypass": "variable_bypass_media",
    "proxy": "variable_proxy_media",
    "queue_member": "variable_cc_member_session_uuid",
    "holds": "variable_hold_events",
    "exported": "variable_export_vars",
    "digit": "DTMF-Digit",
    "digit_samples": "DTMF-Duration",
    "record_path": "Record-File-Path",
    "record_samples": "variable_record_samples",
    "bug": "Media-Bug-Function",
    "bug_target": "Media-Bug-Target",
    "action": "Action",
    "conference": "Conference-Name",
    "conference_id": "Conference-Unique-ID",
    "cc_action": "CC-Action",
    "cc_queue": "CC-Queue",
    "cc_agent": "CC-Agent",
    "cc_agent_leg": "CC-Agent-UUID",
    "cc_member_leg": "CC-Member-Session-UUID",
    "api": "API-Command",
    "api_argument": "API-Command-Argument",
    "reason": "Reason",
    "seconds": "Seconds",
    "job": "Job-UUID",
    "body": "_body",
}
"""Our word for each header that is read."""

FIELDS: Final = {header: field for field, header in HEADERS.items()}
_IDS: Final = (
    "leg", "old_leg", "other", "loopback", "loopback_from", "bridge_a", "bridge_b", "cc_agent_leg", "cc_member_leg",
    "queue_member",
)  # fmt: skip
_ID: Final = re.compile(r"[A-Za-z0-9_.:@+=-]{0,128}")


class Event(msgspec.Struct, rename=HEADERS, kw_only=True):
    """One event, or a channel's dump; empty = not said."""

    name: str = ""
    subclass: str = ""
    core: str = ""
    stamp: str = ""
    leg: str = ""
    old_leg: str = ""
    direction: str = ""
    other: str = ""
    loopback: str = ""
    loopback_from: str = ""
    bridge_a: str = ""
    bridge_b: str = ""
    channel: str = ""
    call_state: str = ""
    read_rate: str = ""
    codec_channels: str = ""
    caller_name: str = ""
    caller_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    hide_name: str = ""
    hide_number: str = ""
    dialed_user: str = ""
    dialed_domain: str = ""
    invite_domain: str = ""
    shown_number: str = ""
    destination: str = ""
    context: str = ""
    created: str = ""
    answered: str = ""
    cause: str = ""
    q850: str = ""
    hung_up: str = ""
    sip_status: str = ""
    dialstatus: str = ""
    originated: str = ""
    transfer_to: str = ""
    transfer_destination: str = ""
    transfer_source: str = ""
    from_uri: str = ""
    to_uri: str = ""
    sip_call_id: str = ""
    app: str = ""
    app_data: str = ""
    bypass: str = ""
    proxy: str = ""
    queue_member: str = ""
    holds: str = ""
    exported: str = ""
    digit: str = ""
    digit_samples: str = ""
    record_path: str = ""
    record_samples: str = ""
    bug: str = ""
    bug_target: str = ""
    action: str = ""
    conference: str = ""
    conference_id: str = ""
    cc_action: str = ""
    cc_queue: str = ""
    cc_agent: str = ""
    cc_agent_leg: str = ""
    cc_member_leg: str = ""
    api: str = ""
    api_argument: str = ""
    reason: str = ""
    seconds: str = ""
    job: str = ""
    body: str = ""
    variables: dict[str, str] = {}
    """Channel variables that were asked for."""


LATIN: Final = "vcond-latin-1"
"""How bytes that are not UTF-8 are read: phones that do not send UTF-8 send ISO-8859-1."""


def _latin(why: UnicodeError) -> tuple[str, int]:
    if not isinstance(why, UnicodeDecodeError):
        raise why
    return why.object[why.start : why.end].decode("latin-1"), why.end


codecs.register_error(LATIN, _latin)

TELLING: Final = frozenset({"CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_HANGUP_COMPLETE"})
"""Events in which channel variables are looked for: to read one twice costs."""
_decoder: Final = msgspec.json.Decoder(Event)


def decode(frame: Frame, variables: Sequence[str] = ()) -> Event:
    """The event of a frame, with the channel variables of these names. Raises ProtocolError when it makes no sense."""
    limit = MAX_JOB if b"BACKGROUND_JOB" in frame.body[:1024] else MAX_EVENT
    if len(frame.body) > limit:
        raise ProtocolError("event too large")
    if frame.kind != "text/event-json":
        return from_plain(frame.body, variables)
    event = from_json(frame.body)
    if variables and event.name in TELLING:
        event.variables = _variables(frame.body, variables)
    return event


def _variables(body: bytes, names: Sequence[str]) -> dict[str, str]:
    """Channel variables in an event in JSON."""
    plain = json.loads(body.decode("utf-8", LATIN))  # it was read once before
    said = {name: plain.get(f"variable_{name}") for name in names}
    return {name: value for name, value in said.items() if isinstance(value, str)}


def from_json(body: bytes) -> Event:
    """An event in JSON. Raises ProtocolError when it is none."""
    try:
        event = _decoder.decode(body)
    except (ValueError, RecursionError):
        event = _from_odd_json(body)
    return _checked(event)


def _from_odd_json(body: bytes) -> Event:
    """JSON that is not UTF-8, or has lists where one value is usual."""
    try:
        plain = json.loads(body.decode("utf-8", LATIN))
    except (ValueError, RecursionError):
        raise ProtocolError("event is not JSON") from None
    if not isinstance(plain, dict):
        raise ProtocolError("event is not a JSON object")
    known: dict[str, Any] = {}
    for field, header in HEADERS.items():
        value: Any = plain.get(header, "")
        if isinstance(value, list):
            value = value[-1] if value else ""
        if not isinstance(value, str):
            raise ProtocolError("event with a value that is not text")
        known[field] = value
    return Event(**known)


def from_plain(body: bytes, variables: Sequence[str] = ()) -> Event:
    """An event, or the dump of a channel, as percent-encoded lines. Raises ProtocolError when it is none."""
    head, _, rest = body.partition(b"\n\n")
    known: dict[str, Any] = {}
    told: dict[str, str] = {}
    length = ""
    for line in head.decode("utf-8", "replace").split("\n"):
        header, colon, value = line.partition(": ")
        if not colon:
            continue
        field = FIELDS.get(header)
        if header.removeprefix("variable_") in variables:
            told[header.removeprefix("variable_")] = _last(unquote(value, errors=LATIN)) if "%" in value else value
        if field is not None:
            known[field] = _last(unquote(value, errors=LATIN)) if "%" in value else value
        elif header == "Content-Length":
            length = value
    if not known:
        raise ProtocolError("event without a known header")
    if length.isascii() and length.isdigit():
        known["body"] = rest[: int(length)].decode("utf-8", "replace")
    return _checked(Event(**known, variables=told))


def _last(value: str) -> str:
    """The last one of a header that repeats."""
    return value.rpartition("|:")[2] if value.startswith("ARRAY::") and "|:" in value else value


def _checked(event: Event) -> Event:
    for field in _IDS:
        value = getattr(event, field)
        if value and not _ID.fullmatch(value):
            raise ProtocolError("event with an invalid id")
    return event


def number(text: str) -> int:
    """A number, 0 when it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
