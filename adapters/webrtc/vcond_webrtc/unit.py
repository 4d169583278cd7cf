"""What systemd says of the daemon's unit."""

from __future__ import annotations

import asyncio
from typing import Final

UNIT: Final = "vcond.service"
PATIENCE: Final = 3.0


async def forbids_executable_memory(systemctl: str = "systemctl") -> bool | None:
    """Whether the unit has MemoryDenyWriteExecute=yes; None when there is no systemd to be asked."""
    try:
        process = await asyncio.create_subprocess_exec(
            systemctl, "show", UNIT, "--property=MemoryDenyWriteExecute", "--value",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            told, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()  # not wait(): the pipe is to be closed too
        return None
    return {b"yes": True, b"no": False}.get(told.strip())
