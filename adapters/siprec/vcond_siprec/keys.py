"""Keys of SRTP in session descriptions (RFC 4568, RFC 6188, RFC 7714). Pure.

No key is ever in the text of an object: what is logged of one is its suite.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AES_256_CM_HMAC_SHA1_32": 46,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
"""Bytes of key and salt together."""
MOST: Final = 32
"""Keys of one line that are looked at."""
_CRYPTO: Final = re.compile(r"a=crypto:([0-9]{1,9}) +(\w{1,64}) +inline:([A-Za-z0-9+/]{1,128})={0,2}([^ ]*)((?: .*)?)")


@dataclass(frozen=True, slots=True)
class Crypto:
    """One ``a=crypto`` that can be used."""

    tag: str
    suite: str
    key: bytes = field(repr=False)
    """Key and salt."""

    @classmethod
    def all_of(cls, lines: list[str]) -> tuple[Crypto, ...]:
        """The keys among the lines of a description, without those that cannot be used.

        That is: suites that we have not, keys of another length (base64 comes without padding too), more than one key,
        a master key index, and session parameters that change how packets look (``UNENCRYPTED_SRTP``, ``KDR=...``).
        A lifetime is passed over.
        """
        found: list[Crypto] = []
        for line in [line for line in lines if line.startswith("a=crypto:")][:MOST]:
            match = _CRYPTO.fullmatch(line)
            if match is None or match[2] not in SUITES or ":" in match[4] or ";" in match[4] or match[5].strip():
                continue
            try:
                key = base64.b64decode(match[3] + "=" * (-len(match[3]) % 4), validate=True)
            except binascii.Error:
                continue
            if len(key) == SUITES[match[2]]:
                found.append(cls(match[1], match[2], key))
        return tuple(found)

    def ours(self) -> Crypto:
        """The answer to it: the same suite under the same tag, with a fresh key of ours."""
        return Crypto(self.tag, self.suite, secrets.token_bytes(SUITES[self.suite]))

    @property
    def line(self) -> str:
        """As it stands in a description."""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"
