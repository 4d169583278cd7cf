"""The WHIP endpoint and its sessions over HTTP (RFC 9725)."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from vcond.sdk.contract import AdapterHost, ConfigError, Instant, ProtocolError, RefusedError
from vcond.sdk.mistakes import mistake
from vcond_webrtc.access import Access, Caller, bearer, digest
from vcond_webrtc.calls import CallTracker
from vcond_webrtc.captions import Captions
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.limits import QuotaKeys, Rate, SessionQuotas
from vcond_webrtc.servers import links
from vcond_webrtc.session import HUNG_UP, STOPPING, Session
from vcond_webrtc.trickle import FRAGMENT, LARGEST_FRAGMENT

SDP: Final = "application/sdp"
LARGEST_OFFER: Final = 64 << 10
"""Bytes; Chromium's offer for a microphone has 2,000 to 6,000."""
PATIENCE: Final = 10.0
"""Seconds that the body of a request may take."""
RETRY: Final = "5"
"""Seconds after which to ask again when all sessions are taken."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ENDPOINT: Final = "OPTIONS, POST"
RESOURCE: Final = "DELETE, OPTIONS, PATCH"
SWITCH: Final = "DELETE, OPTIONS, PUT"
"""Of a session's mute and pause."""
MUTES: Final = 120
"""That one session may ask for in a minute, mutes and their ends: the events of a call are for others too."""
RESUMES: Final = 30
"""That one session may ask for in a minute. A pause is never refused for being asked for too often."""
WATCH: Final = "GET, OPTIONS"
PATCHES: Final = 60
"""That one session may send in a minute; a browser that trickles sends about ten in all."""


