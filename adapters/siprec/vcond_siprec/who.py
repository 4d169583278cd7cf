"""Who a participant is: addresses and names as recording clients write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final
from urllib.parse import unquote

from vcond.sdk import TEL, USER, clean
from vcond.sdk.contract import PartyInfo, hides
from vcond_siprec.metadata import Document, Participant

_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
_SCHEME: Final = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_WITHIN: Final = re.compile(r"[\s().\-]")
"""What people write between the digits of a number."""
_BRACKETS: Final = re.compile(r"<([^<>]+)>")
_ADDRESS: Final = re.compile(r"<([^<>]*)>|((?:sips?|tel):[^\s<>;,\"]+)", re.IGNORECASE)
_DISPLAY: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^"<]*?))\s*<')
_NEAR: Final = re.compile(r";\s*x-nearend\s*[;>]", re.IGNORECASE)
_FAR: Final = re.compile(r";\s*x-farend\s*[;>]", re.IGNORECASE)
_FAR_ADDRESS: Final = re.compile(r";\s*x-farendaddr\s*=\s*([^\s;<>\"]{1,200})", re.IGNORECASE)
_INDEX: Final = re.compile(r';\s*media-index\s*=\s*"?([0-9]{1,3})"?', re.IGNORECASE)
MOST_IN_HEADERS: Final = 16
"""Participants that headers name."""


def who(participant: Participant) -> PartyInfo:
    """What a record shows of a participant. Nothing of it was verified by anybody.

    The address is ``sip:``, ``sips:`` or ``tel:``, or has no scheme; its parameters and its port are left out. A user
    part of seven digits and more is a telephone number.
    """
    bracketed = _BRACKETS.search(participant.aor)
    address = _SCHEME.sub("", bracketed[1] if bracketed else participant.aor.strip(), count=1)
    user, at, rest = address.rpartition("@")
    if not at:
        user, rest = rest, ""
    user = unquote(user.partition(";")[0]).partition(":")[0].strip()
    bare = _WITHIN.sub("", user)
    tel = bare if TEL.fullmatch(bare) else ""
    found = _HOST.match(rest)
    host = found[0] if found else ""
    sip = f"{user}@{host}" if not tel and host and USER.fullmatch(user) else ""
    name = clean(participant.name)
    name = "" if name in {user, bare, f"{user}@{host}"} else name
    hidden = not tel and hides(PartyInfo(tel=user, sip=f"{user}@{host}" if host else ""))
    if not tel and not sip and not name:
        name = clean(user)
    return PartyInfo(tel=tel, sip=sip, name=name, validation="none" if name else "", hidden=hidden)


def same(aor: str) -> str:
    """What two addresses of one person have in common: number, or user and host; empty for nobody and who hides."""
    return same_as(who(Participant("", aor)))


def same_as(one: PartyInfo) -> str:
    """The same, of what a record shows of a person."""
    if hides(one):
        return ""
    return one.tel.removeprefix("+") or one.sip.lower()


def from_headers(headers: Iterable[tuple[str, str]]) -> Document:
    """Who takes part, by headers, where there is no metadata: in the order of the media lines. Names in lower case.

    Ids are their addresses: another address is somebody else.

    Cisco names them in ``X-Cisco-Recording-Participant`` with the line's number, or makes two calls of a phone's, one of
    what it says and one of what it hears, and says in ``From`` which is which; others have ``P-Asserted-Identity``.
    """
    told = list(headers)
    people = list(_indexed(value for name, value in told if name == "x-cisco-recording-participant"))
    if not people and (far := next((value for name, value in told if name == "from" and _FAR.search(value)), "")):
        address = _FAR_ADDRESS.search(far)  # all else, the asserted identity too, names the phone
        people = [Participant(f"header {clean(address[1])}", clean(address[1]))] if address else []
    elif not people:
        said = [value for name, value in told if name in {"p-asserted-identity", "remote-party-id"}]
        said += [value for name, value in told if name == "from" and _NEAR.search(value)]
        people = list(_asserted(said))
    return Document(participants=tuple(people[:MOST_IN_HEADERS]))


def _indexed(values: Iterable[str]) -> Iterator[Participant]:
    found: list[tuple[int, str]] = []
    for value in values:
        address, index = _ADDRESS.search(value), _INDEX.search(value)
        if address:
            found.append((int(index[1]) if index else len(found), _either(address)))
    for _, aor in sorted(found, key=itemgetter(0)):
        yield Participant(f"header {clean(aor)}", clean(aor))


def _asserted(values: Iterable[str]) -> Iterator[Participant]:
    """The first identity that a request asserts; its second, where it is a ``tel:``, is the same person's."""
    for value in values:
        address, display = _ADDRESS.search(value), _DISPLAY.match(value)
        if address:
            name = (display[1] or display[2] or "") if display else ""
            aor = clean(_either(address))
            yield Participant(f"header {aor}", aor, clean(name.replace("\\", "")))
            return


def _either(address: re.Match[str]) -> str:
    """The address in angle brackets, or without them."""
    return address[1] or address[2] or ""
