"""Identifiers of calls: the vCon's uuid, minted when the call opens and never changed.

draft-ietf-vcon-vcon-core-04 section 4.1.2: like UUIDv7, with the low 62 bits taken from the host's name.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from vcond.base.time import MILLI, Instant


def host_bits(fqhn: str) -> int:
    """The HIGH 62 bits of the first 64 of SHA-1 over the fully qualified host name."""
    digest = hashlib.sha1(fqhn.encode("idna" if fqhn.isascii() else "utf-8"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") >> 2


def uuid8(unix_ms: int, rand_a: int, fqhn: str) -> UUID:
    """The uuid for a millisecond (48 bits), 12 random bits and a host name."""
    return of_bits(unix_ms, rand_a, host_bits(fqhn))


def of_bits(unix_ms: int, rand_a: int, rest: int) -> UUID:
    """A uuid of version 8 of a millisecond (48 bits), 12 bits and 62 (RFC 9562 section 5.8)."""
    value = (unix_ms & (1 << 48) - 1) << 80 | 8 << 76 | (rand_a & 0xFFF) << 64 | 0b10 << 62 | rest & (1 << 62) - 1
    return UUID(int=value)


class Minter:
    """Makes uuids that never repeat within a process, although only 12 bits of them are random.

    ``rand_a`` counts on within one millisecond and spills into the next one when it is used up.
    """

    def __init__(self, fqhn: str, *, seed: int) -> None:
        self.fqhn = fqhn
        self._last = (0, 0)
        self._seed = seed

    def mint(self, at: Instant) -> UUID:
        """A new uuid for a moment; larger than every one minted before."""
        self._seed = (self._seed * 1103515245 + 12345) & 0x7FFFFFFF
        wanted = (at // MILLI, self._seed >> 8 & 0xFFF)
        ms, rand = self._last
        if wanted[0] <= ms:
            wanted = (ms, rand + 1) if rand < 0xFFF else (ms + 1, 0)
        self._last = wanted
        return uuid8(*wanted, self.fqhn)