class Endpoint:
    """All sessions of one run."""

    def __init__(self, host: AdapterHost, config: WebRtcConfig, group: asyncio.TaskGroup) -> None:
        self._host = host
        self._config = config
        self._group = group
        self._tracker = CallTracker(host, config)
        self._sessions: dict[str, tuple[Session, bytes]] = {}
        self._access = Access(host, config)
        self._offers = Rate(config.offers_per_minute)
        self._patches = Rate(PATCHES)
        self._mutes = Rate(MUTES)
        self._resumes = Rate(RESUMES)
        self._captions = Captions(host, group)
        self._quotas = SessionQuotas(
            {"limit": config.max_sessions, "address-limit": config.max_per_address, "token-limit": config.max_per_token}
        )
        self._closed = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Any request at the endpoint's path or below it."""
        try:
            answer = await self._answer(request)
        except web.HTTPException as refusal:
            answer = web.Response(status=refusal.status, text=refusal.text, headers=_kept(refusal.headers))
        answer.headers.update(self._access.cors(request))
        return answer

    def close(self) -> None:
        """No more sessions; calls stay open for the core. Sessions end with the tasks of the group."""
        self._closed = True
        self._tracker.close()
        for session, _ in self._sessions.values():
            session.end(STOPPING)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        below = request.path.removeprefix(self._config.path).strip("/").split("/")
        if below == [""]:
            return await self._at_endpoint(request)
        if len(below) == 1:
            return await self._at_session(request, below[0])
        if len(below) == 2 and below[1] in {"mute", "pause"}:
            return self._at_switch(request, *below)
        if len(below) == 2 and below[1] == "captions":
            return await self._at_captions(request, below[0])
        raise web.HTTPNotFound

    async def _at_endpoint(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response(headers={"Allow": ENDPOINT, "Accept-Post": SDP})
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ENDPOINT.split(", "))
        self._access.paced(self._offers, self._access.asker(request), "offer")
        caller = self._access.caller(request)
        if request.content_type != SDP:
            raise web.HTTPUnsupportedMediaType(headers={"Accept-Post": SDP})
        offer = await _body(request, LARGEST_OFFER)
        claims = self._access.claims(request, caller)
        consent, paused = self._access.consented(request), _paused(request)
        quota_keys = self._access.quota_keys(request, caller)
        self._admit(claims, quota_keys)
        self._quotas.take(quota_keys)
        try:
            session, answer = await self._open(offer, claims, consent, caller, paused=paused)
        except BaseException:
            self._quotas.leave(quota_keys)
            raise
        self._group.create_task(self._live(session, quota_keys))
        return answer

    def _admit(self, claims: Claims, quota_keys: QuotaKeys) -> None:
        """Raises the refusal when there is no room for one more session."""
        reason = "stopping" if self._closed else self._quotas.full(quota_keys)
        if reason in {"stopping", "limit"}:
            self._host.dropped("session", reason)
            raise web.HTTPServiceUnavailable(headers={"Retry-After": RETRY})
        if reason:
            self._host.dropped("session", reason)
            text = f"this {reason.partition('-')[0]} has the maximum number of sessions\n"
            raise web.HTTPTooManyRequests(text=text, headers={"Retry-After": RETRY})
        if self._tracker.full(claims):
            self._host.dropped("session", "too-many-parties")
            raise web.HTTPConflict(text="this call already has the maximum number of publishers\n")

    async def _open(
        self, offer: str, claims: Claims, consent: Instant | None, caller: Caller, *, paused: bool
    ) -> tuple[Session, web.Response]:
        name = secrets.token_urlsafe(18)
        session = Session(name, self._host, self._tracker, self._config, claims, consent, paused=paused)
        try:
            answer = await session.answer(offer)
            if not self._closed:
                self._sessions[session.name] = (session, caller.token)
        except (ProtocolError, RefusedError, ConfigError, TimeoutError) as why:
            raise _refusal(self._host, why) from None
        finally:
            if session.name not in self._sessions:
                await session.peer.close()
        if session.name not in self._sessions:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": RETRY})
        where = f"{urlsplit(self._host.ingress.base_url).path}{self._config.path}/{session.name}"
        headers = {"Location": where, "ETag": f'"{session.tag}"', "Accept-Patch": FRAGMENT}
        created = web.Response(status=201, text=answer, content_type=SDP, headers=headers)
        for link in links(self._config, self._host.clock.now()):
            created.headers.add("Link", link)
        return session, created

    async def _live(self, session: Session, quota_keys: QuotaKeys) -> None:
        try:
            await session.run()
        except Exception as why:  # noqa: BLE001 - one publisher must not take the others along; no text, it may be private
            self._host.dropped("session", "error")
            mistake(self._host, "a session", why)
        finally:
            del self._sessions[session.name]
            self._quotas.leave(quota_keys)

    async def _at_session(self, request: web.Request, name: str) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response(headers={"Allow": RESOURCE, "Accept-Post": SDP, "Accept-Patch": FRAGMENT})
        session = self._session(request, name)
        if request.method == "DELETE":
            session.end(HUNG_UP)
            return web.Response()
        if request.method == "PATCH":
            return await self._patched(request, session)
        raise web.HTTPMethodNotAllowed(request.method, RESOURCE.split(", "))  # the others are reserved (section 4.2)

    async def _patched(self, request: web.Request, session: Session) -> web.Response:
        """Trickle ICE. A restart, which aiortc cannot do, is answered with 422 (section 4.3.1)."""
        self._access.paced(self._patches, session.name, "patch")
        if request.content_type != FRAGMENT:
            raise web.HTTPUnsupportedMediaType(headers={"Accept-Patch": FRAGMENT})
        tags = request.if_match
        if tags is None:
            raise web.HTTPPreconditionRequired(text="If-Match with the ETag of the session is needed\n")
        if not any(tag.value == "*" or (tag.value == session.tag and not tag.is_weak) for tag in tags):
            raise web.HTTPPreconditionFailed(text="If-Match is not the ETag of the session\n")
        try:
            left_out = await session.peer.trickle(await _body(request, LARGEST_FRAGMENT))
        except ProtocolError as why:
            raise web.HTTPBadRequest(text=f"{why}\n") from None
        except RefusedError as why:
            raise web.HTTPUnprocessableEntity(text=f"{why}\n") from None
        if left_out:
            self._host.dropped("candidate", "too-many", left_out)
        return web.Response(status=204)

    def _at_switch(self, request: web.Request, name: str, what: str) -> web.Response:
        """Ours: PUT = the microphone is muted, the recording is paused; DELETE = not any more."""
        if request.method == "OPTIONS":
            return web.Response(headers={"Allow": SWITCH})
        session = self._session(request, name)
        if request.method not in {"PUT", "DELETE"}:
            raise web.HTTPMethodNotAllowed(request.method, SWITCH.split(", "))
        on, here = request.method == "PUT", None if session.over else session.presence
        if what == "mute":
            self._access.paced(self._mutes, session.name, "mute")
        elif not on:
            self._access.paced(self._resumes, session.name, "resume")
        if here is None:
            done = False
        elif what == "mute":
            done = here.mute(on=on)
        else:
            done = here.pause() if on else here.resume()
        if not done:
            raise web.HTTPConflict(text="the session is not in a call, or others have paused the recording\n")
        return web.Response(status=204)

    async def _at_captions(self, request: web.Request, name: str) -> web.StreamResponse:
        """Ours: what is said in the session's call. EventSource sends no token: the URL, a secret, is enough here."""
        if request.method == "OPTIONS":
            return web.Response(headers={"Allow": WATCH})
        if request.method != "GET":
            raise web.HTTPMethodNotAllowed(request.method, WATCH.split(", "))
        session, _ = self._sessions.get(name, (None, b""))
        if session is None:
            raise web.HTTPNotFound
        return await self._captions.stream(request, session, self._access.cors(request))

    def _session(self, request: web.Request, name: str) -> Session:
        """The session of that name, if whoever asks may touch it."""
        token = bearer(request)
        found, owner = self._sessions.get(name, (None, b""))
        mine = found is not None and hmac.compare_digest(digest(token), owner)
        if not mine and not self._host.ingress.allowed(request):
            self._access.paced(self._offers, self._access.asker(request), "request")
            self._access.caller(request)  # 401 for a token that is none of ours
            raise web.HTTPNotFound
        if found is None:
            raise web.HTTPNotFound
        return found


