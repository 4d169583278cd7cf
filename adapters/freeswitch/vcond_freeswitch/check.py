"""``vcond check``: what can be known of one FreeSWITCH without touching a call."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from vcond.adapter import ConfigError, Finding, Instant, PeerError, RefusedError
from vcond.pbx import clean
from vcond_freeswitch import resync
from vcond_freeswitch.client import Connection, connected, names
from vcond_freeswitch.config import Config

DEFAULT_PASSWORD: Final = "ClueCon"  # noqa: S105 - known to everybody, which is the point
MODULES: Final = {"stream": "mod_audio_stream", "fork": "mod_audio_fork"}


class _Clock:
    def now(self) -> Instant:
        return Instant(time.time_ns())


async def check(config: Config) -> AsyncIterator[Finding]:
    """One finding after the other; stops at the first that makes all others pointless."""
    where = f"event socket at {config.host}:{config.port}"
    try:
        async with connected(config, _Clock()) as connection:
            yield Finding("ok", where, "reachable, login accepted")
            yield _password(config)
            yield _plaintext(config)
            async for finding in _rights(connection):
                yield finding
            async for finding in _tap(connection, config):
                yield finding
    except ConfigError as why:
        yield Finding("error", where, str(why), "see the table of refusals in adapters/freeswitch/README.md")
    except PeerError as why:
        fix = "is FreeSWITCH running, is mod_event_socket loaded, do listen-ip and listen-port fit, is a firewall between?"
        yield Finding("error", where, str(why), fix)


def _password(config: Config) -> Finding:
    if not config.user and config.secret() == DEFAULT_PASSWORD:
        fix = "another password in event_socket.conf.xml, or better a user with few rights (README, step 1)"
        return Finding("warning", "password", "it is the one that every FreeSWITCH comes with", fix)
    if not config.user:
        fix = "a user with few rights (README, step 1)"
        return Finding("warning", "rights", "vcond has the password of the whole switch", fix)
    return Finding("ok", "rights", "a user of its own")


def _plaintext(config: Config) -> Finding:
    if config.local:
        return Finding("ok", "password on the network", "stays on this machine")
    return Finding(
        "warning", "password on the network", "the event socket is clear text, names and numbers included", "a VPN"
    )


async def _rights(connection: Connection) -> AsyncIterator[Finding]:
    try:
        missing = await connection.subscribe()
    except ConfigError as why:
        yield Finding("error", "events", str(why), "esl-allowed-events as in the README, step 1, then: reloadxml")
        return
    if missing:
        fix = "add them to the user's esl-allowed-events, then: reloadxml"
        yield Finding("warning", "events", f"without {names(missing)}", fix)
    else:
        yield Finding("ok", "events", "all that are wanted")
    try:
        version = clean((await connection.api("version")).splitlines()[0])
        yield Finding("ok", "version", version)
    except (RefusedError, IndexError):
        yield Finding("warning", "version", "it may not be asked", "add version to the user's esl-allowed-api")
    try:
        channels = await resync.table(connection)
        if channels:
            await resync.dump(connection, channels[0])
        yield Finding("ok", "channels", f"{len(channels)} now")
    except PeerError as why:
        fix = "add show and uuid_dump to the user's esl-allowed-api: calls that go on are not found after a restart"
        yield Finding("error", "channels", str(why), fix)


async def _tap(connection: Connection, config: Config) -> AsyncIterator[Finding]:
    kind = config.tap if config.tap != "auto" else "file" if config.local else "stream"
    if kind == "file":
        yield _directory(Path(config.directory))
        yield await _sound_files(connection)
    elif kind != "none":
        yield await _module(connection, MODULES[kind])
        if not config.url:
            fix = "adapters.freeswitch.url: this machine as FreeSWITCH sees it, path and ingress token"
            yield Finding("error", "URL for FreeSWITCH", "not set", fix)


def _directory(directory: Path) -> Finding:
    what = f"directory {directory}"
    fix = f"install -d -o freeswitch -g freeswitch -m 2770 {directory}, and vcond in the group freeswitch (README, step 2)"
    if not directory.is_dir():
        return Finding("error", what, "is not there", fix)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return Finding("error", what, "vcond may not read and write there", fix)
    if _filesystem(directory) not in {"tmpfs", "ramfs", ""}:
        return Finding(
            "warning", what, "is on a disk: audio would be written twice", "a directory below /dev/shm or /run"
        )
    free = os.statvfs(directory)
    megabytes = free.f_bavail * free.f_frsize >> 20
    if megabytes < 64:
        return Finding("warning", what, f"{megabytes} MB free", "more memory for that tmpfs: 1 MB a party is in use")
    return Finding("ok", what, f"tmpfs, {megabytes} MB free")


def _filesystem(directory: Path) -> str:
    """The type of file system that a directory is on; empty when it cannot be known."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return ""
    real = str(directory.resolve()) + "/"
    found = [(mount[1], mount[2]) for mount in mounts if len(mount) > 2 and real.startswith(mount[1].rstrip("/") + "/")]
    return max(found, key=lambda one: len(one[0]))[1] if found else ""


async def _sound_files(connection: Connection) -> Finding:
    return await _module(connection, "mod_sndfile")


async def _module(connection: Connection, module: str) -> Finding:
    what = f"module {module}"
    try:
        there = (await connection.api(f"module_exists {module}")).strip() == "true"
    except RefusedError:
        return Finding("warning", what, "it may not be asked for", "add module_exists to the user's esl-allowed-api")
    if there:
        return Finding("ok", what, "loaded")
    return Finding(
        "error", what, "not loaded; it is needed to listen", f"load {module}, and name it in modules.conf.xml"
    )
