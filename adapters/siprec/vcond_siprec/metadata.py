"""RFC 7865 metadata, in every spelling that clients have for it, as one document. Pure.

Elements and attributes are told by their local names, whatever the namespace: ``x_id`` or ``id``, ``session_id`` or
``session``, ``send`` inside the association or inside the participant, as text or with an ``<id>`` of its own. What a
document says is kept as it says it; what becomes of several is ``participants``'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import Instant, ProtocolError, is_consent, parse_rfc3339
from vcond_siprec.xmltree import Element, make_out, read

MOST: Final = 200
"""Participants, streams, sessions and associations, each, of one document."""
MOST_SENDS: Final = 64
"""Streams that one participant sends, or receives."""
MOST_EXTRAS: Final = 24
"""Values of vendors' extensions that are kept."""
EXTRA_NAME: Final = 64
MAX_ID: Final = 256
_YOUNGEST: Final = 946_684_800_000_000_000
"""2000-01-01 in ns. Some clients have no clock and stamp from 1970: no time at all."""
_KNOWN: Final = frozenset({
    "recording", "recording_metadata", "datamode", "group", "group-ref", "session", "sipsessionid", "start-time", "stop-time",
    "reason", "participant", "nameid", "name", "aor", "send", "recv", "id", "stream", "label", "mode", "associate-time",
    "disassociate-time", "participantsessionassoc", "participantstreamassoc", "sessionrecordingassoc", "extensiondata",
})  # fmt: skip
"""Elements that are looked for in what is not well-formed."""
_OURS: Final = _KNOWN - {"extensiondata"}
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})


@dataclass(frozen=True, slots=True)
class Participant:
    """One ``participant``."""

    id: str
    aor: str = ""
    """As it stands."""
    name: str = ""
    calling: bool | None = None
    """Whether a vendor's extension says that it is the caller; None when none says anything."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One ``stream``."""

    id: str
    label: str | None
    mixed: bool = False
    """It says that several are heard on it."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A participant is in a session, or was (``participantsessionassoc``)."""

    participant: str
    since: Instant | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What a participant sends (``participantstreamassoc``)."""

    participant: str
    streams: tuple[str, ...] = ()
    over: bool = False
    """It sends them no more."""


@dataclass(frozen=True, slots=True)
class Document:
    """What one document says. Ids that are empty name nothing and are left out."""

    complete: bool = True
    well_formed: bool = True
    sessions: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Of ``group-ref``, and of ``group`` where no session refers to one."""
    sip_sessions: tuple[str, ...] = ()
    """``sipSessionID``: a Call-ID, or ``local;remote=...`` of RFC 7989."""
    began: Instant | None = None
    """The earliest start or association of a session that it tells."""
    participants: tuple[Participant, ...] = ()
    streams: tuple[Stream, ...] = ()
    presences: tuple[Presence, ...] = ()
    sendings: tuple[Sending, ...] = ()
    extras: dict[str, str] = field(default_factory=dict)
    """What vendors add, by the local name of the element."""

    @property
    def empty(self) -> bool:
        """Whether it says nothing of anybody."""
        return not (self.participants or self.streams or self.presences or self.sendings)


def parse(text: bytes) -> Document:
    """A document. What is not well-formed is made out as far as possible; raises ProtocolError when that is nothing."""
    try:
        return _document(read(text), well_formed=True)
    except ProtocolError:
        found = make_out(text, _KNOWN)
    document = _document(found, well_formed=False)
    if document.empty and not document.sessions:
        raise ProtocolError("metadata cannot be read")
    return document


def _document(root: Element, *, well_formed: bool) -> Document:
    """The document in a tree: the objects lie below the root, or one level deeper where the root is not theirs."""
    if root.name != "recording_metadata" and not any(root.all("participant")) and not any(root.all("session")):
        root = root.first("recording_metadata") or root.first("recording") or root
    people = list(_most(root, "participant"))
    sessions = list(_most(root, "session"))
    refs = [session.say("group-ref") or session.attribute("group_id", "group") for session in sessions]
    groups = [ref for ref in refs if ref] or [group.attribute("group_id", "id") for group in _most(root, "group")]
    return Document(
        complete=root.say("datamode").lower() != "partial",
        well_formed=well_formed,
        sessions=_ids(session.attribute("session_id", "id") for session in sessions),
        groups=_ids(groups),
        sip_sessions=_ids(session.say("sipsessionid") for session in sessions),
        began=_began(root, sessions),
        participants=tuple(one for one in map(_participant, people) if one.id),
        streams=tuple(one for one in map(_stream, _most(root, "stream")) if one.id),
        presences=_presences(root, people),
        sendings=_sendings(root, people),
        extras=_extras(root),
    )


