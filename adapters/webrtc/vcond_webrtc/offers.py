"""Offers and answers (RFC 8866, 3264, 9143, 9429): what is wanted of an offer, and the answer to all of it. Pure.

aiortc is only ever shown the audio that is taken, in a form that it reads: what else an offer holds decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vcond.sdk.contract import ProtocolError, RefusedError
from vcond_webrtc.channel import COMFORT_NOISE, KEYS, KINDS

MOST_SECTIONS: Final = 32
MOST_FORMATS: Final = 256
"""Of one section; payload types end at 127."""
TICKS: Final = frozenset({8_000, 16_000, 32_000, 48_000})
"""A second, of keys."""
NOISE_TYPE: Final = "13"
"""RFC 3389 section 4: comfort noise at 8 kHz has a payload type of its own."""
RATES: Final[Mapping[str, str]] = {"opus": "48000/2", "pcmu": "8000", "pcma": "8000", "g722": "8000"}
_STATIC: Final = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", NOISE_TYPE: "CN/8000"}
"""Payload types that need no ``a=rtpmap`` (RFC 3551 section 6)."""
_MEDIA: Final = re.compile(r"m=([!-~]+) ([0-9]{1,5})(?:/[0-9]{1,5})? ([!-~]+)((?: [!-~]+)+)")
"""RFC 8866 section 5.14."""
_SESSION: Final = re.compile(
    r"[vost]=.*|a=(?:fingerprint:\S+ \S+|setup:\w+|ice-(?:lite|options:.+|ufrag:\S+|pwd:\S+)|sendrecv|sendonly|recvonly|inactive)"
)
_KEPT: Final = re.compile(
    r"a=(?:rtcp-mux|sendrecv|sendonly|recvonly|inactive|candidate:.+|rtcp-fb:\S+ .+|ssrc:[0-9]{1,10} [^: ]+:.*)"
)
"""Of a section with audio, beside formats and transport."""
_EXTENSION: Final = re.compile(r"a=extmap:([0-9]{1,5})(?:/[a-z]+)? (\S+)(?: .*)?")
_TRANSPORT: Final = re.compile(r"a=(?:fingerprint:\S+ \S+|setup:\w+|ice-(?:options:.+|ufrag:\S+|pwd:\S+)|candidate:.+)")
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_SHOWN: Final = re.compile(r"a=(?:fingerprint|setup|ice-ufrag|ice-pwd|candidate|end-of-candidates)\b")
"""What of a section's answer is its transport's."""


@dataclass(slots=True)
class Section:
    """One media section of an offer."""

    media: str
    port: int
    protocol: str
    formats: list[str]
    lines: list[str] = field(default_factory=list)
    """Below its own, without line ends."""
    maps: dict[str, str] = field(init=False)
    """What the offer says of payload types; where it says it twice, the first counts."""

    def __post_init__(self) -> None:
        told = (line.removeprefix("a=rtpmap:").partition(" ") for line in self.lines if line.startswith("a=rtpmap:"))
        self.maps = {}
        for number, _, mapped in told:
            self.maps.setdefault(number, mapped.strip())

    @property
    def mid(self) -> str:
        """Its name; empty when it has none."""
        return self.value("mid")

    @property
    def rtp(self) -> bool:
        """Whether it is of RTP, so that it can be answered ``inactive``."""
        return "RTP/" in self.protocol.upper()

    def value(self, name: str) -> str:
        """Of an attribute; empty when it has none."""
        return next((line.partition(":")[2].strip() for line in self.lines if line.startswith(f"a={name}:")), "")

    def rtpmap(self, number: str) -> str:
        """``opus/48000/2``; empty when the offer does not say."""
        return self.maps.get(number, _STATIC.get(number, ""))

    @property
    def sends(self) -> str:
        """Formats of audio that can be taken, the first as it stands; empty when there is none."""
        return next((one for one in self.formats if _sound(self.rtpmap(one)) and _label(one, self.rtpmap(one))), "")

    @property
    def live(self) -> bool:
        """Whether it is offered at all (RFC 3264 section 5.1, RFC 9143 section 6)."""
        return self.port > 0 or "a=bundle-only" in self.lines

    def direction(self, default: str) -> str:
        """What it says, or the session's."""
        return next((line[2:] for line in self.lines if line[2:] in _DIRECTIONS), default)


