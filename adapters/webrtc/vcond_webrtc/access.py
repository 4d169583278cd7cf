"""Who asks at the WHIP endpoint, and what they may: tokens, claims, consent, how often, and from which page."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from vcond.sdk.contract import SECOND, AdapterHost, Instant, ProtocolError, RefusedError
from vcond_webrtc.claims import NAMES, Claims, from_token, from_words
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.limits import QuotaKeys, Rate, asker

OLDEST_CONSENT: Final = 3_600.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, once the token was looked at."""

    token: bytes
    """Its digest: whoever opened a session may close it, also when the token has expired since."""
    claims: Claims | None
    """What the token says; None for the ingress token, which may claim anything."""


class Access:
    """Looks at requests. What it refuses it raises as an ``HTTPException``."""

    def __init__(self, host: AdapterHost, config: WebRtcConfig) -> None:
        self._host = host
        self._config = config

    def quota_keys(self, request: web.Request, caller: Caller) -> QuotaKeys:
        """What a session counts for. The ingress token is that of a server, which publishes for many."""
        quota_keys = (("limit", ""), ("address-limit", self.asker(request)))
        return quota_keys if caller.claims is None else (*quota_keys, ("token-limit", caller.token.hex()))

    def asker(self, request: web.Request) -> str:
        """The address that a request comes from, as far as proxies that are trusted tell it."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        return asker(request.remote or "", forwarded, self._config.proxies)

    def paced(self, rate: Rate, who: str, what: str) -> None:
        """Raises HTTPTooManyRequests when somebody asks too often (RFC 6585 section 4)."""
        wait = rate.wait(who, self._host.clock.now())
        if wait:
            self._host.dropped(what, "too-often")
            raise web.HTTPTooManyRequests(headers={"Retry-After": str(wait)})

    def caller(self, request: web.Request) -> Caller:
        """Who asks. Raises HTTPUnauthorized (RFC 6750 section 3)."""
        token = bearer(request)
        if self._host.ingress.allowed(request):
            return Caller(digest(token), None)
        challenge, why = "Bearer", "a bearer token is needed"
        if token and self._config.secret:
            try:
                return Caller(
                    digest(token), from_token(token, self._config.secret, now=self._host.clock.now() / SECOND)
                )
            except RefusedError as refused:
                why = str(refused)
        if token:
            challenge = 'Bearer error="invalid_token"'
            self._host.log.warning("publisher refused", peer=self.asker(request), error=why)
        raise web.HTTPUnauthorized(text=f"{why}\n", headers={"WWW-Authenticate": challenge})

    def claims(self, request: web.Request, caller: Caller) -> Claims:
        """What the publisher says of itself: in its token, or in the query when that is the ingress token's."""
        query = {name: request.query[name] for name in NAMES if name in request.query}
        if caller.claims is not None:
            if query:
                raise web.HTTPBadRequest(text="who publishes is in the token, and not in the query\n")
            return caller.claims
        try:
            return from_words(query)
        except ProtocolError as why:
            raise web.HTTPBadRequest(text=f"{why}\n") from None

    def consented(self, request: web.Request) -> Instant | None:
        """When the person agreed: ``consented`` is how many seconds ago that was; None when it says nothing."""
        told = request.query.get("consented")
        if told is None or not self._config.consent:
            return None
        ago = -1.0
        with contextlib.suppress(ValueError):
            ago = float(told[:20])
        if not 0 <= ago <= OLDEST_CONSENT:
            raise web.HTTPBadRequest(text="consented is not a number of seconds from 0 to 3600\n")
        return Instant(self._host.clock.now() - round(ago * SECOND))

    def cors(self, request: web.Request) -> Mapping[str, str]:
        """What a browser with a page of another origin needs (Fetch standard, section 3.3)."""
        origin = request.headers.get("Origin", "")
        if not origin or not ({"*", origin} & set(self._config.origins)):
            return {}
        allowed = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Accept-Patch",
            "Vary": "Origin",
        }
        if request.method == "OPTIONS":
            allowed["Access-Control-Allow-Methods"] = "POST, DELETE, PATCH, PUT, GET, OPTIONS"
            allowed["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
            allowed["Access-Control-Max-Age"] = "600"
        return allowed


def bearer(request: web.Request) -> str:
    """The token of a request; empty when it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()  # aiohttp lets any byte through
