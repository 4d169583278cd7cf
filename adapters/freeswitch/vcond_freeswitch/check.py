"""``vcond check``: what can be known of one FreeSWITCH without touching a call."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from vcond.sdk import clean
from vcond.sdk.contract import ConfigError, Finding, PeerError, RefusedError, WallClock
from vcond_freeswitch import resync
from vcond_freeswitch.client import Connection, connected, names
from vcond_freeswitch.commands import wanted
from vcond_freeswitch.config import Config
from vcond_freeswitch.filetap import PREFIX
from vcond_freeswitch.leftovers import foreign

DEFAULT_PASSWORD: Final = "ClueCon"  # noqa: S105 - known to everybody, which is the point
OLD: Final = 60.0
"""Seconds since a file was written to: it is of no call that goes on."""
MODULES: Final = {"stream": "mod_audio_stream", "fork": "mod_audio_fork"}


async def check(config: Config) -> AsyncIterator[Finding]:
    """One finding after the other; stops at the first that makes all others pointless."""
    where = f"event socket at {config.host}:{config.port}"
    try:
        async with connected(config, WallClock()) as connection:
            yield Finding("ok", where, "reachable, login accepted")
            yield _password(config)
            yield _plaintext(config)
            async for finding in _rights(connection, config):
                yield finding
            async for finding in _tap(connection, config):
                yield finding
    except ConfigError as why:
        yield Finding("error", where, str(why), "compare with step 1 of: vcond setup freeswitch")
    except PeerError as why:
        fix = "check that FreeSWITCH runs with mod_event_socket, its listen-ip and listen-port, and the firewall"
        yield Finding("error", where, str(why), fix)


def _password(config: Config) -> Finding:
    if not config.user and config.secret() == DEFAULT_PASSWORD:
        fix = "set another password in event_socket.conf.xml, or better make a user with few rights (step 1 of: vcond setup freeswitch)"
        return Finding("warning", "password", "it is the default password of every FreeSWITCH", fix)
    if not config.user:
        fix = "make a user with few rights (step 1 of: vcond setup freeswitch)"
        return Finding("warning", "rights", "vcond has full rights on the switch", fix)
    return Finding("ok", "rights", "a user of its own")


def _plaintext(config: Config) -> Finding:
    if config.local:
        return Finding("ok", "password on the network", "stays on this machine")
    return Finding(
        "warning",
        "password on the network",
        "the event socket is not encrypted; names and numbers can be read on the network",
        "a VPN",
    )


async def _rights(connection: Connection, config: Config) -> AsyncIterator[Finding]:
    try:
        missing = wanted(await connection.subscribe(), _kind(config))
    except ConfigError as why:
        yield Finding(
            "error",
            "events",
            str(why),
            "set esl-allowed-events (step 1 of: vcond setup freeswitch), then: reloadxml",
        )
        return
    if missing:
        fix = "add them to the user's esl-allowed-events, then: reloadxml"
        yield Finding("warning", "events", f"without {names(missing)}", fix)
    else:
        yield Finding("ok", "events", "all that vcond needs")
    try:
        version = clean((await connection.api("version")).splitlines()[0])
        yield Finding("ok", "version", version)
    except (RefusedError, IndexError):
        yield Finding(
            "warning", "version", "cannot be read with this user", "add version to the user's esl-allowed-api"
        )
    try:
        channels = await resync.table(connection)
        if channels:
            await resync.dump(connection, channels[0])
        yield Finding("ok", "channels", f"{len(channels)} now")
    except PeerError as why:
        fix = "add show and uuid_dump to the user's esl-allowed-api; without them active calls are lost at a restart"
        yield Finding("error", "channels", str(why), fix)


def _kind(config: Config) -> str:
    return config.tap if config.tap != "auto" else "file" if config.local else "stream"


async def _tap(connection: Connection, config: Config) -> AsyncIterator[Finding]:
    kind = _kind(config)
    if kind == "file":
        yield _directory(Path(config.directory))
        yield await _module(connection, "mod_sndfile")
    elif kind != "none":
        yield await _module(connection, MODULES[kind])
        if not config.url:
            fix = "set adapters.freeswitch.url: this machine's address for FreeSWITCH, path and ingress token"
            yield Finding("error", "URL for FreeSWITCH", "not set", fix)


def _directory(directory: Path, processes: Path = Path("/proc")) -> Finding:
    what = f"directory {directory}"
    fix = f"install -d -o freeswitch -g freeswitch -m 2770 {directory}, and vcond in the group freeswitch (step 2 of: vcond setup freeswitch)"
    try:
        known = directory.stat()
    except OSError as why:
        return Finding(
            "error", what, "does not exist" if isinstance(why, FileNotFoundError) else str(why.strerror), fix
        )
    if not stat.S_ISDIR(known.st_mode) or not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return Finding("error", what, "vcond has no permission to read, write and remove files there", fix)
    for who in _switches(processes):
        if not who.may_write(known):
            mode = f"{stat.S_IMODE(known.st_mode):04o}"
            detail = (
                f"FreeSWITCH (user {who.user}) cannot write there: owner {known.st_uid}:{known.st_gid}, mode {mode}"
            )
            return Finding("error", what, detail, fix)
    left = _left(directory)
    if left:
        detail = f"{left} audio files left there; vcond does not read them"
        return Finding(
            "warning",
            what,
            detail,
            "vcond deletes them when it runs; if they stay, check its log and the permissions of the directory",
        )
    if _filesystem(directory) not in {"tmpfs", "ramfs", ""}:
        return Finding(
            "warning", what, "is on a disk; audio is then written twice", "use a directory below /dev/shm or /run"
        )
    free = os.statvfs(directory)
    megabytes = free.f_bavail * free.f_frsize >> 20
    if megabytes < 64:
        return Finding("warning", what, f"{megabytes} MB free", "give that tmpfs more memory: each party uses 1 MB")
    return Finding("ok", what, f"tmpfs, {megabytes} MB free")


class _Switch(NamedTuple):
    """Who a FreeSWITCH on this machine runs as."""

    user: int
    groups: frozenset[int]

    def may_write(self, directory: os.stat_result) -> bool:
        """Whether it may make files there, by owner, group and mode."""
        if self.user == 0:
            return True
        if self.user == directory.st_uid:
            wanted = stat.S_IWUSR | stat.S_IXUSR
        elif directory.st_gid in self.groups:
            wanted = stat.S_IWGRP | stat.S_IXGRP
        else:
            wanted = stat.S_IWOTH | stat.S_IXOTH
        return directory.st_mode & wanted == wanted


def _switches(processes: Path) -> list[_Switch]:
    """Every process here that is called freeswitch; none in another container, where this cannot be known."""
    found = []
    for status in processes.glob("[0-9]*/status"):
        try:
            lines = dict(line.partition(":")[::2] for line in status.read_text("utf-8", "replace").splitlines())
            if lines["Name"].strip() == "freeswitch":
                groups = {int(lines["Gid"].split()[1]), *map(int, lines["Groups"].split())}
                found.append(_Switch(int(lines["Uid"].split()[1]), frozenset(groups)))
        except (OSError, KeyError, ValueError, IndexError):
            continue
    return found


def _left(directory: Path) -> int:
    """Files of taps that were not written to for a while and that no vcond reads."""
    count = 0
    for path in directory.glob(f"{PREFIX}*.r16"):
        try:
            old = time.time() - path.stat().st_mtime > OLD
        except OSError:
            continue
        count += old and not foreign(path)
    return count


def _filesystem(directory: Path) -> str:
    """The type of file system that a directory is on; empty when it cannot be known."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return ""
    real = str(directory.resolve()) + "/"
    found = [(mount[1], mount[2]) for mount in mounts if len(mount) > 2 and real.startswith(mount[1].rstrip("/") + "/")]
    return max(found, key=lambda one: len(one[0]))[1] if found else ""


async def _module(connection: Connection, module: str) -> Finding:
    what = f"module {module}"
    try:
        there = (await connection.api(f"module_exists {module}")).strip() == "true"
    except RefusedError:
        return Finding(
            "warning", what, "cannot be checked with this user", "add module_exists to the user's esl-allowed-api"
        )
    if there:
        return Finding("ok", what, "loaded")
    return Finding(
        "error", what, "not loaded; vcond needs it to tap calls", f"load {module}, and add it to modules.conf.xml"
    )
