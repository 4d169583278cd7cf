"""Audio that FreeSWITCH writes to a raw file while the call goes on (``uuid_record``), followed as it grows.

The file lies on a tmpfs, so reading never waits for a disk. It holds 16-bit samples and no time: while its party
holds nothing is written at all, and the file is just shorter. So each piece is placed by when it became readable, and
the core learns from CHANNEL_HOLD what the gap is. What was read is given back to the system (a hole in the file).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

from vcond.sdk.contract import MILLI, SECOND, ArrivalClock, Instant, SpanKind, Track, nanos
from vcond.sdk.tap import TapState
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.tap import PAUSES, TapContext

FRAME_MS: Final = 20
"""FreeSWITCH writes steps of 20 ms."""
AT_ONCE: Final = 1 << 18
"""Bytes read at one look: 8 s of one party at 16 kHz. More waits for the next look, so that no file holds up others."""
FREE_AFTER: Final = 1 << 20
"""Bytes read between two times that space is given back: 32 s."""
LARGEST_END: Final = 64 << 20
"""Bytes read when a file is complete: half an hour that waited."""
NATIVE: Final = 8000
"""Samples a second that ``variable_record_samples`` counts when the event names no rate of the codec."""
JITTER_MS: Final = 60
"""How unevenly a file grows (20 to 40 ms, measured). A longer gap is one: a leg that leaves a bridge for an application
gives nothing for 130 to 160 ms, and what comes then must not be placed before it was said."""
PREFIX: Final = "vcond-"
"""How the names of all files of taps begin."""

TWO_SIDED: Final = "s"
"""At the end of the name of a file that has two channels, what a party says and what it hears."""
STEREO: Final = "m"
"""The same when both are what the party says: its codec has two channels, and FreeSWITCH records as many
(``switch_ivr_record_session_event``: "if leg is already stereo this feature is not available")."""

_ODD: Final = re.compile(r"[^A-Za-z0-9_-]")

_PUNCH_HOLE: Final = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, linux/falloc.h."""


