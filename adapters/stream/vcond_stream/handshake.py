"""What a dialect is told of how its socket was opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Handshake:
    """The HTTP request of a socket, as far as a dialect may need it. Pure."""

    id: str
    """Names the socket: what a call is called when its peer does not name it."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Of the URL, the first value of each name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By their names in lower case."""
