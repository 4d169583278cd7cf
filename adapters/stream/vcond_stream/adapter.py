"""Platforms connect to us, one WebSocket a stream or more: each in the dialect that its path names or its messages show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import ClassVar, Final
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web

from vcond.sdk import decoding
from vcond.sdk.addresses import PROXY, is_loopback, no_public_url, stream_url
from vcond.sdk.contract import SECOND, AdapterHost, ConfigError, Finding
from vcond.sdk.media_stream import Batch, HangUp, Limits, Listener, MediaStreams, Pulse, Stream, StreamedCalls
from vcond_stream import trust, webhooks
from vcond_stream.config import StreamConfig
from vcond_stream.detect import Detecting
from vcond_stream.dialects import DIALECTS
from vcond_stream.events import Events
from vcond_stream.handshake import Handshake
from vcond_stream.trust import VOUCH, Asked
from vcond_stream.webhooks import VERIFY

MAX_MESSAGE: Final = 1 << 18
"""Bytes: 200 ms of two channels at 48 kHz are 77 kB."""
PROTOCOLS: Final = ("audio.drachtio.org", "audio.jambonz.org")
"""What jambonz and mod_audio_fork offer; the others offer none."""
MOST_FIELDS: Final = 64
"""Parameters of a URL that are looked at."""
STOPPED_AFTER: Final = 60.0
"""Seconds without a message of any track; platforms that save silence send others meanwhile."""


class StreamAdapter:
    """Serves ``<path>/<dialect>`` and ``<path>``."""

    name: ClassVar[str] = "stream"
    Config: ClassVar[type[StreamConfig]] = StreamConfig

    def __init__(self, config: StreamConfig) -> None:
        _look_at("secrets", config.secrets, VOUCH, trust.mistake)
        _look_at("webhooks", config.webhooks, VERIFY, webhooks.mistake)
        self._config = config

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled. Calls that go on then are left for the core."""
        host.taps(after=STOPPED_AFTER, shared=True)
        await decoding.load()
        config, base = self._config, self._config.public_url or host.ingress.base_url
        calls, pulse = StreamedCalls(host, config), Pulse()

        def meet(request: web.Request, _hang_up: HangUp) -> Listener:
            dialect = Detecting(_handshake(request), DIALECTS, self._named(request))
            return Batch(Stream(host, calls, dialect), pulse, request.transport)

        limits = Limits(
            config.max_streams, config.start_timeout, config.idle_timeout, MAX_MESSAGE, PROTOCOLS, compress=True
        )
        nonces: dict[str, float] = {}

        def vouch(request: web.Request) -> str:
            secret = config.secrets.get(named := self._named(request), "")
            headers = {name.lower(): value for name, value in request.headers.items()}
            asked = Asked(base, request.raw_path, headers, host.clock.now() / SECOND, nonces)
            return "" if not secret or VOUCH[named](asked, secret) else "not-vouched-for"

        streams = MediaStreams(host, limits, meet, vouch)
        host.ingress.route("GET", config.path, streams.answer)
        for name in DIALECTS:
            host.ingress.route("GET", f"{config.path}/{name}", streams.answer, guarded=name not in config.secrets)
        Events(host, calls, config.webhooks, base).serve(config.path)
        host.attached(True, f"waiting for streams at {stream_url(host.ingress.base_url, config.path)}")
        try:
            await asyncio.Event().wait()
        finally:
            calls.close()
            await streams.close()

    def _named(self, request: web.Request) -> str:
        """The dialect in a path; empty when it names none."""
        named = request.path.removeprefix(self._config.path).strip("/").split("/")[0]
        return named if named in DIALECTS else ""

    async def check(self) -> AsyncIterator[Finding]:
        """Tell which URL a platform is to be given."""
        what, base = "URL for your platform", self._config.public_url
        if not base:
            yield no_public_url(what, "adapters.stream")
            return
        told = f"{stream_url(base, self._config.path)}/DIALECT/TOKEN, where TOKEN is the ingress token"
        if is_loopback(urlsplit(base).hostname or ""):
            yield Finding("error", what, told, "platforms cannot reach the loopback address; use a public name")
        elif not told.startswith("wss://"):
            yield Finding(
                "warning",
                what,
                told,
                f"platforms connect to wss:// only; PBXs in your own network can use ws://; {PROXY}",
            )
        else:
            yield Finding("ok", what, told)


def _look_at(
    key: str, given: Mapping[str, str], possible: Mapping[str, object], mistake: Callable[[str, str], str]
) -> None:
    """Refuse secrets that nothing asks for, and half ones. Raises ConfigError."""
    wrong = sorted(set(given) - set(possible))
    if wrong:
        raise ConfigError(
            f"no secret exists for {', '.join(wrong)}; possible are: {', '.join(possible)}", f"adapters.stream.{key}"
        )
    for dialect, secret in given.items():
        if why := mistake(dialect, secret):
            raise ConfigError(why, f"adapters.stream.{key}.{dialect}")


def _handshake(request: web.Request) -> Handshake:
    query = dict(reversed(list(request.query.items())[:MOST_FIELDS]))
    return Handshake(uuid4().hex, query, {name.lower(): value for name, value in request.headers.items()})
