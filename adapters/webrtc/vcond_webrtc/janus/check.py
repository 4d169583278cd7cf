"""``vcond check``: what can be known of one Janus without touching a room."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from vcond.sdk.addresses import is_loopback
from vcond.sdk.contract import ConfigError, Finding, PeerError, how_to_install
from vcond_webrtc.janus import wire
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.wire import Id, JanusError, Room
from vcond_webrtc.opus import library

OLDEST = 1000


def decoder_is_here() -> None:
    """Load what decodes Opus and G.722. Raises ConfigError without it."""
    try:
        library()
    except ImportError as why:
        raise ConfigError(f"needs a package that is not installed ({why.name}): {how_to_install('webrtc')}") from why


async def check(config: JanusConfig) -> AsyncIterator[Finding]:
    """One finding after the other; stops at the first that makes all others pointless."""
    yield _decoder()
    yield _plaintext(config)
    yield _port(config)
    where = f"Janus at {config.url}"
    try:
        async with Janus(config) as janus:
            info = await janus.info()
            yield Finding("ok", where, "reachable, login accepted, VideoRoom plugin present")
            yield _version(info)
            async for finding in _rooms(janus, config):
                yield finding
    except ConfigError as why:
        yield Finding("error", where, str(why), "compare api_secret with janus.jcfg, or token with the tokens of Janus")
    except JanusError as why:
        fix = "load libjanus_videoroom.so (plugins in janus.jcfg)" if why.code == wire.NO_SUCH_PLUGIN else "see its log"
        yield Finding("error", where, str(why), fix)
    except PeerError as why:
        fix = (
            "set ws = true in janus.transport.websockets.jcfg; check its address and port (the API's, not the admin's)"
        )
        yield Finding("error", where, str(why), fix)


def _decoder() -> Finding:
    try:
        decoder_is_here()
    except ConfigError as why:
        return Finding("error", "packages for Opus", "cannot be used", str(why))
    return Finding("ok", "packages for Opus", "PyAV and libopus work")


def _plaintext(config: JanusConfig) -> Finding:
    what = "secrets on the network"
    parts = urlsplit(config.url)
    secret = config.api_secret or config.token or config.admin_key or config.secrets or config.pins
    if not secret or parts.scheme == "wss" or is_loopback(parts.hostname or ""):
        return Finding("ok", what, "none, or they stay on this machine or are encrypted")
    return Finding(
        "warning", what, "ws:// sends them unencrypted to another machine", "set wss = true in Janus, or use a VPN"
    )


def _port(config: JanusConfig) -> Finding:
    what = f"audio from Janus to {config.host}"
    if is_loopback(config.host) and not is_loopback(urlsplit(config.url).hostname or ""):
        return Finding(
            "error",
            what,
            "Janus is on another machine and would send to itself",
            "set bind to the address of this machine",
        )
    family = socket.AF_INET6 if ":" in config.bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((config.bind, 0))
        except OSError:
            return Finding("error", what, f"{config.bind} is not an address of this machine", "correct bind")
    return Finding("ok", what, "UDP can be received there; only a call shows whether a firewall blocks it")


def _version(info: wire.Info) -> Finding:
    version = wire.clean(info.version_string) or "of unknown version"
    if info.version < OLDEST:
        return Finding("error", "version", f"Janus {version}", "upgrade: vcond needs Janus 1.0 or newer")
    return Finding("ok", "version", f"Janus {version}")


async def _rooms(janus: Janus, config: JanusConfig) -> AsyncIterator[Finding]:
    try:
        rooms = await janus.rooms()
    except JanusError as why:
        fix = "admin_key must be that of janus.plugin.videoroom.jcfg, or empty"
        yield Finding("error", "admin_key", str(why), fix)
        return
    found = {str(room.room): room for room in rooms}
    wanted = [str(room) for room in config.rooms] or list(found)
    missing = [room for room in wanted if room not in found]
    if missing:
        detail = f"{len(missing)} of the {len(wanted)} rooms of the configuration do not exist now or are private"
        yield Finding("warning", "rooms", detail, "vcond finds rooms that are made later; private ones need admin_key")
    else:
        yield Finding("ok", "rooms", f"{len(wanted)} to record")
    for name in wanted[:20]:
        if name in found:
            yield await _room(janus, found[name])


async def _room(janus: Janus, room: Room) -> Finding:
    """Both keys that a forward needs: asks for the end of a forward that cannot be."""
    what = f"keys of room {wire.clean(str(room.room))}"
    if room.require_pvtid:
        detail = "it has require_pvtid: Janus tells only participants what a publisher sends"
        return Finding("error", what, detail, "set require_pvtid = false for this room and give it a pin")
    nobody: Id = 1 if isinstance(room.room, int) else "nobody-of-vcond-check"
    try:
        await janus.forwards(room.room)
    except JanusError as why:
        return Finding("error", what, str(why), "add the secret of the room to secrets")
    try:
        await janus.stop_forward(room.room, nobody, 1)
    except JanusError as why:
        return Finding(
            "error", what, str(why), "set admin_key as in janus.plugin.videoroom.jcfg (it has lock_rtp_forward)"
        )
    return Finding("ok", what, "accepted")
