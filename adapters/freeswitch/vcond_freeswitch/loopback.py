"""A call of ``vcond check --loopback``: a pair of ``loopback/`` channels, one with a tone, one that sends it back.

``originate`` gives them an inline dialplan (``answer``, ``echo``), so no extension of the switch is needed and nobody is dialled.
A vcond whose ``include`` names ``loopback/`` channels takes them for parties, and ``exclude`` keeps it from every other call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from vcond.sdk.contract import ConfigError, WallClock
from vcond_freeswitch import commands
from vcond_freeswitch.client import connected
from vcond_freeswitch.config import Config

SETTING_UP: Final = 2.0
"""Seconds that taps may take: the tone is so much longer."""
_KEPT: Final = ("host", "port", "user", "password", "password_file", "format", "rate", "timeout")


def impossible(configured: Mapping[str, Any]) -> str:
    """Why no such call can be placed; empty when it can."""
    config = msgspec.convert(configured, Config)
    if config.tap not in {"auto", "file"} or not config.local:
        return "its audio would come to the port of the daemon that runs"
    return ""


def section(configured: Mapping[str, Any]) -> dict[str, Any]:
    """``[adapters.freeswitch]`` of a daemon with a directory of its own beside the configured one, which is made.

    Raises ConfigError when it cannot be.
    """
    directory = Path(msgspec.convert(configured, Config).directory) / f"check-{uuid4().hex[:8]}"
    try:
        directory.mkdir()
        directory.chmod(0o2770)  # the group of the one above: FreeSWITCH writes there
    except OSError as why:
        raise ConfigError(f"cannot make {directory}: {why.strerror}", "adapters.freeswitch.directory") from None
    kept = {key: value for key, value in configured.items() if key in _KEPT}
    return {**kept, "tap": "file", "directory": str(directory), "include": ["loopback/*"], "exclude": ["[!l]*"]}


async def place(configured: Mapping[str, Any], seconds: float) -> None:
    """The pair is there for so long, and hangs up by itself. Raises PeerError or ConfigError when the switch says no."""
    config = msgspec.convert(configured, Config)
    async with connected(config, WallClock()) as connection:
        await connection.subscribe()
        await connection.background(commands.loopback(str(uuid4()), round((seconds + SETTING_UP) * 1000)))
        await asyncio.sleep(seconds + SETTING_UP)


def tidy(configured: Mapping[str, Any]) -> None:
    """Remove the directory of ``section``."""
    directory = Path(configured["directory"])
    with suppress(OSError):
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()