@dataclass(slots=True)
class Offer:
    """An offer, and which of its sections are taken."""

    session: list[str]
    sections: list[Section]
    bundle: list[str]
    """Names of the sections that share one transport; the first is whose it is."""
    taken: list[int]
    """Indices of sections."""

    @property
    def names(self) -> list[str]:
        """What each section that is taken is called for aiortc."""
        return [self.sections[index].mid or f"vcond-{index}" for index in self.taken]

    def wanted(self) -> str:
        """The offer with the audio that is taken only, each with the transport that it will have."""
        names = self.names
        together = [name for name in names if name in self.bundle]
        lines = [line for line in self.session if _SESSION.fullmatch(line)]
        lines += [f"a=group:BUNDLE {' '.join(together)}"] if together else []
        for name, index in zip(names, self.taken, strict=True):
            section = self.sections[index]
            formats = [number for number in section.formats if _label(number, section.rtpmap(number))]
            lines.append(f"m=audio 9 {section.protocol} {' '.join(formats)}")
            lines.append("c=IN IP4 0.0.0.0")
            lines.append(f"a=mid:{name}")
            lines += [f"a=rtpmap:{number} {section.rtpmap(number)}" for number in formats]
            lines += [
                line for line in section.lines if line.startswith("a=fmtp:") and _of(line) in formats and " " in line
            ]
            lines += [line for line in section.lines if _KEPT.fullmatch(line) and not line.startswith("a=candidate")]
            found = (_EXTENSION.fullmatch(line) for line in section.lines)
            lines += [f"a=extmap:{one[1]} {one[2]}" for one in found if one]
            lines += self._transport(section)
        return "".join(f"{line}\r\n" for line in lines)

    def transports(self) -> dict[str, str]:
        """By the name of every section on whose transport something is taken: what aiortc calls it."""
        names = self.names
        together = next((name for name in names if name in self.bundle), "")
        alone = {name: name for name in names}
        return alone | (dict.fromkeys(self.bundle, together) if together else {})

    def _transport(self, section: Section) -> list[str]:
        """ICE and DTLS of a section: for one in a bundle those of the first that is in the answer's (RFC 9143 section 7.3)."""
        own = [line for line in section.lines if _TRANSPORT.fullmatch(line)]
        if section.mid not in self.bundle:
            return own
        first = next(one for one in self.sections if one.mid == self._kept()[0])
        shared = [line for line in first.lines if _TRANSPORT.fullmatch(line) or line == "a=rtcp-mux"]
        told = {line.partition(":")[0] for line in shared}
        return shared + [line for line in own if line.partition(":")[0] not in told]

    def _kept(self) -> list[str]:
        """Names of the sections that stay in the bundle, when something in it is taken: those that are taken, and of RTP."""
        by_name = {section.mid: (index, section) for index, section in enumerate(self.sections) if section.mid}
        return [
            name for name, (index, section) in ((name, by_name[name]) for name in self.bundle)
            if index in self.taken or (section.rtp and section.live)
        ]  # fmt: skip

    def answer(self, given: str) -> str:
        """Aiortc's answer to ``wanted`` as one to the offer: the same sections in the same order, sha-256 alone.

        What is not taken is ``inactive`` where it would share the transport of what is, else it has port 0.
        """
        common, *parts = [part.splitlines() for part in re.split(r"^(?=m=)", given, flags=re.MULTILINE)]
        answers = dict(zip(self.taken, map(_spare, parts), strict=True))
        shared = next((answers[i] for i, name in zip(self.taken, self.names, strict=True) if name in self.bundle), [])
        kept = self._kept() if shared else []
        lines = [line for line in common if not line.startswith("a=group:")]
        lines += [f"a=group:BUNDLE {' '.join(kept)}"] if kept else []
        for index, section in enumerate(self.sections):
            mid = [f"a=mid:{section.mid}"] if section.mid else []
            if index in answers:
                lines += [line for line in answers[index] if section.mid or not line.startswith("a=mid:")]
            elif section.mid and section.mid in kept:
                number = section.formats[0]
                lines.append(f"m={section.media} 9 {section.protocol} {number}")
                lines += ["c=IN IP4 0.0.0.0", *mid, "a=inactive", "a=rtcp-mux"]
                lines += [f"a=rtpmap:{number} {section.rtpmap(number)}"] if section.rtpmap(number) else []
                lines += [line for line in shared if _SHOWN.match(line)]
            else:
                lines.append(f"m={section.media} 0 {section.protocol} {' '.join(section.formats)}")
                lines += ["c=IN IP4 0.0.0.0", *mid]
        return "".join(f"{line}\r\n" for line in lines)