def _most(root: Element, name: str) -> list[Element]:
    return list(root.all(name))[:MOST]


def _ids(found: Iterable[str]) -> tuple[str, ...]:
    """Ids that are any, each once."""
    return tuple(dict.fromkeys(clean(one)[:MAX_ID] for one in found if one.strip()))


def _participant(element: Element) -> Participant:
    """``nameID@aor`` or ``<aor>``; of several names the first."""
    named = element.first("nameid")
    aor = (named.attribute("aor") if named is not None else "") or element.say("aor")
    name = (named.say("name") if named is not None else "") or element.say("name")
    flag = next((one.text.lower() for one in _leaves(element) if one.name == "callingparty"), "")
    calling = True if flag in _TRUE else False if flag in _FALSE else None
    return Participant(_id(element, "participant"), clean(aor), clean(name), calling)


def _stream(element: Element) -> Stream:
    label = element.first("label")
    return Stream(
        _id(element, "stream"), None if label is None else clean(label.text), element.say("mode").lower() == "mixed"
    )


def _id(element: Element, kind: str) -> str:
    return clean(element.attribute(f"{kind}_id", "id"))[:MAX_ID]


def _presences(root: Element, people: list[Element]) -> tuple[Presence, ...]:
    told = [(_id(one, "participant"), one) for one in _most(root, "participantsessionassoc")]
    told += [(_id(one, "participant"), one) for one in people if one.attribute("session", "session_id")]
    return tuple(
        Presence(name, _moment(one.say("associate-time")), _moment(one.say("disassociate-time"), given=True))
        for name, one in told if name
    )  # fmt: skip


def _sendings(root: Element, people: list[Element]) -> tuple[Sending, ...]:
    told = [(_id(one, "participant"), one) for one in _most(root, "participantstreamassoc")]
    told += [(_id(one, "participant"), one) for one in people if any(one.all("send"))]
    return tuple(
        Sending(
            name,
            _ids(send.say("id") or send.text for send in list(one.all("send"))[:MOST_SENDS]),
            over=bool(one.say("disassociate-time")),
        )
        for name, one in told if name
    )  # fmt: skip


def _began(root: Element, sessions: list[Element]) -> Instant | None:
    said = [session.say("start-time") or session.say("associate-time") for session in sessions]
    said += [one.say("associate-time") for one in _most(root, "sessionrecordingassoc")]
    return min((moment for moment in map(_moment, said) if moment is not None), default=None)


def _moment(text: str, *, given: bool = False) -> Instant | None:
    """A time: with ``Z``, ``+00:00``, ``+0000`` or nothing, which is taken as UTC. None for none and for 1970.

    With ``given`` a time that says nothing is 0: that it is there says that something is over.
    """
    nothing = Instant(0) if given and text.strip() else None
    text = text.strip()[:40]
    if len(text) > 5 and text[-5] in "+-" and text[-4:].isdecimal():
        text = f"{text[:-2]}:{text[-2:]}"
    elif text and text[-1] not in "Zz" and "+" not in text and text[-6:-5] != "-":
        text += "Z"
    try:
        moment = parse_rfc3339(text)
    except (ValueError, OverflowError):
        return nothing
    return moment if moment >= _YOUNGEST else nothing


def _leaves(element: Element) -> list[Element]:
    """Elements below one that hold text and no elements."""
    found: list[Element] = []
    left = list(element.children)
    while left:
        one = left.pop(0)
        if one.children:
            left = [*one.children, *left]
        else:
            found.append(one)
    return found


def _extras(root: Element) -> dict[str, str]:
    """What vendors add at the top, or to the session: values by name; who is who is not told by them."""
    added = [one for one in root.children if one.name not in _OURS]
    for session in root.all("session"):
        added += [one for one in session.children if one.name not in _OURS]
    found: dict[str, str] = {}
    words: list[tuple[str, str]] = []  # of consent: each party may have its own
    for leaf in [leaf for one in added for leaf in (_leaves(one) or [one])]:
        value = clean(leaf.text)
        name = leaf.name[:EXTRA_NAME]
        if value and is_consent(name):
            words.append((name, value))
        elif value and len(found) < MOST_EXTRAS:
            found.setdefault(name, value)
    for number, (name, value) in enumerate(words[:MOST_EXTRAS], 1):
        found[name if number == 1 else f"{name}.{number}"] = value
    return found
