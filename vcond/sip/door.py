"""What is refused before anything is remembered of it. RFC 3261 section 8.2."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from vcond.base.time import Instant
from vcond.sip.application import Flow
from vcond.sip.digest import Digest, Verdict
from vcond.sip.limits import AllowList, RateLimit
from vcond.sip.messages import Request
from vcond.sip.responses import Fields, unusable_scheme
from vcond.sip.settings import METHODS, Settings
from vcond.sip.timers import TooSmallError, negotiate

KNOWN: Final = {"REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER", "PRACK"}
"""Methods that are not served here: 405. Others are not known: 501."""


class Refusal(NamedTuple):
    """An answer that the application is not asked for."""

    status: int
    more: Fields = ()
    odd: str = ""
    """Why, where it is to be counted."""


class Door:
    """Looks at requests."""

    def __init__(self, settings: Settings, health: Callable[[], int], secret: bytes) -> None:
        self._settings, self._health = settings, health
        self.allowed: Final = AllowList(settings.allowed)
        self._invites, self._options = RateLimit(settings.invites), RateLimit(settings.options)
        self._digest = (
            Digest(settings.realm, settings.users, secret=secret, md5=settings.md5) if settings.users else None
        )

    def unfit(self, request: Request) -> Refusal | None:
        """What cannot be served, within a dialog or not."""
        if request.method not in METHODS:
            return Refusal(405 if request.method in KNOWN else 501)
        if status := unusable_scheme(request.uri):
            return Refusal(status)
        unknown = request.headers.tokens("require") - self._settings.extensions - {"timer"}
        if unknown:
            return Refusal(420, (("Unsupported", ", ".join(sorted(unknown))),), "extension")
        if request.headers.get("content-encoding", "identity").lower() != "identity" and request.body:
            return Refusal(415, odd="encoding")
        if request.method in {"INVITE", "UPDATE"}:
            try:
                negotiate(request.headers, least=self._settings.min_se, usual=0)
            except TooSmallError:
                return Refusal(422, (("Min-SE", str(self._settings.min_se)),), "session-interval")
        return None

    def options(self, flow: Flow, now: Instant) -> Refusal | None:
        """OPTIONS outside of a dialog: how we are."""
        if not self._options.take(flow.remote[0], now):
            return Refusal(503, (("Retry-After", "1"),), "options-rate")
        wait = self._health()
        return Refusal(503, (("Retry-After", str(wait)),)) if wait else None

    def invite(self, request: Request, flow: Flow, now: Instant, *, full: bool) -> Refusal | None:
        """A new call."""
        if not self._invites.take(flow.remote[0], now):
            return Refusal(503, (("Retry-After", str(math.ceil(1 / self._settings.invites))),), "invite-rate")
        wait = self._health()
        if wait or full:
            return Refusal(503, (("Retry-After", str(wait or 10)),), "full" if full else "not-well")
        if self._digest is not None:
            verdict = self._digest.judge(request, now)
            if verdict is not Verdict.RIGHT:
                challenge = self._digest.challenge(now, stale=verdict is Verdict.STALE)
                return Refusal(401, tuple(challenge), "password" if verdict is Verdict.WRONG else "")
        return None
