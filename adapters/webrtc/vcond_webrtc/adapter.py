"""WebRTC: browsers publish to us by WHIP."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import ClassVar
from urllib.parse import urlsplit

from vcond.sdk.addresses import PROXY, is_loopback, no_public_url
from vcond.sdk.contract import AdapterHost, ConfigError, Finding, Instant
from vcond_webrtc import peer, ports
from vcond_webrtc.claims import SHORTEST_SECRET
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.page import Page
from vcond_webrtc.unit import forbids_executable_memory
from vcond_webrtc.whip import METHODS, Endpoint


class WebRtcAdapter:
    """Serves the WHIP endpoint and the page."""

    name: ClassVar[str] = "webrtc"
    Config: ClassVar[type[WebRtcConfig]] = WebRtcConfig

    def __init__(self, config: WebRtcConfig) -> None:
        if config.page == config.path or config.page.startswith(f"{config.path}/"):
            raise ConfigError("must not be at or below the path of the endpoint", "adapters.webrtc.page")
        for address in (*config.addresses, *config.proxies, *filter(None, [config.advertise])):
            try:
                ip_address(address)
            except ValueError:
                raise ConfigError(f"{address} is not an IP address", "adapters.webrtc.addresses") from None
        if config.turn_secret and (config.turn_user or config.turn_password):
            raise ConfigError(
                "replaces turn_user and turn_password: set one or the other", "adapters.webrtc.turn_secret"
            )
        self._ports = ports.parse(config.ports)
        self._config = config

    async def run(self, host: AdapterHost) -> None:
        """Serve until cancelled. Calls that go on then are left for the core."""
        if self._weak():
            raise ConfigError(f"must have at least {SHORTEST_SECRET} bytes", "adapters.webrtc.secret")
        await asyncio.to_thread(peer.available)  # half a second of imports
        async with asyncio.TaskGroup() as group:
            endpoint = Endpoint(host, self._config, group)
            for method in METHODS:
                host.ingress.route(method, self._config.path, endpoint.serve, prefix=True, guarded=False)
            if self._config.page:
                page = Page(self._config)
                host.ingress.route("GET", self._config.page, page.serve, guarded=False)
            host.attached(True, f"waiting for publishers at {host.ingress.base_url}{self._config.path}")
            try:
                await asyncio.Event().wait()
            finally:
                endpoint.close()

    async def check(self) -> AsyncIterator[Finding]:
        """Tell whether it can work here, and where publishers and people go."""
        yield _packages()
        yield await _unit()
        yield self._where()
        yield self._media()
        if self._config.stun or self._config.turn:
            yield await self._servers()
        yield self._tokens()

    def _weak(self) -> bool:
        return 0 < len(self._config.secret.encode()) < SHORTEST_SECRET

    def _tokens(self) -> Finding:
        what, fix = "tokens of publishers", "set adapters.webrtc.secret to 32 random bytes or more (vcond setup webrtc)"
        if self._weak():
            return Finding("error", what, "adapters.webrtc.secret is too short to sign with", fix)
        if not self._config.secret:
            return Finding("warning", what, "only the ingress token is accepted, which opens every adapter", fix)
        return Finding("ok", what, "signed tokens are accepted")

    def _where(self) -> Finding:
        what, base = "URL for publishers", self._config.public_url.rstrip("/")
        if not base:
            return no_public_url(what, "adapters.webrtc")
        told = f"WHIP endpoint {base}{self._config.path}"
        if self._config.page:
            told += f", page {base}{self._config.page}"
        url = urlsplit(base)
        if url.scheme != "https" and not is_loopback(url.hostname or ""):
            return Finding("error", what, told, f"browsers allow the microphone on https:// pages only; {PROXY}")
        return Finding("ok", what, told)

    def _media(self) -> Finding:
        what, addresses = "addresses that take media", self._config.addresses
        foreign = [address for address in addresses if not _ours(address)]
        if foreign:
            fix = "set adapters.webrtc.addresses to addresses of this machine; put the public address into advertise"
            return Finding("error", what, f"not addresses of this machine: {', '.join(foreign)}", fix)
        if addresses and all(is_loopback(address) for address in addresses):
            fix = "add this machine's address to adapters.webrtc.addresses, or leave the list empty for all"
            return Finding("warning", what, "loopback only: only browsers on this machine can connect", fix)
        if self._ports != ports.ANY and len(self._ports) < self._config.max_sessions:
            fix = "make adapters.webrtc.ports larger or max_sessions smaller: a publisher needs a port on each address"
            return Finding("warning", what, f"{len(self._ports)} UDP ports for max_sessions publishers", fix)
        told = ", ".join(addresses) or "all of this machine"
        return Finding("ok", what, f"{told}, UDP ports {self._config.ports}" if self._config.ports else told)

    async def _servers(self) -> Finding:
        what, config = "STUN and TURN servers", self._config
        try:
            kinds = await peer.found(config, Instant(time.time_ns()))
        except ImportError:
            return Finding("error", what, "cannot be checked without the packages for WebRTC", "install them first")
        if config.turn and "relay" not in kinds:
            fix = "check that it runs, that UDP reaches it, and its login or turn_secret; see its log"
            return Finding("error", what, f"{config.turn} gives vcond no relay address", fix)
        if config.stun and "srflx" not in kinds:
            fix = "check that it runs and that UDP reaches it from IPv4 addresses"
            return Finding("warning", what, f"{config.stun} does not return vcond's address", fix)
        return Finding("ok", what, "they answer" if config.stun and config.turn else "it answers")


def _ours(address: str) -> bool:
    """Whether a UDP socket can be bound there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _packages() -> Finding:
    try:
        peer.available()
    except ConfigError as why:
        return Finding("error", "packages for WebRTC", "cannot be used", str(why))
    return Finding("ok", "packages for WebRTC", "aiortc and PyAV work")


async def _unit() -> Finding:
    what = "MemoryDenyWriteExecute of vcond.service"
    forbidden = await forbids_executable_memory()
    if forbidden is None:
        return Finding("ok", what, "cannot be checked here; vcond checks it when it starts")
    if forbidden:
        return Finding("error", what, "set: aiortc cannot work with it", f"install {peer.DROP_IN} and reload systemd")
    return Finding("ok", what, "no")
