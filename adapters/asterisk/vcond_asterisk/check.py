"""``vcond check``: what can be known of one Asterisk without touching a call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from vcond.sdk import clean
from vcond.sdk.addresses import is_loopback
from vcond.sdk.contract import ConfigError, Finding, Instant, PeerError, WallClock
from vcond_asterisk import wire
from vcond_asterisk.client import Ari, AriError
from vcond_asterisk.config import Config
from vcond_asterisk.media import Link, MediaServer
from vcond_asterisk.unreachable import NoAnswerError

MODULES: Final = {
    "res_ari_channels.so": "requests about channels",
    "res_ari_bridges.so": "requests about bridges",
    "res_ari_events.so": "the event socket",
    "res_ari_applications.so": "events of calls",
    "res_stasis_snoop.so": "listening to a channel",
    "chan_audiosocket.so": "sending audio to vcond",
    "res_audiosocket.so": "sending audio to vcond",
}
"""Without these a call cannot be tapped."""
OLDEST: Final = 18
NO_ARI_FIX: Final = (
    "set enabled = yes in [general] of ari.conf, then: module reload res_ari.so; a prefix of http.conf belongs into url"
)
WRITE_FIX: Final = "set read_only = no for this user in ari.conf, then: module reload res_ari.so"


class _Caller:
    """Waits for Asterisk to connect."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def opened(self, _link: Link) -> None:
        self.came.set()

    def frame(self, payload: bytes, arrived: Instant) -> None:
        """Audio of the test channel, of no interest."""

    def closed(self, _link: Link) -> None:
        """The end of the test."""


async def check(config: Config) -> AsyncIterator[Finding]:
    """One finding after the other; stops at the first that makes all others pointless."""
    where = f"ARI at {config.url}"
    async with Ari(config) as ari:
        try:
            info = await ari.info()
        except ConfigError as why:
            yield Finding("error", where, str(why), "compare user and password with ari.conf; module reload res_ari.so")
            return
        except NoAnswerError as why:
            yield Finding("error", where, why.said, why.fix)
            return
        except PeerError as why:
            yield Finding("error", where, str(why), NO_ARI_FIX)
            return
        yield Finding("ok", where, "reachable, user accepted")
        yield _plaintext(config)
        yield _version(info)
        async for finding in _modules(ari):
            yield finding
        async for finding in _application(ari, config):
            yield finding


def _plaintext(config: Config) -> Finding:
    what = "password on the network"
    if is_loopback(urlsplit(config.url).hostname or "") or config.url.startswith("https:"):
        return Finding("ok", what, "stays on this machine or is encrypted")
    return Finding(
        "warning", what, "http sends it unencrypted to another machine", "use https (tlsenable in http.conf) or a VPN"
    )


def _version(info: Mapping[str, object]) -> Finding:
    system = info.get("system")
    version = clean(str(system.get("version", ""))) if isinstance(system, dict) else ""
    major = version.split(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        return Finding(
            "error",
            "version",
            f"Asterisk {version}",
            f"Asterisk {OLDEST} or newer is needed: older versions have no AudioSocket",
        )
    return Finding("ok", "version", f"Asterisk {version or 'of unknown version'}")


async def _modules(ari: Ari) -> AsyncIterator[Finding]:
    try:
        running = {str(m.get("name")) for m in await ari.modules() if m.get("status") == "Running"}
    except (PeerError, ConfigError) as why:
        yield Finding("warning", "modules", str(why), "load res_ari_asterisk.so so that vcond can check them")
        return
    missing = [name for name in MODULES if name not in running]
    for name in missing:
        yield Finding("error", f"module {name}", f"not loaded; it is needed for {MODULES[name]}", f"module load {name}")
    if not missing:
        yield Finding("ok", "modules", "all modules that a tap needs are loaded")


async def _application(ari: Ari, config: Config) -> AsyncIterator[Finding]:
    """With an application of its own, so that a running vcond is not replaced."""
    app = f"{config.app}-check"
    try:
        yield await _free(ari, config.app)
        async with ari.events(app, WallClock()):
            yield Finding("ok", "event socket", "opens")
            yield await _filter(ari, app)
            async for finding in _return_path(ari, config, app):
                yield finding
    except ConfigError as why:
        yield Finding("error", "write access", str(why), WRITE_FIX)
    except PeerError as why:
        yield Finding("error", "event socket", str(why), "load res_http_websocket.so; check any proxy in between")


async def _free(ari: Ari, app: str) -> Finding:
    what = f"application {app}"
    if not await ari.registered(app):
        return Finding("ok", what, "not in use")
    fix = "if it is not the vcond of this configuration, give each its own adapters.asterisk.app"
    return Finding("warning", what, "in use by a running vcond or another client", fix, ours=True)


async def _filter(ari: Ari, app: str) -> Finding:
    try:
        await ari.subscribe(app)
        await ari.filter_events(app)
    except ConfigError as why:
        return Finding("error", "write access", str(why), WRITE_FIX)
    except PeerError as why:
        return Finding(
            "warning", "event filter", str(why), "use Asterisk 16.3 or newer; older versions send all events"
        )
    return Finding("ok", "write access, event filter", "granted")


async def _return_path(ari: Ari, config: Config, app: str) -> AsyncIterator[Finding]:
    """Let Asterisk connect to our audio port by a channel of its own, which reaches nobody."""
    media, caller, token = MediaServer(config, WallClock()), _Caller(), uuid4()
    try:
        await media.start()
    except ConfigError as why:
        detail = f"{why}; a running vcond or another program uses it"
        yield Finding(
            "warning",
            "audio port",
            detail,
            "to test the path from Asterisk to vcond, stop vcond and check again",
            ours=True,
        )
        return
    media.expect(token, caller)
    channel = f"{app}.m-{token.hex}"
    try:
        yield await _connects(ari, config, app, channel, token, media, caller)
    finally:
        await media.close()


async def _connects(
    ari: Ari, config: Config, app: str, channel: str, token: UUID, media: MediaServer, caller: _Caller
) -> Finding:
    what = f"audio from Asterisk to {media.address}"
    fix = "set advertise to the address at which Asterisk reaches this machine; check firewall, NAT and containers"
    try:
        await ari.external_media(channel, app=app, address=media.address, token=str(token), rate=media.rate)
        async with asyncio.timeout(config.timeout):
            await caller.came.wait()
        named = any(c.linkedid for c in await ari.channels() if c.id == channel)
    except AriError as why:
        return Finding("error", what, str(why), fix)
    except (TimeoutError, PeerError) as why:
        return Finding("error", what, f"Asterisk did not connect ({type(why).__name__})", fix)
    finally:
        with contextlib.suppress(ConfigError):  # told by what was to be made
            await ari.hang_up(channel)
    if named:
        return Finding("ok", what, "Asterisk connects; events hold the linkedid")
    detail = "Asterisk connects; events lack the linkedid, so vcond requests it once per channel"
    return Finding(
        "warning",
        what,
        detail,
        f"channelvars = {wire.LINKEDID},{wire.PRESENTATION} in ari.conf [general] saves requests",
    )
