"""Offers of recording clients, and our answers, line by line (RFC 8866, 3264, 4574, 7866 section 7). Pure.

What clients do with an answer was measured and decides here: every payload type of every line that is taken stays in
it, in the offer's order (rtpengine gives the whole recording up for one that is missing); a line that is not wanted is
``inactive`` on a port that exists (port 0 costs the recording too); the transport of a line is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import islice
from typing import Final, Literal

from vcond.media.rtp.formats import EVENTS, NOISE, STATIC, Format
from vcond.sdk.contract import ProtocolError
from vcond_siprec.keys import Crypto

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

MAX_SDP: Final = 256 * 1024
"""Bytes of one description."""
MOST_LINES: Final = 64
"""Media lines of one offer."""
MOST_ATTRIBUTES: Final = 2_000
"""Lines below one media line."""
MOST_FORMATS: Final = 128
"""Payload types end at 127."""
MAX_LABEL: Final = 128
PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
SECURE: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
"""SRTP with its keys in the description (RFC 4568)."""
DTLS: Final = frozenset({"UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"})
"""SRTP with keys that a handshake gives, and a fingerprint in the description (RFC 5763)."""
MOST_FINGERPRINTS: Final = 8
MOST_ASSOCIATION: Final = 255

_MEDIA: Final = re.compile(r"([!-~]{1,32}) ([0-9]{1,5})(?:/[0-9]{1,5})? ([!-~]{1,64})((?: +[!-~]+)+) *")
"""RFC 8866 section 5.14, after ``m=``."""
_DIRECTIONS: Final[dict[str, Direction]] = {
    "a=sendrecv": "sendrecv", "a=sendonly": "sendonly", "a=recvonly": "recvonly", "a=inactive": "inactive",
}  # fmt: skip
_NUMBER: Final = re.compile(r"[0-9]{1,3}")
_FINGERPRINT: Final = re.compile(r"([A-Za-z0-9-]{1,16}) +((?:[0-9A-Fa-f]{2}:){0,63}[0-9A-Fa-f]{2})")
_PORT: Final = re.compile(r"[0-9]{1,5}(?![0-9])", re.ASCII)
_NOWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what an offer says of a line on hold
_CN: Final = {19: Format(NOISE, 8_000)}
"""Comfort noise before RFC 3389; Cisco offers it to this day."""
OFFERED: Final = (("0", "PCMU/8000"), ("8", "PCMA/8000"), ("101", "telephone-event/8000"))
"""What we offer to a client that leaves the offer to us."""


@dataclass(frozen=True, slots=True)
class Line:
    """One media line of a description."""

    media: str
    """``audio``, ``video``, ``image``."""
    port: int
    protocol: str
    formats: tuple[str, ...]
    """As they stand, in their order."""
    host: str = ""
    """Where the sender is, an address; empty when the description does not say one."""
    direction: Direction = "sendrecv"
    """As the line says, else the session; a line to nowhere (``0.0.0.0``) is ``inactive``."""
    label: str | None = None
    """``a=label``; ``"0"`` is one."""
    maps: tuple[tuple[str, str], ...] = ()
    """Payload type and what its ``a=rtpmap`` says."""
    settings: tuple[tuple[str, str], ...] = ()
    """Payload type and what its ``a=fmtp`` says."""
    mux: bool = False
    """RTCP may come to the port for RTP (RFC 5761)."""
    cryptos: tuple[Crypto, ...] = field(default=(), repr=False)
    rtcp: int = 0
    """The port that ``a=rtcp`` names (RFC 3605); 0 when none is named."""

    fingerprints: tuple[tuple[str, str], ...] = ()
    """Of its certificates: algorithm, value in capitals (RFC 8122); those of the line, else of the session."""
    setup: str = ""
    """Who begins the handshake: ``actpass``, ``active``, ``passive`` (RFC 4145)."""
    association: str = ""
    """``a=tls-id``: another one asks for another handshake with the same certificate (RFC 8842 section 4)."""

    @property
    def reports(self) -> int:
        """The port for our RTCP; 0 where it is the one for RTP, or none is known."""
        return 0 if self.mux or not self.port else self.rtcp or (self.port + 1) & 0xFFFF

    @property
    def is_audio(self) -> bool:
        """Whether it is sound over RTP that can be received, encrypted or not."""
        return self.media == "audio" and self.port > 0 and self.protocol in PLAIN | SECURE | DTLS

    @property
    def sends(self) -> bool:
        """Whether something comes from there now."""
        return self.port > 0 and self.direction in {"sendrecv", "sendonly"}

    def payloads(self) -> dict[int, Format]:
        """What each payload type stands for: by the description, and beside it what needs no description.

        Clients pass on what phones send, so that also payload types come that were never agreed on.
        """
        found = STATIC | _CN
        for number, mapped in self.maps:
            try:
                found[int(number)] = Format.of(mapped)
            except ProtocolError:
                continue
        return found

    @property
    def sound(self) -> list[Format]:
        """The formats of sound that it offers, in its order; without those that say nothing that can be read."""
        known = self.payloads()
        wanted = (known.get(int(number)) for number in self.formats if _NUMBER.fullmatch(number))
        return [one for one in wanted if one is not None and one.name not in {EVENTS, NOISE}]


@dataclass(frozen=True, slots=True)
class Session:
    """A description: an offer, or an answer to ours."""

    lines: tuple[Line, ...]

    @property
    def audio(self) -> list[int]:
        """Which of its lines are sound that can be received."""
        return [number for number, line in enumerate(self.lines) if line.is_audio]


@dataclass(frozen=True, slots=True)
class Place:
    """What we answer to one line."""

    port: int
    """Ours; 0 refuses the line."""
    receives: bool = False
    """Whether its audio is wanted; else the line is ``inactive``."""
    crypto: Crypto | None = None
    """How what we send would be encrypted; needed on a line of ``SECURE``."""
    fingerprint: str = ""
    """Of our certificate, by SHA-256; needed on a line of ``DTLS``."""


def read(text: bytes) -> Session:
    """A description. Raises ProtocolError for what is none, or is too large.

    Line ends may be bare line feeds, unknown lines are passed over, bytes that are not UTF-8 are replaced.
    """
    if len(text) > MAX_SDP:
        raise ProtocolError("session description too large")
    lines = [line.rstrip() for line in text.decode("utf-8", "replace").lstrip().splitlines()]
    if not lines or not lines[0].startswith("v=0"):
        raise ProtocolError("no session description")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not 0 < len(starts) <= MOST_LINES:
        raise ProtocolError("session description with no media lines, or too many")
    common = lines[: starts[0]]
    ends = [*starts[1:], len(lines)]
    parts = [lines[start:end] for start, end in zip(starts, ends, strict=True)]
    if any(len(part) > MOST_ATTRIBUTES for part in [common, *parts]):
        raise ProtocolError("session description with too many lines")
    host, way = _host(common), _direction(common)
    fingerprints, setup = _fingerprints(common), next(_values(common, "setup"), "")
    return Session(tuple(
        replace(line, fingerprints=line.fingerprints or fingerprints, setup=line.setup or setup)
        for line in (_line(part, host, way) for part in parts)
    ))  # fmt: skip


def answer(offer: Session, places: Sequence[Place], *, host: str, version: int, number: int) -> bytes:
    """The answer to an offer, with a place for each of its lines. ``host``: our address as the client reaches it.

    ``number`` names the session and ``version`` grows with every description of it (RFC 8866 section 5.2).
    """
    lines = _session(host, version, number)
    for line, place in zip(offer.lines, places, strict=True):
        lines.append(f"m={line.media} {place.port} {line.protocol} {' '.join(line.formats)}")
        if not place.port:
            continue
        lines += [f"a=rtpmap:{number} {mapped}" for number, mapped in line.maps]
        lines += [f"a=fmtp:{number} {said}" for number, said in line.settings]
        lines += [] if line.label is None else [f"a=label:{line.label}"]
        lines += ["a=rtcp-mux"] if line.mux else []
        lines += [place.crypto.line] if place.crypto is not None else []
        if place.fingerprint:
            # who offers may take either part, and this way nothing is sent to where nothing came from
            lines += ["a=setup:passive", f"a=fingerprint:sha-256 {place.fingerprint}"]
        lines.append("a=recvonly" if place.receives else "a=inactive")
    return _text(lines)


def offer(port: int, *, host: str, version: int, number: int) -> bytes:
    """An offer of ours, for a client that sends none with its INVITE: one line that receives (RFC 3261 section 13.2.1)."""
    lines = _session(host, version, number)
    lines.append(f"m=audio {port} RTP/AVP {' '.join(number for number, _ in OFFERED)}")
    lines += [f"a=rtpmap:{number} {mapped}" for number, mapped in OFFERED]
    lines += ["a=fmtp:101 0-16", "a=recvonly"]
    return _text(lines)


def _session(host: str, version: int, number: int) -> list[str]:
    where = f"IN IP{ip_address(host).version} {host}"
    return ["v=0", f"o=vcond {number} {version} {where}", "s=vcond", f"c={where}", "t=0 0"]


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _line(part: list[str], host: str, way: Direction) -> Line:
    found = _MEDIA.fullmatch(part[0][2:])
    formats = tuple(found[4].split()) if found else ()
    if found is None or int(found[2]) > 65_535 or len(formats) > MOST_FORMATS:
        raise ProtocolError("invalid media line")
    host = _host(part) or host
    label = next(_values(part, "label"), None)
    return Line(
        media=found[1].lower(),
        port=int(found[2]),
        protocol=found[3],
        formats=formats,
        host=host if host not in _NOWHERE else "",
        direction="inactive" if host in _NOWHERE else _direction(part, way),
        label=None if label is None else label[:MAX_LABEL],
        maps=_described(part, "rtpmap", formats),
        settings=_described(part, "fmtp", formats),
        mux="a=rtcp-mux" in part,
        cryptos=Crypto.all_of(part),
        rtcp=_port(next(_values(part, "rtcp"), "")),
        fingerprints=_fingerprints(part),
        setup=next(_values(part, "setup"), ""),
        association=next(_values(part, "tls-id"), "")[:MOST_ASSOCIATION],
    )


def _values(part: list[str], name: str) -> Iterator[str]:
    """What attributes of a name say."""
    start = f"a={name}:"
    return (line[len(start) :].strip() for line in part if line.startswith(start))


def _fingerprints(part: list[str]) -> tuple[tuple[str, str], ...]:
    found = (_FINGERPRINT.fullmatch(value) for value in islice(_values(part, "fingerprint"), MOST_FINGERPRINTS))
    return tuple((match[1].lower(), match[2].upper()) for match in found if match)


def _port(said: str) -> int:
    """At the beginning of a value; 0 when there is none."""
    found = _PORT.match(said)
    return int(found[0]) if found and int(found[0]) <= 65_535 else 0


def _described(part: list[str], name: str, formats: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What is said of the payload types of a line, by number; the first word about each counts."""
    found: dict[str, str] = {}
    for value in _values(part, name):
        number, _, said = value.partition(" ")
        if number in formats and said.strip():
            found.setdefault(number, said.strip())
    return tuple(found.items())


def _direction(part: list[str], default: Direction = "sendrecv") -> Direction:
    return next((_DIRECTIONS[line] for line in part if line in _DIRECTIONS), default)


def _host(part: list[str]) -> str:
    """The address of a ``c=`` line; empty when there is none, or it is a name."""
    said = next((line.split() for line in part if line.startswith("c=")), [])
    try:
        return str(ip_address(said[2].partition("/")[0])) if len(said) == 3 else ""
    except ValueError:
        return ""
