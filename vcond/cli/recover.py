"""``vcond recover``: what the daemon does at its start, without any PBX, then leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from pathlib import Path

from vcond.app.daemon import Daemon
from vcond.base import log
from vcond.base.no_core import no_core_files
from vcond.config import Loaded

LIMIT = 3600.0


def recover(loaded: Loaded) -> dict[str, int]:
    """End, transcribe, build and deliver every journal; how many of what. Raises OperatorError."""
    log.configure(loaded.config.vcond.log_level, loaded.config.vcond.log_format)
    as_its_owner(Path(loaded.config.vcond.state_dir))
    no_core_files()
    return asyncio.run(_recover(loaded))


async def _recover(loaded: Loaded) -> dict[str, int]:
    daemon = Daemon(loaded)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT):
            return await daemon.recover_only()
    return {"journals": 0, "undelivered": 1, "unreadable": 0}


def as_its_owner(folder: Path) -> None:
    """Root becomes the user whose folder it is, for good: what root wrote there, the daemon could not read."""
    if os.geteuid() or not folder.exists() or not folder.stat().st_uid:
        return
    owner = folder.stat()
    try:
        os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:
        os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
