"""The parties of a call as the parties of a vCon (core-04 section 4.2), and the daemon as one of them."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from vcond.call.events import PartyInfo
from vcond.call.hidden import NAME, shown
from vcond.call.state import Call
from vcond.vcon.building.attributes import Attributes
from vcond.vcon.model import CONSERVER_TEL, SIP_PARTY

_USER: Final = "-_.!~*'()&=+$,;?/"
"""Characters of a SIP user part that need no escape (RFC 3261 section 25.1)."""
_PASSPORT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def address(number: str, domain: str) -> str:
    """A number that is not a telephone number (an extension, ``*98``) as an addr-spec of the operator's domain.

    Without a domain the host says that it is not known (RFC 2606 ``.invalid``).
    """
    return f"{quote(number, safe=_USER)}@{domain or 'unknown.invalid'}"


def person(who: PartyInfo, domain: str = "") -> dict[str, Any]:
    """The fields of a party. A name without a validation gets ``none``; who hid the number is ``anonymous``."""
    party: dict[str, Any] = {}
    who = shown(who)
    if who.hidden:
        party["name"] = NAME
    else:
        tel = who.tel.removeprefix("tel:").strip()
        if CONSERVER_TEL.fullmatch(tel):
            party["tel"] = tel
        elif tel and not who.sip:
            party["sip"] = address(tel, domain)
        for field in ("sip", "mailto", "name"):
            if value := getattr(who, field):
                party[field] = value
        if who.name or who.validation:
            party["validation"] = who.validation or "none"
    for field in ("uuid", "type", "org", "dept", "role"):
        if value := getattr(who, field):
            party[field] = value
    return party


def parties_of(call: Call, facts: Attributes, domain: str = "", org: str = "") -> list[dict[str, Any]]:
    """All parties at their indices, the daemon behind them."""
    found = []
    for party in call.parties:
        fields = person(party.who, domain)
        for name in sorted(SIP_PARTY):
            if value := facts.take(name, party.index):
                fields[name] = value
        passport = facts.take("stir", party.index, _PASSPORT)
        if passport:
            fields["stir"] = passport
        found.append(fields)
    bot = {"name": call.recorder or "vcond", "validation": "none", "type": "bot"}
    return [*found, {**bot, "org": org} if org else bot]
