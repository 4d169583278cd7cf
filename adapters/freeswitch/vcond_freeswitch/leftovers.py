"""Files of taps that were read to their end, or that nobody read: removed, or tried again until they are.

Audio must not lie about: what cannot be removed (the directory belongs to FreeSWITCH alone) is said, made empty where
that is allowed, and tried again. A file that another vcond reads is locked by it, and left alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from vcond.sdk.contract import SECOND, AdapterHost, Instant
from vcond_freeswitch.filetap import PREFIX, lock, safe

AGAIN: Final = 60 * SECOND
"""Between two times that the rest is tried, ns."""
START: Final = Instant(0)
MOST: Final = 10_000
"""Files that are remembered."""


def ours(path: Path, directory: str) -> bool:
    """Whether a path is that of a tap: of this vcond, or of another one that has the same directory."""
    return path.parent == Path(directory) and path.name.startswith(PREFIX) and path.suffix == ".r16"


def belongs(path: Path, channel: str) -> bool:
    """Whether the file of a tap was made for that channel."""
    return path.name.startswith(f"{PREFIX}{safe(channel)}-")


class Leftovers:
    """What is to be removed of one directory."""

    def __init__(self, host: AdapterHost, directory: Path) -> None:
        self._host = host
        self._directory = directory
        self._left: dict[Path, None] = {}
        self._tried = START
        """When some could not be removed, and it was said."""

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, path: Path) -> None:
        """Nobody needs a file any more."""
        self._remove([path])

    def tidy(self, now: Instant) -> None:
        """Try again, once a minute, what could not be removed."""
        if self._left and now - self._tried >= AGAIN:
            self._remove(list(self._left))

    def sweep(self, used: Collection[Path]) -> None:
        """Remove files of taps that no channel has, left by an earlier run, but for those that another vcond reads."""
        try:
            found = [path for path in self._directory.glob(f"{PREFIX}*.r16") if path not in used]
        except OSError:
            return
        self._remove(found)

    def of(self, channel: str) -> list[Path]:
        """Files that were made for a channel, the oldest first."""
        try:
            found = [(path.stat().st_mtime_ns, path) for path in self._directory.glob(f"{PREFIX}{safe(channel)}-*.r16")]
        except OSError:
            return []
        return [path for _, path in sorted(found)]

    def _remove(self, paths: list[Path]) -> None:
        failed: OSError | None = None
        for path in paths:
            try:
                removed(path)
                self._left.pop(path, None)
            except OSError as why:
                failed = why
                if path not in self._left and len(self._left) < MOST:
                    self._left[path] = None
                    self._host.dropped("file", "not-removed")
        now = self._host.clock.now()
        if failed is not None and now - self._tried >= AGAIN:
            self._tried = now
            self._host.log.error(
                "cannot delete audio files that were read; retrying every minute",
                error=failed.strerror or type(failed).__name__,
                files=len(self._left),
                directory=str(self._directory),
                hint="the directory must be writable for vcond (step 2 of: vcond setup freeswitch); run: vcond check",
            )


def foreign(path: Path) -> bool:
    """Whether another process reads a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not lock(fd)
    finally:
        os.close(fd)


def removed(path: Path) -> bool:
    """Remove a file of audio; False while another process reads it. Raises OSError when it cannot be done.

    What may not be removed is at least made empty, where that is allowed: nobody writes to it any more.
    """
    if foreign(path):
        return False
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.stat().st_size:
            os.truncate(path, 0)
        raise
    return True
