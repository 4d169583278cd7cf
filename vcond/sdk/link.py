"""The contract of a link: it is shown a vCon and says which vCons are to be made of it.

A third party registers its class in the entry point group ``vcond.links``. A hub shows it each vCon that its section of the
configuration is for, after whoever brought that vCon was answered. It works in a process of its own, without vcond's
environment; what vCons it makes vcond stores beside the one it was shown, which stays as it came. ``vcond.testing.links`` has the
suite that every link passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from vcond.call.ids import of_bits

GROUP: Final = "vcond.links"
PREFIX: Final = "link:"
"""Before a link's name where it stands among sinks, and where an adapter's name says what a vCon comes from."""
MOST: Final = 8
"""vCons that a link may make of one."""
Relation = Literal["amended", "redacted"]
"""What one that is made is to the one that was shown (core-04 sections 4.1.7 and 4.1.8)."""


class LinkOptions(msgspec.Struct, frozen=True):
    """What a link is made with."""

    settings: Mapping[str, Any] = {}
    """``settings`` of its section."""
    redaction: Mapping[str, Any] = {}
    """``[redaction]`` of the configuration, as a table."""


class LinkedVcon(msgspec.Struct, frozen=True):
    """A vCon that a link makes."""

    vcon: dict[str, Any]
    """All of it. Its ``uuid``, and what it says of the one that was shown, vcond writes."""
    relation: Relation = "amended"


class Link(Protocol):
    """Made with ``LinkOptions``; raises ConfigError for settings that are wrong, MissingExtraError for lack of a package."""

    def work(self, vcon: dict[str, Any]) -> Iterable[LinkedVcon]:
        """What is to be made of a vCon, ``MOST`` at most, or nothing. The same for the same vCon, whenever it is shown.

        Needs no network, writes no file, keeps nothing for the next, and does not change what it was shown. What it raises makes a dead
        letter: the text of an OperatorError is shown to the operator, of anything else only its class.
        """


def linked(vcon: Mapping[str, Any], made: LinkedVcon, link: str, place: int) -> dict[str, Any]:
    """One that a link made, complete: with its uuid, and what it is to the one that was shown. ``place``: among those of that one, from 0.

    Raises ValueError for what is no uuid.
    """
    found = {
        name: value for name, value in made.vcon.items() if name not in {"amended", "appended", "redacted", "group"}
    }
    about = made.vcon.get(made.relation)
    said = about if isinstance(about, dict) and about != vcon.get(made.relation) else {}  # else it is of an earlier one
    of = {**said, "uuid": str(vcon["uuid"])}
    return {**found, "uuid": linked_uuid(str(vcon["uuid"]), link, place), made.relation: of}


def linked_uuid(original: str, link: str, place: int) -> str:
    """The uuid of what a link makes of a vCon: always the same, its moment the original's, the rest of it a hash.

    So whatever was stored of it when a hub was killed is known by it. Raises ValueError for what is no uuid.
    """
    digest = int.from_bytes(hashlib.sha256(f"{PREFIX}{link}:{place}:{UUID(original)}".encode()).digest(), "big")
    return str(of_bits(UUID(original).int >> 80, digest, digest >> 16))