def _refusal(host: AdapterHost, why: ProtocolError | RefusedError | ConfigError | TimeoutError) -> web.HTTPException:
    """What a failed negotiation is in HTTP (RFC 9725 section 4.2)."""
    if isinstance(why, TimeoutError | ConfigError):
        host.dropped("offer", "timeout" if isinstance(why, TimeoutError) else "no-port")
        if isinstance(why, ConfigError):
            host.log.error(
                "cannot accept a WebRTC publisher: no free UDP port",
                error=str(why),
                hint="see vcond check; widen ports",
            )
        return web.HTTPServiceUnavailable(headers={"Retry-After": RETRY})
    if isinstance(why, ProtocolError):
        host.dropped("offer", "malformed")
        return web.HTTPBadRequest(text=f"{why}\n")
    host.dropped("offer", "unusable")
    return web.HTTPUnprocessableEntity(text=f"{why}\n")


def _paused(request: web.Request) -> bool:
    """Whether the publisher comes back with the recording paused: the call that it paused may be over by now."""
    told = request.query.get("paused", "")
    if told not in {"", "1"}:
        raise web.HTTPBadRequest(text="paused is 1 or not there\n")
    return bool(told)


async def _body(request: web.Request, most: int) -> str:
    """The text of a request. Raises HTTPRequestEntityTooLarge, HTTPBadRequest for no UTF-8, HTTPRequestTimeout."""
    read = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.content.iter_chunked(16 << 10):
                read += piece
                if len(read) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(read))
        return read.decode()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text="the body is no UTF-8\n") from None


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a refusal without those that its text brings along."""
    return {name: value for name, value in headers.items() if name.lower() not in {"content-type", "content-length"}}