def read(text: str) -> Offer:
    """An offer. Raises ProtocolError for what is none, RefusedError for one from which nothing can be received."""
    common, *parts = [part.splitlines() for part in re.split(r"^(?=m=)", text, flags=re.MULTILINE)]
    found = [_MEDIA.fullmatch(part[0].rstrip()) for part in parts]
    heads = [one for one in found if one is not None]
    if not text.startswith("v=0") or len(heads) < len(found) or not 0 < len(found) <= MOST_SECTIONS:
        raise ProtocolError("the offer is not valid SDP")
    sections = [
        Section(head[1], int(head[2]), head[3], head[4].split(), [line.rstrip() for line in part[1:]])
        for head, part in zip(heads, parts, strict=True)
    ]
    if any(len(section.formats) > MOST_FORMATS for section in sections):
        raise ProtocolError("the offer has too many formats")
    common = [line.rstrip() for line in common]
    names = [section.mid for section in sections if section.mid]
    if len(names) != len(set(names)):
        raise ProtocolError("the offer has two sections with the same name")
    said = next((line for line in common if line.startswith("a=group:BUNDLE ")), "").split()[1:]
    bundle = [name for name in dict.fromkeys(said) if name in names]
    default = next((line[2:] for line in common if line[2:] in _DIRECTIONS), "sendrecv")
    audio = [
        (index, section) for index, section in enumerate(sections)
        if section.media == "audio" and section.rtp and section.direction(default) in {"sendrecv", "sendonly"}
        and section.live
    ]  # fmt: skip
    taken = [index for index, section in audio if section.sends]
    if not taken:
        raise RefusedError("the offer has no codec that vcond can decode" if audio else "the offer sends no audio")
    return Offer(common, sections, bundle, taken)


def _spare(part: list[str]) -> list[str]:
    """A section of aiortc's answer with one fingerprint. Every stack has sha-256; some take the wrong one of several."""
    return [line for line in part if not line.startswith("a=fingerprint:") or line.startswith("a=fingerprint:sha-256 ")]


def _of(line: str) -> str:
    return line.partition(":")[2].partition(" ")[0]


def _sound(mapped: str) -> bool:
    name, _, rest = mapped.lower().partition("/")
    return name in KINDS and rest.removesuffix("/1") == RATES.get(name, "")


def _label(number: str, mapped: str) -> bool:
    """Whether a format can be taken: audio, keys, comfort noise."""
    name, _, rest = mapped.lower().partition("/")
    if not number.isdecimal() or int(number) > 127 or 72 <= int(number) <= 76:  # RFC 5761 section 4
        return False
    if name == KEYS.rstrip("/"):
        return rest.removesuffix("/1") in {str(ticks) for ticks in TICKS}
    return _sound(mapped) or (name == COMFORT_NOISE and number == NOISE_TYPE)
