"""Digest authentication of requests. RFC 3261 section 22, RFC 7616, RFC 8760. Time is an argument.

Only what begins a call is challenged: what comes within a dialog proves itself by the tags. A nonce is good for five
minutes, and each of its counts once: what was overheard is of no use a second time. The ``uri`` of an answer need not
be the Request-URI, which proxies rewrite.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from vcond.base.errors import ProtocolError
from vcond.base.time import SECOND, Instant
from vcond.sip.fields import parameters, split
from vcond.sip.messages import Request

GOOD_FOR: Final = 300 * SECOND
NONCES: Final = 4096
"""Nonces whose counts are remembered; with more the oldest is stale."""
HASHES: Final = {"sha-256": "sha256", "md5": "md5"}


class Verdict(Enum):
    """Of one request."""

    RIGHT = auto()
    MISSING = auto()
    """Nothing that answers a challenge of ours."""
    STALE = auto()
    """An old nonce, or a count that was used: the client tries again without asking anybody."""
    WRONG = auto()


class Digest:
    """Challenges and judges."""

    def __init__(self, realm: str, users: Mapping[str, str], *, secret: bytes, md5: bool = True) -> None:
        """``users`` has passwords by name; ``secret`` makes nonces ours and need not survive a restart."""
        self._realm, self._users, self._secret = realm, users, secret
        self._algorithms = ("SHA-256", "MD5") if md5 else ("SHA-256",)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenge(self, now: Instant, *, stale: bool = False) -> list[tuple[str, str]]:
        """The header fields of a 401, the better algorithm first (RFC 8760 section 2.4)."""
        rest = ", stale=true" if stale else ""
        return [
            ("WWW-Authenticate", f'Digest realm="{self._realm}", nonce="{self._nonce(now)}", algorithm={name}, qop="auth"{rest}')
            for name in self._algorithms
        ]  # fmt: skip

    def judge(self, request: Request, now: Instant) -> Verdict:
        """Whether a request comes from one of the users."""
        verdict = Verdict.MISSING
        for value in request.headers.all("authorization")[:8]:
            scheme, _, rest = value.partition(" ")
            if scheme.lower() != "digest":
                continue
            try:
                said = parameters(split(rest, ","))
            except ProtocolError:
                continue
            if said.get("realm") == self._realm:
                verdict = self._judge(said, request.method, now)
                if verdict is Verdict.RIGHT:
                    break
        return verdict

    def _judge(self, said: dict[str, str], method: str, now: Instant) -> Verdict:
        algorithm = said.get("algorithm", "MD5")
        if algorithm.upper() not in self._algorithms:
            return Verdict.WRONG
        qop = said.get("qop", "").lower()
        count = said.get("nc", "") if qop else "1"
        try:
            number = int(count, 16) if len(count) <= 8 else 0
        except ValueError:
            number = 0
        if qop not in {"", "auth"} or number < 1:
            return Verdict.WRONG
        nonce, user = said.get("nonce", ""), said.get("username", "")

        def hashed(*parts: str) -> str:
            text = ":".join(parts).encode("utf-8", "surrogateescape")
            return hashlib.new(HASHES[algorithm.lower()], text, usedforsecurity=False).hexdigest()

        secret = self._users.get(user)
        first = hashed(user, self._realm, self._users.get(user, "\0"))
        second = hashed(method, said.get("uri", ""))
        middle = (nonce, count, said.get("cnonce", ""), qop) if qop else (nonce,)  # RFC 2069 clients send no qop
        expected = hashed(first, *middle, second)
        given = said.get("response", "").lower().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given) or secret is None:
            return Verdict.WRONG
        return Verdict.RIGHT if self._fresh(nonce, number, now) else Verdict.STALE

    def _fresh(self, nonce: str, number: int, now: Instant) -> bool:
        issued = nonce.partition(".")[0]
        try:
            at = Instant(int(issued, 16)) if len(issued) <= 16 else Instant(0)
        except ValueError:
            return False
        if not hmac.compare_digest(self._nonce(at).encode(), nonce.encode("utf-8", "surrogateescape")):
            return False
        if not 0 <= now - at <= GOOD_FOR or number <= self._counts.get(nonce, 0):
            return False
        if nonce not in self._counts and len(self._counts) >= NONCES:
            oldest, _ = next(iter(self._counts.items()))
            if now - int(oldest.partition(".")[0], 16) <= GOOD_FOR:
                return False  # were it forgotten, its counts would be good again
            del self._counts[oldest]
        self._counts[nonce] = number
        return True

    def _nonce(self, at: Instant) -> str:
        issued = f"{at:x}"
        return f"{issued}.{hmac.new(self._secret, issued.encode(), 'sha256').hexdigest()[:32]}"
