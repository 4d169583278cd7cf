"""Which calls a table of the configuration is for: ``match = {...}``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

if TYPE_CHECKING:  # who reads the configuration needs the names of a match, and not what a call is
    from vcond.call.state import Call

DIALLED: Final = "dialled"
"""The fact in which adapters of PBXs keep what the caller dialled."""
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]


class Match(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which calls a table is for: all that is named must be so. A text that ends in ``*`` is a beginning."""

    adapter: Annotated[str, Meta(max_length=64)] = ""
    """Name of the adapter."""
    dialled: Annotated[str, Meta(max_length=256)] = ""
    """What the caller dialled, as the PBX writes it: ``+4930*``."""
    attributes: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=128)], Pattern], Meta(max_length=20)] = {}
    """Attributes and tags of the call by name, as its vCon shows them: ``{ "parameter.lang" = "de" }``."""


def matches(match: Match, call: Call) -> bool:
    """Whether all that is named is so."""
    if match.adapter and match.adapter != call.adapter:
        return False
    if match.dialled and not _any(match.dialled, _dialled(call)):
        return False
    return all(_any(pattern, _said(call, name)) for name, pattern in match.attributes.items())


def unreachable(rules: Sequence[Match]) -> tuple[int, int] | None:
    """Of rules of which the first counts: one that no call comes to, and the one before that takes them all; by their places."""
    for later, match in enumerate(rules):
        for earlier in range(later):
            if rules[earlier] in (Match(), match):
                return later, earlier
    return None


def _dialled(call: Call) -> Sequence[str]:
    """What the caller dialled, as the PBX says; where it does not, the numbers of whoever is not the caller."""
    said = [fact.value for fact in call.facts if fact.name == DIALLED]
    return said or [number for party in call.parties[1:2] for number in (party.who.tel, party.who.sip) if number]


def _said(call: Call, name: str) -> Iterable[str]:
    """Every value of a fact or tag, of the call or of any party."""
    return [fact.value for fact in call.facts if fact.name == name] + [value for tag, value in call.tags if tag == name]


def _any(pattern: str, values: Iterable[str]) -> bool:
    """Whether a value is the pattern, or begins with it when it ends in ``*``."""
    if pattern.endswith("*"):
        return any(value.startswith(pattern[:-1]) for value in values)
    return any(value == pattern for value in values)
