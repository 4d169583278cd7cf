"""What a vCon is made of, as data: names, values and the applicability table of draft-ietf-vcon-vcon-core-04.

A document is plain JSON (``dict`` of str, int, float, bool, list, dict). There is no object model on top of it: the
order of keys is the order of writing, and what is not known to us stays in it.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

Document = dict[str, Any]
"""A vCon in JSON values."""

SYNTAX: Final = "0.4.0"
"""The value of ``vcon`` (core-04 section 4.1)."""

MEMBERS: Final = ("parties", "dialog", "analysis", "attachments")
"""The arrays of an unsigned vCon; at least one should be there (section 5.4)."""

DISPOSITIONS: Final = frozenset({"no-answer", "congestion", "failed", "busy", "hung-up", "voicemail-no-message"})
HISTORY_EVENTS: Final = frozenset({"join", "drop", "hold", "unhold", "mute", "unmute", "keydown", "keyup"})
PARTY_TYPES: Final = frozenset({"person", "bot", "organization"})
ENCODINGS: Final = frozenset({"base64url", "json", "none"})

TOP: Final = frozenset(
    {
        "uuid", "created_at", "vcon", "updated_at", "subject", "extensions", "critical", "redacted", "amended",
        "parties", "dialog", "analysis", "attachments", "group",
    }
)  # fmt: skip
PARTY: Final = frozenset(
    {
        "tel", "sip", "stir", "mailto", "name", "validation", "did", "uuid", "type", "org", "dept", "gmlpos",
        "civicaddress",
    }
)  # fmt: skip
CONTENT: Final = frozenset({"mediatype", "filename", "body", "encoding", "url", "content_hash"})
ANALYSIS: Final = CONTENT | {"type", "vendor", "product", "schema", "dialog", "attachment"}
ATTACHMENT: Final = CONTENT | {"start", "party", "dialog", "purpose"}
CIVIC: Final = frozenset(
    {"country", "a1", "a2", "a3", "a4", "a5", "a6", "prd", "pod", "sts", "hno", "hns", "lmk", "loc", "flr", "nam", "pc"}
)  # fmt: skip

DialogType = Literal["recording", "recording-set", "text", "transfer", "incomplete"]
DIALOG_TYPES: Final[tuple[DialogType, ...]] = ("recording", "recording-set", "text", "transfer", "incomplete")

Mark = Literal["M", "S", "O", "SN", "X", "-"]
"""Must, should, optional, should not, must not, undefined."""

_TABLE_1: Final[dict[str, tuple[Mark, Mark, Mark, Mark, Mark]]] = {
    # parameter         recording set  text  transfer incomplete
    "type":            ("M", "M", "M", "M", "M"),
    "start":           ("S", "S", "S", "O", "S"),
    "duration":        ("O", "O", "O", "-", "O"),
    "parties":         ("S", "S", "S", "X", "O"),
    "originator":      ("O", "O", "O", "X", "O"),
    "recordings":      ("X", "M", "X", "X", "X"),
    "recording_set":   ("O", "X", "X", "X", "X"),
    "mediatype":       ("O", "X", "O", "X", "X"),  # must with a body: see the rules of content
    "filename":        ("O", "X", "O", "X", "X"),
    "body":            ("O", "X", "O", "X", "X"),  # one of body and url should be there: rules of content
    "url":             ("O", "X", "O", "X", "X"),
    "encoding":        ("O", "X", "O", "X", "X"),
    "content_hash":    ("O", "X", "O", "X", "X"),
    "disposition":     ("SN", "SN", "SN", "SN", "M"),
    "session_id":      ("O", "O", "O", "X", "O"),
    "party_history":   ("O", "O", "O", "X", "O"),
    "transferee":      ("X", "X", "X", "S", "X"),
    "transferor":      ("X", "X", "X", "S", "X"),
    "transfer_target": ("X", "X", "X", "O", "X"),
    "original":        ("X", "X", "X", "S", "X"),
    "target_dialog":   ("X", "X", "X", "S", "X"),
    "consultation":    ("X", "X", "X", "O", "X"),
    "application":     ("O", "O", "O", "O", "O"),
    "message_id":      ("O", "X", "O", "X", "X"),
}  # fmt: skip

APPLICABILITY: Final[dict[DialogType, dict[str, Mark]]] = {
    kind: {name: marks[column] for name, marks in _TABLE_1.items()} for column, kind in enumerate(DIALOG_TYPES)
}
"""Table 1 of core-04 section 4.3: what each type of dialog must, may and must not have."""

TRANSFER_PARTIES: Final = ("transferee", "transferor", "transfer_target")
TRANSFER_DIALOGS: Final[dict[str, frozenset[str]]] = {
    "original": frozenset({"recording", "recording-set", "text"}),
    "target_dialog": frozenset({"recording", "recording-set", "text", "incomplete"}),
    "consultation": frozenset({"recording", "recording-set", "text", "incomplete"}),
}

SIP_DIALOG: Final = frozenset({"sip_call_id", "sip_from_tag", "sip_to_tag", "sip_cseq"})
SIP_PARTY: Final = frozenset({"sip_contact", "sip_user_agent", "sip_display_name"})
CC_DIALOG: Final = frozenset({"campaign", "interaction_type", "interaction_id", "skill"})
CC_PARTY: Final = frozenset({"role", "contact_list"})
ROLES: Final = frozenset({"agent", "customer", "supervisor", "sme", "thirdparty"})
SIP_PURPOSES: Final = frozenset(
    {
        "sip-invite", "sip-response", "sip-ack", "sip-bye", "sip-cancel", "sip-update", "sip-refer",
        "sip-message-trace", "sip-headers", "sip-sdp", "stir-certificate", "stir-verification-report",
    }
)  # fmt: skip

WTF: Final = "wtf_transcription"
LAWFUL_BASIS: Final = "lawful_basis"
SIP: Final = "sip-signaling"
CC: Final = "CC"
EXTENSIONS: Final = frozenset({WTF, LAWFUL_BASIS, SIP, CC, "provenance"})
"""The extension tokens we know; a name in ``critical`` that is none of them forbids to process the vCon."""

CONSERVER_TEL: Final = re.compile(r"[+\d(][\d\s\-().+xX#*]{4,}")
"""What the deployed conserver takes as ``tel`` (full match); the specification itself allows more."""
CONTENT_HASH: Final = re.compile(r"[a-z0-9]{1,16}-[A-Za-z0-9_-]{16,256}")
MEDIATYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
SESSION: Final = re.compile(r"[0-9a-f]{32}")
NIL_SESSION: Final = "0" * 32

FileOf = Literal["audio/x-wav", "audio/flac", "audio/ogg"]
"""Media types of the recordings we write."""
