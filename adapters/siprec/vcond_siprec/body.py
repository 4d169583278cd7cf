"""What is in the body of a request: descriptions and metadata, alone or in parts (RFC 2046 section 5.1, 7866 section 9). Pure.

Clients leave the closing boundary out, or the last line end, put a preamble, blanks behind boundaries, parts of other
types and several descriptions in: whatever can be told apart is.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from dataclasses import dataclass
from typing import Final

SDP: Final = "application/sdp"
METADATA: Final = frozenset({"application/rs-metadata", "application/rs-metadata+xml"})
"""RFC 7866 had the first; an erratum made it the second."""
MAX_BODY: Final = 256 * 1024
"""Bytes."""
MOST_PARTS: Final = 16
MAX_HEADER: Final = 4096
"""Bytes of one part's headers."""
_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_GUESSED: Final = re.compile(rb"\s*--([!-~]{1,200}?)[ \t]*\r?\n")
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Body:
    """What of a body is looked at."""

    descriptions: tuple[bytes, ...] = ()
    """All of SDP, in their order."""
    metadata: bytes | None = None
    """The first that is any."""
    others: tuple[str, ...] = ()
    """Types of what nobody looks at, or what could not be told apart."""


def take_apart(content_type: str, body: bytes) -> Body:
    """The parts of a body, by the ``Content-Type`` of the message. Never raises; what is too large is none."""
    if not body.strip() or len(body) > MAX_BODY:
        return Body()
    kind = _kind(content_type) or _looks(body)
    parts = [(kind, body)]
    if kind.startswith("multipart/"):
        parts = _parts(content_type, body) or parts
    return Body(
        tuple(part for kind, part in parts if kind == SDP),
        next((part for kind, part in parts if kind in METADATA), None),
        tuple(kind[:80] for kind, _ in parts if kind != SDP and kind not in METADATA),
    )


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _looks(body: bytes) -> str:
    """The type of what came without one."""
    begun = body.lstrip()[:3]
    return SDP if begun == b"v=0" else "multipart/mixed" if begun[:2] == b"--" else "text/plain"


def _parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each part, by the boundary that is said, else by the one that the body begins with."""
    said = _BOUNDARY.search(content_type)
    found = _between((said[1] or said[2]).encode("utf-8", "surrogateescape"), body) if said else []
    guessed = _GUESSED.match(body)
    return found or (_between(guessed[1], body) if guessed else [])


def _between(boundary: bytes, body: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each part between these boundaries."""
    # The line end before a boundary is the boundary's.
    between = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    found: list[tuple[str, bytes]] = []
    start: int | None = None
    for mark in between.finditer(body):
        if start is not None:
            found.append(_part(body[start : mark.start()]))
        start = None if mark[1] else mark.end()
        if start is None or len(found) == MOST_PARTS:
            return found
    if start is not None:  # never closed
        found.append(_part(body[start:]))
    return found


def _part(text: bytes) -> tuple[str, bytes]:
    """One part; ``text`` begins with the line end behind its boundary."""
    end = _END_OF_HEADERS.search(text, 0, MAX_HEADER)
    if end is None:
        return "text/plain", text
    headers: dict[str, str] = {}
    for line in text[: end.start()].decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    content = _decoded(headers.get("content-transfer-encoding", "").lower(), text[end.end() :])
    return _kind(headers.get("content-type", "")) or _looks(content), content


def _decoded(encoding: str, content: bytes) -> bytes:
    """Content without its transfer encoding; as it is, when it is not what it says."""
    if encoding == "quoted-printable":
        return quopri.decodestring(content)
    if encoding == "base64":
        try:
            return base64.b64decode(content)
        except binascii.Error:
            return content
    return content
