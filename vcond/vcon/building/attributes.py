"""Where the facts that only a platform knows go in a vCon. The names are in docs/vcon.md; the rest is kept as it is."""

from __future__ import annotations

import re
from typing import Any, Final

from vcond.call.events import CallAttribute
from vcond.call.state import Call
from vcond.vcon.model import NIL_SESSION

_SESSION: Final = re.compile(r"([0-9a-fA-F]{32})(?:\s*;\s*remote\s*=\s*([0-9a-fA-F]{32}))?")
"""A Session-ID header (RFC 7989 section 5)."""
_CSEQ: Final = re.compile(r"(\d{1,10})(?:\s+[A-Z]+)?")


_IDENTITY: Final = frozenset(
    {"from", "f", "contact", "m", "identity", "remote-party-id", "p-asserted-identity", "p-preferred-identity",
     "p-called-party-id", "referred-by", "reply-to", "diversion", "history-info", "authorization", "proxy-authorization"}
)  # fmt: skip
"""Headers that name whoever sent them, or whoever a call comes from (RFC 3323 section 4.1)."""
_OF_CALLER: Final = re.compile(
    r"(?:orig(?:inal)?|raw|real|true|remote|sip|incoming|inbound)?"
    r"(?:(?:from|caller|callerid|callingparty|calling|ani|cli|clid|cid|phone|msisdn)(?:id)?|(?:customer|client|user|contact)(?=.))"
    r"(?:num|number|phone|phonenumber|name|tel|telephone|all|uri|address|e164|mobile|msisdn)?(?:\d*)"
)
"""Names of parameters and variables that say who calls, without case and separators: ``Caller_Number``, ``CALLERID(num)``."""
_NUMBER: Final = re.compile(r"\+[0-9][0-9 ().\-]{5,24}[0-9]|(?:sips?|tel|mailto):\S", re.IGNORECASE)
"""A telephone number or address somewhere in a value."""
_DESTINATION: Final = frozenset({"dialled", "queue", "sip_call_id"})


class _Secret:
    """What would show a party of the call that hid who it is."""

    def __init__(self, call: Call) -> None:
        self._parties = [party.index for party in call.parties if party.who.hidden]
        self._known = {
            part.lower()
            for party in call.parties if party.who.hidden
            for field in (party.told.tel, party.told.sip, party.told.mailto, party.told.name)
            if len(part := _digits(field) or field) > 3
        }  # fmt: skip
        self._others = {_digits(party.who.tel or party.who.sip) for party in call.parties if not party.who.hidden}

    def told_by(self, fact: CallAttribute) -> bool:
        """Whether a fact would show it. One too many is left out rather than one too few."""
        if not self._parties:
            return False
        kind, _, name = fact.name.partition(".")
        if kind == "sip_header":
            return name.lower() in _IDENTITY or self._named_in(fact.value)
        if kind == "stir":
            return fact.party is None or fact.party in self._parties
        if fact.name in _DESTINATION:
            return False
        plain = re.sub(r"[^a-z0-9]", "", (name or kind).lower())
        if kind in {"parameter", "variable"} and 0 in self._parties and _OF_CALLER.fullmatch(plain):
            return True
        strange = _NUMBER.search(fact.value) and _digits(fact.value) not in self._others
        return bool(strange) or self._named_in(fact.value)

    def _named_in(self, value: str) -> bool:
        return any(known in value.lower() or known in _digits(value) for known in self._known)


def _digits(text: str) -> str:
    """The digits of a number, of an address those of its user part; empty when there are not enough of them."""
    digits = re.sub(r"\D", "", text.partition("@")[0])
    return digits if len(digits) > 6 else ""


class Attributes:
    """The facts of a call; what has been put somewhere is no longer among the ``rest``.

    Of a party that hid who it is nothing is among them that would show it.
    """

    def __init__(self, call: Call) -> None:
        secret = _Secret(call)
        self._facts = {(fact.name, fact.party): fact.value for fact in call.facts if not secret.told_by(fact)}
        self._taken: set[tuple[str, int | None]] = set()

    def take(self, name: str, party: int | None = None, shape: re.Pattern[str] | None = None) -> str:
        """The value of a fact, or empty when there is none or it has not the shape (then it stays in the rest)."""
        value = self._facts.get((name, party), "")
        if not value or (shape is not None and not shape.fullmatch(value)):
            return ""
        self._taken.add((name, party))
        return value

    def first(self, name: str, parties: list[int], shape: re.Pattern[str] | None = None) -> str:
        """The value that the call has, or the first of these parties that has one."""
        return next(filter(None, (self.take(name, who, shape) for who in (None, *parties))), "")

    def headers(self) -> list[tuple[int | None, dict[str, str]]]:
        """Attributes named ``sip_header.<Name>``, by party."""
        found: dict[int | None, dict[str, str]] = {}
        for (name, party), value in self._facts.items():
            if name.startswith("sip_header.") and len(name) > len("sip_header."):
                found.setdefault(party, {})[name.removeprefix("sip_header.")] = value
                self._taken.add((name, party))
        return list(found.items())

    def rest(self) -> list[dict[str, Any]]:
        """What nobody took: name, value and, unless it is of the whole call, party."""
        return [
            {"name": name, "value": value} | ({} if party is None else {"party": party})
            for (name, party), value in self._facts.items()
            if (name, party) not in self._taken
        ]


def session(text: str) -> dict[str, str]:
    """A Session-ID header as SessionId (core-04 section 2.2); empty when it is none."""
    match = _SESSION.fullmatch(text)
    if match is None:
        return {}
    return {"local": match[1].lower(), "remote": (match[2] or NIL_SESSION).lower()}


def of_dialog(facts: Attributes, parties: list[int]) -> dict[str, Any]:
    """The parameters of a dialog that come from facts: sip-signaling, CC and session_id."""
    found: dict[str, Any] = {}
    whole = session(facts.take("session_id", None, _SESSION))
    each = [session(facts.take("session_id", party, _SESSION)) for party in parties]
    if whole:
        found["session_id"] = whole
    elif any(each):
        found["session_id"] = each
    for name in ("sip_call_id", "sip_from_tag", "sip_to_tag"):
        if value := facts.first(name, parties):
            found[name] = value
    if match := _CSEQ.fullmatch(facts.first("sip_cseq", parties, _CSEQ)):
        found["sip_cseq"] = int(match[1])
    for name, sources in _CC:
        if value := next(filter(None, (facts.first(source, parties) for source in sources)), ""):
            found[name] = value
    return found


_CC: Final = (
    ("campaign", ("campaign",)),
    ("interaction_type", ("interaction_type",)),
    ("interaction_id", ("interaction_id", "linkedid")),
    ("skill", ("skill", "queue")),
)