class Follower:
    """Reads one growing file. ``both`` = two channels, the second to a track of its own; ``stereo`` = two of one party."""

    def __init__(self, path: Path, rate: int, *, both: bool = False, stereo: bool = False) -> None:
        self.path = path
        self.read = 0
        """Bytes read so far."""
        self.alone = True
        """Whether no other process reads it: another vcond has its files in the same directory."""
        self.width = 4 if both or stereo else 2
        """Bytes of a moment."""
        self._rate = rate
        self._stereo = stereo
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
            self.alone = lock(self._fd)
        return True

    @property
    def size(self) -> int:
        """Bytes that are in the file now; 0 when it is not there yet."""
        return os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def skip_to(self, offset: int) -> None:
        """Begin there: what is before was read by an earlier run."""
        self.read = max(0, offset - offset % self.width)

    def pump(self, now: Instant, track: Track, other: Track | None) -> int:
        """Write what is new to the track (and the second channel to ``other``); how many bytes. Raises OSError."""
        if not self.open():
            return 0
        data = os.pread(self._fd, AT_ONCE, self.read)
        whole = len(data) - len(data) % self.width
        if not whole:
            return 0
        self.read += whole
        behind = max(0, self.size - self.read)
        step = self._rate * FRAME_MS // 1000 * self.width
        for start in range(0, whole, step):
            part = data[start : min(start + step, whole)]
            # The last sample in the file was spoken just now, what comes before it that much earlier.
            late = nanos((whole - start - len(part) + behind) // self.width, self._rate)
            arrived = Instant(now - late)
            if other is None:
                track.write(_mixed(part) if self._stereo else part, arrived=arrived)
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

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _free(self) -> None:
        """Give back the blocks that were read; where that cannot be done the file goes when the call does."""
        whole = self.read - self.read % 4096
        _fallocate(self._fd, self._freed, whole - self._freed)
        self._freed = whole


class FileTap:
    """FreeSWITCH writes to a file here: works on a stock switch, needs the same machine."""

    kind: Final = "file"

    def __init__(self, leg: Leg, manager: TapContext, *, both: bool, path: Path | None = None) -> None:
        self.leg = leg
        self.heard = 0
        self.state = TapState(PAUSES)
        self.asked = False
        self.told: int | None = None
        """Bytes that FreeSWITCH says it wrote."""
        self._stereo = leg.stereo if path is None else stereo(path)
        self._both = both and not self._stereo
        self._manager = manager
        self._name(path)
        self._tracks: tuple[Track, Track | None] | None = None

    def _name(self, path: Path | None = None) -> None:
        """A file of its own for each start: FreeSWITCH would begin one that is there anew, under the reader's hand."""
        now = self._manager.host.clock.now()
        self.id = f"{now // MILLI:x}-{uuid4().hex[:6]}{STEREO if self._stereo else TWO_SIDED if self._both else ''}"
        self.path = path or Path(self._manager.config.directory) / f"{PREFIX}{safe(self.leg.channel)}-{self.id}.r16"
        self._follower = Follower(self.path, self._manager.config.rate, both=self._both, stereo=self._stereo)
        self.told = None

    @property
    def hint(self) -> str:
        """What to look at when nothing comes."""
        return "check that FreeSWITCH can write to the directory and that it is the same one here; run: vcond check"

    def start_command(self) -> str:
        """What starts it."""
        return commands.record_start(
            self.leg.channel, str(self.path), self._manager.config.rate, self.id, both=self._both
        )

    def stop_command(self) -> str:
        """What removes it."""
        return commands.record_stop(self.leg.channel, str(self.path))

    def is_there(self, targets: list[str]) -> bool:
        """Whether it is among the taps of its channel."""
        return str(self.path) in targets

    def resume(self, unread: Callable[[Path, int, int, Instant], int] | None) -> bool:
        """Go on with a file of an earlier run, where ``unread`` tells what was not read of it. False when it cannot be."""
        try:
            there = self._follower.open()
        except OSError:
            return False
        if there and self._follower.alone:
            rate, width = self._manager.config.rate, self._follower.width
            size, now = self._follower.size, self._manager.host.clock.now()
            missing = unread(self.path, size // width, rate, now) * rate // SECOND * width if unread else 0
            self._follower.skip_to(size - missing)
            return True
        self._follower.close()
        return False

    def look(self, now: Instant) -> None:
        """Read what is new."""
        try:
            if self._follower.open() and self._follower.size > self._follower.read:
                track, other = self._open(now)
                if track is not None:
                    self.heard += self._follower.pump(now, track, other)
                    self.state.last = now
        except OSError as why:
            self._manager.trouble(self, why)

    def wrote(self, event: Event) -> None:
        """RECORD_STOP: how much FreeSWITCH wrote, counted at the codec's rate."""
        rate = number(event.read_rate) or NATIVE
        samples = number(event.record_samples)
        if samples:
            self.told = samples * self._manager.config.rate // rate * self._follower.width

    def again(self, at: Instant) -> None:
        """Another start follows: the file of the last one is read to its end and removed."""
        self._finish(at)
        self._manager.spent(self.path)
        self._name()

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """Read to the end and compare with what FreeSWITCH says it wrote; remove the file."""
        self._finish(at)
        for track in self._tracks or ():
            if track is not None:
                track.close(at=at)
        if not leave:
            self._manager.spent(self.path)

    def _finish(self, at: Instant) -> None:
        try:
            if self._follower.open() and self._follower.size > self._follower.read:
                track, other = self._open(at)
                if track is not None:
                    self.heard += self._follower.finish(at, track, other)
        except OSError as why:
            self._manager.trouble(self, why)
        if self.told is not None and self.told > self._follower.read:
            missing = (self.told - self._follower.read) * 1000 // (self._manager.config.rate * self._follower.width)
            if missing >= FRAME_MS:
                self._manager.host.dropped("frame", "not-written", missing // FRAME_MS)
                self.leg.warn(at, "audio-missing", "the switch wrote less audio of a party than it says")
        self._follower.close()

    def _open(self, now: Instant) -> tuple[Track | None, Track | None]:
        if self._tracks is None:
            rate = self._manager.config.rate
            track = self.leg.open_track(now, rate, ArrivalClock(JITTER_MS))
            if track is None:
                return None, None
            self._tracks = (track, self.leg.open_system_track(now, rate) if self._both else None)
        track, system = self._tracks
        if system is not None and self.leg.talking and not isinstance(system, Nobody):
            # It hears people now, who have tracks of their own.
            system.close(at=now)
            self.leg.system_left(now)
            self._tracks = (track, Nobody())
        return self._tracks


class Nobody:
    """Takes what is not to be kept."""

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Forget it."""

    def absent(self, since: Instant, until: Instant, kind: SpanKind) -> None:
        """Forget it."""

    def close(self, *, at: Instant) -> None:
        """Nothing to close."""


def safe(channel: str) -> str:
    """A channel's id as a part of a file's name: whatever a path or a command could not have is a dash."""
    return _ODD.sub("-", channel)


def began(path: Path) -> Instant | None:
    """When the tap of a file was started, as its name says."""
    words = path.stem.rsplit("-", 2)
    try:
        return Instant(int(words[1], 16) * MILLI) if len(words) == 3 else None
    except ValueError:
        return None


def two_sided(path: Path) -> bool:
    """Whether a file has what a party says and what it hears."""
    return path.stem.endswith(TWO_SIDED)


def stereo(path: Path) -> bool:
    """Whether a file has two channels of one party."""
    return path.stem.endswith(STEREO)


def lock(fd: int) -> bool:
    """Keep other processes of ours away from an open file for as long as it is open; False when one has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _split(pcm: bytes) -> tuple[bytes, bytes]:
    """Left and right of interleaved 16-bit samples."""
    pairs = memoryview(pcm).cast("H")
    return pairs[::2].tobytes(), pairs[1::2].tobytes()


def _mixed(pcm: bytes) -> bytes:
    """The mean of left and right of interleaved 16-bit samples."""
    both = memoryview(pcm).cast("h")
    return array("h", [(left + right) // 2 for left, right in zip(both[::2], both[1::2], strict=True)]).tobytes()


def _fallocate(fd: int, offset: int, length: int) -> bool:
    """Punch a hole into a file; whether it was done. The standard library has no call for it."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):  # not Linux
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return bool(call(fd, _PUNCH_HOLE, offset, length) == 0)
