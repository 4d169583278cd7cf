"""Addresses of a publisher: those in its offer, and those that it sends later (trickle ICE). Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

from vcond.sdk.contract import ProtocolError

FRAGMENT: Final = "application/trickle-ice-sdpfrag"
"""Media type of RFC 8840 section 9."""
LARGEST_FRAGMENT: Final = 16 << 10
"""Bytes; Chromium's have 200 to 2,000."""
MOST_CANDIDATES: Final = 64
"""Addresses that a publisher may make us send connectivity checks to, in its offer and later."""
LINE: Final = re.compile(r"a=[\x21-\x7e][\x20-\x7e]*|m=[a-z]+ [0-9]{1,5} [A-Z/]+( [A-Za-z0-9-]+)+")
CANDIDATE: Final = re.compile(
    r"candidate:[A-Za-z0-9+/]{1,32} ([0-9]{1,3}) ([A-Za-z0-9-]{1,16}) [0-9]{1,10} (\S{1,255}) ([0-9]{1,5}) typ (\S+)( .*)?"
)
"""Component, transport, address, port, type (RFC 8839 section 5.1)."""
DIRECTION: Final = re.compile(r"^a=(?:sendrecv|sendonly|recvonly|inactive)(?=\r)", re.MULTILINE)
TYPES: Final = frozenset({"host", "srflx", "relay"})


class Section(NamedTuple):
    """What a fragment says of one media section."""

    mid: str
    ufrag: str
    password: str
    """Both empty when it names none."""
    candidates: tuple[str, ...]
    """As in SDP, without ``a=``."""


def sections(fragment: str) -> list[Section]:
    """The media sections of a fragment (RFC 8840 section 9). Raises ProtocolError for what is none."""
    common, *parts = [[]] if not fragment.strip() else _split(fragment)
    if not parts:
        raise ProtocolError("the fragment has no media section")
    ufrag, password = _value(common, "ice-ufrag"), _value(common, "ice-pwd")
    if any(line.startswith("candidate:") for line in common):
        raise ProtocolError("the fragment has a candidate before its media section")
    return [_section(lines, ufrag, password) for lines in parts]


def usable(candidate: str) -> bool:
    """Whether a check can be sent there: a UDP address, and no name. Raises ProtocolError for what is no candidate.

    Names of multicast DNS hide the address of who has not granted a microphone; to look one up would be to ask the
    whole network for it, and is of no use: the publisher finds us by its own checks.
    """
    found = CANDIDATE.fullmatch(candidate)
    if found is None:
        raise ProtocolError("a candidate has the wrong form")
    component, transport, host, port, kind, _ = found.groups()
    if transport.lower() != "udp" or component != "1" or kind not in TYPES or not 0 < int(port) < 65_536:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified or "%" in host)


def reachable(offer: str) -> str:
    """An offer with its usable candidates only, and open for more. Raises ProtocolError for what is no candidate."""
    kept = []
    for line in offer.splitlines():
        if line == "a=end-of-candidates" or (line.startswith("a=candidate:") and not usable(line[2:])):
            continue
        kept.append(f"{line}\r\n")
    return "".join(kept)


def directed(offer: str) -> str:
    """An offer whose media sections all say a direction: the session's, or sendrecv (RFC 8866 section 6.7).

    It has CRLF line ends and is closed by one, as ``reachable`` leaves it. aiortc knows no default.
    """
    common, *parts = re.split(r"^(?=m=)", offer, flags=re.MULTILINE)
    said = DIRECTION.search(common)
    default = f"{said[0] if said else 'a=sendrecv'}\r\n"
    return common + "".join(part if DIRECTION.search(part) else part + default for part in parts)


def _split(fragment: str) -> list[list[str]]:
    """Attribute lines without ``a=``: those of the session, then those of each media section."""
    parts: list[list[str]] = [[]]
    for line in fragment.removesuffix("\n").removesuffix("\r").replace("\r\n", "\n").split("\n"):
        if not LINE.fullmatch(line):
            raise ProtocolError("the fragment is not valid SDP")
        if line.startswith("m="):
            parts.append([])
        else:
            parts[-1].append(line[2:])
    return parts


def _section(lines: list[str], ufrag: str, password: str) -> Section:
    mid = _value(lines, "mid")
    if not mid:
        raise ProtocolError("a media section of the fragment has no mid")
    candidates = tuple(line for line in lines if line.startswith("candidate:"))
    return Section(mid, _value(lines, "ice-ufrag") or ufrag, _value(lines, "ice-pwd") or password, candidates)


def _value(lines: list[str], name: str) -> str:
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")
