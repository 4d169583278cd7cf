"""Which extensions a document uses: seen from what is in it, so that ``extensions`` is never a guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vcond.vcon.model import (
    CC,
    CC_DIALOG,
    CC_PARTY,
    LAWFUL_BASIS,
    SIP,
    SIP_DIALOG,
    SIP_PARTY,
    SIP_PURPOSES,
    WTF,
    Document,
)


def used(document: Document) -> list[str]:
    """The tokens of the extensions in use that we know, in a fixed order."""
    found = {name for party in _objects(document, "parties") for name in of_names(party, CC_PARTY, SIP_PARTY)}
    found |= {name for dialog in _objects(document, "dialog") for name in of_names(dialog, CC_DIALOG, SIP_DIALOG)}
    if any(one.get("type") == WTF for one in _objects(document, "analysis")):
        found.add(WTF)
    for one in _objects(document, "attachments"):
        purpose = one.get("purpose")
        if purpose == LAWFUL_BASIS:
            found.add(LAWFUL_BASIS)
        elif isinstance(purpose, str) and purpose in SIP_PURPOSES:
            found.add(SIP)
    return [name for name in (WTF, LAWFUL_BASIS, SIP, CC) if name in found]


def of_names(item: Mapping[str, Any], contact_center: frozenset[str], sip: frozenset[str]) -> Iterable[str]:
    """The extensions that the parameters of a party or dialog belong to."""
    if not contact_center.isdisjoint(item):
        yield CC
    if not sip.isdisjoint(item):
        yield SIP


def _objects(document: Document, member: str) -> list[dict[str, Any]]:
    items = document.get(member)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
