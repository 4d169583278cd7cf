"""Who asks, whether they may, and how often: every request passes here, and every refusal is counted."""

from __future__ import annotations

import secrets
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from vcond.base import metrics
from vcond.server.api.tokens import Role, Token, Tokens, hash_of

T = TypeVar("T")
COOKIE: Final = "vcond-session"
SESSION: Final = 12 * 3600
"""Seconds that a browser stays logged in."""
LINK: Final = 300
"""Seconds that a link to log in is good, once."""
MOST: Final = 1000
"""Sessions, links, and clients whose pace is remembered; the oldest goes."""
MOST_OF_ONE: Final = 50
"""Sessions of one token; its oldest goes, and nobody else's."""
PACE: Final = 50.0
"""Requests a second, for each token with its sessions, link or local user; ``BURST`` at once."""
BURST: Final = 200.0
WRONG_PACE: Final = 1.0
"""Refusals for want of a good token that one address gets a second, ``WRONG_BURST`` at once; then it is told to wait."""
WRONG_BURST: Final = 30.0


class Who(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    """As the access record has it."""
    roles: tuple[Role, ...]
    expires: int = 0
    """Seconds since the epoch; 0 = never, on the admin socket."""
    token: str = ""
    """The id of the token."""
    session: str = ""
    """A browser's, by its hash: it is sent by itself, so that what changes something must come from our own page."""

    def may(self, role: Role) -> bool:
        """Whether they may do what a role may."""
        return role in self.roles or "admin" in self.roles


class RefusedHere(Exception):  # noqa: N818 - an answer, not a mistake
    """No; counted, with an HTTP status."""

    def __init__(self, status: int, reason: str, message: str, wait: int = 0) -> None:
        super().__init__(message)
        metrics.api_refused_total.labels(reason).inc()
        self.status, self.message, self.wait = status, message, wait


class Guard:
    """Knows tokens, sessions and links."""

    def __init__(self, tokens: Tokens, now: Callable[[], float], public_url: str = "") -> None:
        """``now``: seconds since the epoch; ``public_url``: where browsers reach us, when that is a proxy."""
        self._tokens, self._now, self._public = tokens, now, urlsplit(public_url).netloc.lower()
        self._sessions: OrderedDict[str, Who] = OrderedDict()
        self._links: OrderedDict[str, tuple[Who, float]] = OrderedDict()
        self._paces: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def caller(self, request: web.Request) -> Who:
        """Who asks over the network. Raises RefusedHere."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if (token := self._tokens.find(text.strip())) is not None:
                return self._paced(_of(token), token.id)
        elif (given := request.cookies.get(COOKIE)) and (who := self._sessions.get(hash_of(given))) and self.holds(who):
            return self._paced(who, who.token or who.session)
        if wait := self._wait(f"wrong {request.remote}", WRONG_PACE, WRONG_BURST):
            raise RefusedHere(429, "pace", "too many requests without a good token", wait)
        raise RefusedHere(401, "token", "a token is missing, wrong or expired: vcond token create")

    def local(self, request: web.Request) -> Who:
        """Who asks through the admin socket: its file mode has let them in, and they may do all."""
        sock = request.get_extra_info("socket")
        uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        return self._paced(Who(f"user {uid}", ("admin",)), f"user {uid}")

    def check(self, who: Who, role: Role | None, request: web.Request) -> None:
        """Whether they may. Raises RefusedHere."""
        if role is not None and not who.may(role):
            raise RefusedHere(403, "role", f"this needs the role {role}")
        if who.session and request.method not in {"GET", "HEAD"} and not self.same_origin(request):
            raise RefusedHere(403, "origin", "a page of another origin may change nothing")

    def same_origin(self, request: web.Request) -> bool:
        """Browsers say with everything that changes something which page it came from (Fetch standard, 3.2); a proxy may say another Host."""
        given = urlsplit(request.headers.get("Origin", "")).netloc
        return given != "" and given in {request.host, self._public}

    # Sessions of browsers.

    def link(self, who: Who) -> str:
        """A code that logs a browser in once, soon."""
        code = secrets.token_urlsafe(32)
        _put(self._links, hash_of(code), (who, self._now() + LINK))
        return code

    def open(self, secret: str) -> str | None:
        """A session for a link's code, which is spent then, or for a token; None when it is neither."""
        if (found := self._links.pop(hash_of(secret), None)) is not None and found[1] > self._now():
            who = found[0]
        elif (known := self._tokens.find(secret)) is not None:
            who = _of(known)
        else:
            return None
        ends = int(self._now()) + SESSION
        own = [key for key, one in self._sessions.items() if one.token and one.token == who.token]
        for old in own[: len(own) - MOST_OF_ONE + 1]:
            del self._sessions[old]
        session = secrets.token_urlsafe(32)
        key = hash_of(session)
        _put(self._sessions, key, msgspec.structs.replace(who, session=key, expires=min(who.expires or ends, ends)))
        return session

    def close(self, session: str) -> None:
        """Log a browser out."""
        self._sessions.pop(hash_of(session), None)

    def wrong(self, request: web.Request) -> RefusedHere:
        """What to answer to somebody who could not log in."""
        wait = self._wait(f"wrong {request.remote}", WRONG_PACE, WRONG_BURST)
        return RefusedHere(429 if wait else 401, "pace" if wait else "token", "this is no good token or link", wait)

    def holds(self, who: Who) -> bool:
        """Whether what they came in with is still good."""
        if who.expires and who.expires <= self._now():
            return False
        return (not who.token or self._tokens.get(who.token) is not None) and (
            not who.session or who.session in self._sessions
        )

    def _paced(self, who: Who, key: str) -> Who:
        if wait := self._wait(key, PACE, BURST):
            raise RefusedHere(429, "pace", f"more than {PACE:.0f} requests a second", wait)
        return who

    def _wait(self, key: str, pace: float, burst: float) -> int:
        """Seconds to wait; 0 = go on, and that is counted."""
        now = self._now()
        left, at = self._paces.get(key, (burst, now))
        left = min(left + max(now - at, 0.0) * pace, burst)
        _put(self._paces, key, (left - 1 if left >= 1 else left, now))
        return 0 if left >= 1 else max(round((1 - left) / pace), 1)


def _of(token: Token) -> Who:
    return Who(f"{token.name} ({token.id})", token.all_roles, token.expires, token.id)


def _put(kept: OrderedDict[str, T], key: str, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST:
        kept.popitem(last=False)
