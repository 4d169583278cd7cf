"""Audio that FreeSWITCH writes to a raw file while the call goes on (``uuid_record``), followed as it grows.

The file lies on a tmpfs, so reading never waits for a disk. It holds 16-bit samples and no time: while its party
holds nothing is written at all, and the file is just shorter. So each piece is placed by when it became readable, and
the core learns from CHANNEL_HOLD what the gap is. What was read is given back to the system (a hole in the file).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

from vcond.adapter import Instant, Track, nanos

FRAME_MS: Final = 20
"""FreeSWITCH writes steps of 20 ms."""
AT_ONCE: Final = 1 << 18
"""Bytes read at one look: 8 s of one party at 16 kHz. More waits for the next look, so that no file holds up others."""
FREE_AFTER: Final = 1 << 20
"""Bytes read between two times that space is given back: 32 s."""
LARGEST_END: Final = 64 << 20
"""Bytes read when a file is complete: half an hour that waited."""

_PUNCH_HOLE: Final = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, linux/falloc.h."""


class Follower:
    """Reads one growing file. ``both`` = two channels, the second to a track of its own."""

    def __init__(self, path: Path, rate: int, *, both: bool = False) -> None:
        self.path = path
        self.read = 0
        """Bytes read so far."""
        self.skipped = 0
        """Bytes at its beginning that were not read, on purpose."""
        self._rate = rate
        self._width = 4 if both else 2
        self._fd = -1
        self._freed = 0

    def open(self) -> bool:
        """Open the file, once it is there. Raises OSError when it is there and cannot be read."""
        if self._fd < 0:
            try:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return False
            except PermissionError:  # reading is enough; only space cannot be given back then
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return True

    @property
    def size(self) -> int:
        """Bytes that are in the file now; 0 when it is not there yet."""
        return os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def skip_to(self, offset: int) -> None:
        """Begin there: what is before was read by an earlier run."""
        self.read = self.skipped = max(0, offset - offset % self._width)

    def pump(self, now: Instant, track: Track, other: Track | None, *, limit: int = AT_ONCE) -> int:
        """Write what is new to the track (and the second channel to ``other``); how many bytes. Raises OSError."""
        if not self.open():
            return 0
        data = os.pread(self._fd, limit, self.read)
        whole = len(data) - len(data) % self._width
        if not whole:
            return 0
        self.read += whole
        behind = max(0, self.size - self.read)
        step = self._rate * FRAME_MS // 1000 * self._width
        for start in range(0, whole, step):
            part = data[start : min(start + step, whole)]
            # The last sample in the file was spoken just now, what comes before it that much earlier.
            late = nanos((whole - start - len(part) + behind) // self._width, self._rate)
            arrived = Instant(now - late)
            if other is None:
                track.write(part, arrived=arrived)
            else:
                left, right = _split(part)
                track.write(left, arrived=arrived)
                other.write(right, arrived=arrived)
        if self.read - self._freed >= FREE_AFTER:
            self._free()
        return whole

    def finish(self, now: Instant, track: Track, other: Track | None) -> int:
        """The file is complete: read it to its end; how many bytes that were. Raises OSError."""
        taken = 0
        while taken < LARGEST_END and (got := self.pump(now, track, other)):
            taken += got
        return taken

    def close(self, *, remove: bool) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _free(self) -> None:
        """Give back the blocks that were read; where that cannot be done the file goes when the call does."""
        whole = self.read - self.read % 4096
        _fallocate(self._fd, self._freed, whole - self._freed)
        self._freed = whole


def _split(pcm: bytes) -> tuple[bytes, bytes]:
    """Left and right of interleaved 16-bit samples."""
    pairs = memoryview(pcm).cast("H")
    return pairs[::2].tobytes(), pairs[1::2].tobytes()


def _fallocate(fd: int, offset: int, length: int) -> bool:
    """Punch a hole into a file; whether it was done. The standard library has no call for it."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):  # not Linux
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return bool(call(fd, _PUNCH_HOLE, offset, length) == 0)
