"""Twilio Media Streams: Twilio connects to us, one WebSocket a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar, Final
from urllib.parse import urlsplit

from aiohttp import web

from vcond.sdk.addresses import PROXY, is_loopback, no_public_url, stream_url
from vcond.sdk.contract import AdapterHost, ConfigError, Finding, PeerError
from vcond.sdk.media_stream import Batch, Limits, MediaStreams, Pulse, Stream, StreamedCalls, candidates
from vcond_twilio.config import TwilioConfig
from vcond_twilio.dialect import TwilioDialect
from vcond_twilio.rest import Rest
from vcond_twilio.running import RunningCalls
from vcond_twilio.status import Begin, Statuses, signed

STOPPED_AFTER: Final = 30.0
"""Seconds without a message of either track, which a stream that works sends fifty times a second."""


class TwilioAdapter:
    """Serves the ingress route that ``<Stream url="wss://…">`` names."""

    name: ClassVar[str] = "twilio"
    Config: ClassVar[type[TwilioConfig]] = TwilioConfig

    def __init__(self, config: TwilioConfig) -> None:
        self._config = config.checked()

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled. Calls that go on then are left for the core."""
        host.taps(after=STOPPED_AFTER, shared=True)
        if not self._config.account_sid:
            await self._serve(host, StreamedCalls(host, self._config))
            return
        url = stream_url(self._config.public_url or host.ingress.base_url, self._config.path)
        async with Rest(self._config) as rest:
            running = RunningCalls(host, self._config, rest, url)
            if self._config.start_streams:
                host.taps(after=STOPPED_AFTER, again=running.again, shared=True)
            try:
                await self._serve(host, running.calls, running.begin)
            finally:
                await running.close()

    async def _serve(self, host: AdapterHost, calls: StreamedCalls, begin: Begin = lambda _call, _told: None) -> None:
        pulse = Pulse()
        keys, base = self._config.auth_tokens, self._config.public_url or host.ingress.base_url

        def vouch(request: web.Request) -> str:
            return "" if signed(request, keys, candidates(base, request.raw_path)) else "signature"

        streams = MediaStreams(
            host,
            Limits.of(self._config),
            lambda request, _: Batch(Stream(host, calls, TwilioDialect()), pulse, request.transport),
            vouch if keys else lambda _: "",
        )
        host.ingress.route("GET", self._config.path, streams.answer, guarded=not keys)
        statuses = Statuses(host, calls, keys, base, begin)
        host.ingress.route("POST", f"{self._config.path}/status", statuses.answer, guarded=not keys)
        url = stream_url(host.ingress.base_url, self._config.path)
        if not url.startswith("wss://"):
            host.log.warning("Twilio cannot reach this address", url=url, hint=f"set web.public_url; {PROXY}")
        host.attached(True, f"waiting for streams at {url}")
        try:
            await asyncio.Event().wait()
        finally:
            calls.close()
            await streams.close()

    async def check(self) -> AsyncIterator[Finding]:
        """Tell which URL belongs into the TwiML, and whether the REST API takes the login."""
        if self._config.account_sid:
            yield await self._check_rest()
        what = "URL for <Stream> in your TwiML"
        base = self._config.public_url
        if not base:
            yield no_public_url(what, "adapters.twilio")
            return
        url = stream_url(base, self._config.path)
        told = url if self._config.auth_tokens else f"{url}/TOKEN, where TOKEN is the ingress token"
        if not url.startswith("wss://"):
            yield Finding("error", what, told, f"Twilio connects to wss:// only; {PROXY}")
        elif is_loopback(urlsplit(base).hostname or ""):
            yield Finding("error", what, told, "Twilio cannot reach the loopback address; use a public name")
        else:
            yield Finding("ok", what, told)

    async def _check_rest(self) -> Finding:
        what = f"Twilio's REST API at {self._config.api_url}"
        try:
            async with Rest(self._config) as rest:
                await rest.account()
        except ConfigError as why:
            login = "api_key and api_secret" if self._config.api_key else "account_sid and the first of auth_tokens"
            return Finding(
                "error", what, str(why), f"compare {login} with the console; a key is of one region only: see api_url"
            )
        except PeerError as why:
            return Finding("error", what, str(why), "let this machine connect to it, or correct api_url")
        return Finding("ok", what, "login accepted")
