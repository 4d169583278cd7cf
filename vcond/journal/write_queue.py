"""The hand-over from whoever captures to the writer thread. Its lock is never held during I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.journal.file_buffers import Block, Disk, FileBuffer, Log, Lost, Track

COALESCE: Final = 0.2
"""Seconds that audio may wait so that one system call serves many frames."""
PROMPT: Final = 1 << 16
"""Bytes of one track that are not made to wait."""
Report = Callable[[Lost, str, int, int], None]
"""Calls ``lost(track_file, start, stop)`` where it belongs, on the loop; start and stop in samples."""


class Command(Protocol):
    """Something the writer is asked to do in turn."""

    def run(self, writer: Disk) -> None:
        """Do it; disk trouble is dealt with inside."""

    def fail(self, why: Exception) -> None:
        """It will not be done, for a fault of ours."""


Due = tuple[list[FileBuffer], list[Track], deque[Command]]
"""Files to be written at once, tracks whose turn it is, and what was asked."""


class WriteQueue:
    """What waits for the writer. ``limit`` bounds the bytes held in memory; only audio is ever turned away.

    Callers of ``event``, ``audio`` and ``ask`` wait for nothing but the lock, which is held for microseconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float], report: Report) -> None:
        self.limit = limit
        self.share = max(1, limit // 4)
        """No track may take more of the limit than this, lest one bad file starves the others."""
        self.waiting = 0
        self.trouble = ""
        self.audio_due: float | None = None
        self._clock, self._report = clock, report
        self._lock = threading.Lock()
        self.ready = threading.Condition(self._lock)
        """Told when the writer has something to do."""
        self._prompt: list[FileBuffer] = []
        self._tracks: list[Track] = []
        self._commands: deque[Command] = deque()
        self._overflow = False
        self._closed = False

    # From here to the next mark: for whoever captures.

    def event(self, log: Log, record: bytes) -> None:
        """A record for the end of a log, at once."""
        with self._lock:
            log.add(log.end, record)
            self.waiting += len(record)
            self._queue_at_once(log)

    def nudge(self, buffer: FileBuffer, *, anew: bool = False) -> list[Block]:
        """A file has prerequisites: steps before its next byte. With ``anew`` what waits is not: all blocks that there were."""
        with self._lock:
            old = [*buffer.taken, *buffer.unsynced, *buffer.pending] if anew else []
            if anew:
                buffer.taken.extend(buffer.pending)
                buffer.pending.clear()
            self._queue_at_once(buffer)
        return old

    def audio(self, track: Track, start: int, data: bytes) -> None:
        """Bytes for a place in a track, soon; dropped when too much waits."""
        size = len(data)
        report = None
        with self._lock:
            if self.waiting + size > self.limit or track.waiting + size > self.share:
                report = self._drop(track, start, size)
            else:
                track.add(start, data)
                self.waiting += size
                if not track.queued or track.waiting - size < PROMPT <= track.waiting:
                    self._queue_track(track)
                if track.lost is not None:
                    report = track.told()
        if report is not None:
            self._report(track.on_lost, track.name, report[0] // 2, report[1] // 2)

    def ask(self, command: Command) -> None:
        """Something for the writer to do."""
        with self._lock:
            if not self._closed:
                self._commands.append(command)
                self.ready.notify()
                return
        command.fail(StorageError("the store is closed"))

    def report_lost(self, track: Track) -> None:
        """Report what was dropped and not yet reported."""
        with self._lock:
            report = track.told()
        if report is not None:
            self._report(track.on_lost, track.name, report[0] // 2, report[1] // 2)

    def unwritten(self, buffer: FileBuffer, start: int, stop: int) -> list[tuple[int, bytes]]:
        """Copies of what waits for ``[start, stop)``, in the order of writing."""

        def cut(block: Block) -> tuple[int, bytes]:
            return max(start, block.start), bytes(block.data[max(0, start - block.start) : stop - block.start])

        with self._lock:
            blocks = [block for block in buffer.waiting_blocks() if block.start < stop and block.stop > start]
            # only the last block can still grow; the others are copied without holding anybody up
            last = cut(blocks.pop()) if blocks else None
        return [*map(cut, blocks), *([] if last is None else [last])]

    @property
    def state(self) -> str:
        """Why not all is written; empty when all is well."""
        if not self.trouble and self._overflow:
            return f"the disk is too slow: {self.waiting} bytes wait and new audio is dropped: use a faster disk"
        return self.trouble

    # From here on: for the writer.

    def collect(self, now: float, *, commands: bool = True) -> tuple[list[FileBuffer], list[Track], deque[Command]]:
        """What has something new to be written at once, tracks when they are due, and, if ``commands``, what was asked."""
        with self._lock:
            logs, self._prompt = self._prompt, []
            asked: deque[Command] = deque()
            if commands:
                asked, self._commands = self._commands, asked
            tracks: list[Track] = []
            if self.audio_due is not None and now >= self.audio_due:
                tracks, self._tracks = self._tracks, tracks
                self.audio_due = None
            self._overflow = self._overflow and self.waiting >= self.limit // 2
            metrics.journal_pending_bytes.set(self.waiting)
            return logs, tracks, asked

    def close(self) -> tuple[list[FileBuffer], deque[Command]]:
        """No more commands; all that is queued, due or not, and the commands that were not collected."""
        with self._lock:
            self._closed = True
            buffers: list[FileBuffer] = [*self._prompt, *self._tracks]
            self._prompt, self._tracks, self.audio_due = [], [], None
            commands, self._commands = self._commands, deque()
            return buffers, commands

    def take(self, buffer: FileBuffer) -> deque[Block]:
        """The blocks of a buffer that are to be written, first to last; none of them grows any more."""
        with self._lock:
            buffer.queued = False
            buffer.taken.extend(buffer.pending)
            buffer.pending.clear()
            return buffer.taken

    def written(self, buffer: FileBuffer) -> Block:
        """The first block taken is in the file. It is one of ``taken`` or ``unsynced`` at any moment, as ``nudge`` counts on."""
        with self._lock:
            buffer.unsynced.append(block := self._release(buffer))
            return block

    def refused(self, track: Track) -> None:
        """The first block taken cannot be written, ever."""
        with self._lock:
            block = self._release(track)
        metrics.dropped_total.labels("audio", "disk").inc()
        self._report(track.on_lost, track.name, block.start // 2, block.stop // 2)

    def discard(self, buffer: FileBuffer, only: Sequence[Block] | None = None) -> None:
        """Nobody wants the file any more, or only these blocks of what was taken."""
        with self._lock:
            kept = () if only is None else [one for one in buffer.taken if not any(one is gone for gone in only)]
            buffer.taken.clear()
            buffer.taken.extend(kept)
            buffer.pending = [] if only is None else buffer.pending
            size = sum(len(block.data) for block in buffer.waiting_blocks())
            self.waiting -= buffer.waiting - size
            buffer.waiting = size

    def again(self, buffer: FileBuffer) -> int:
        """What was written and not synced has to be written again; its size."""
        with self._lock:
            buffer.taken.extendleft(reversed(buffer.unsynced))
            size = sum(len(block.data) for block in buffer.unsynced)
            buffer.waiting += size
            self.waiting += size
            buffer.unsynced.clear()
            return size

    def sleep(self, until: float | None, over: Callable[[], bool] | None = None, *, writes: bool = True) -> None:
        """Wait for something to do, at most until the clock shows ``until``; or until something is ``over``, and for ``writes``."""
        with self._lock:
            if (self._prompt and writes) or (over() if over is not None else self._commands):
                return
            due = min((at for at in (until, self.audio_due if writes else None) if at is not None), default=None)
            self.ready.wait(None if due is None else max(0.0, due - self._clock()))

    # With the lock held.

    def _queue_at_once(self, buffer: FileBuffer) -> None:
        if not buffer.queued:
            buffer.queued = True
            self._prompt.append(buffer)
            self.ready.notify()

    def _queue_track(self, track: Track) -> None:
        if not track.queued:
            track.queued = True
            self._tracks.append(track)
            if self.audio_due is None:
                self.audio_due = self._clock() + COALESCE
                self.ready.notify()
        if track.waiting >= PROMPT:
            self.audio_due = 0.0
            self.ready.notify()

    def _release(self, buffer: FileBuffer) -> Block:
        block = buffer.taken.popleft()
        buffer.waiting -= len(block.data)
        self.waiting -= len(block.data)
        return block

    def _drop(self, track: Track, start: int, size: int) -> tuple[int, int] | None:
        """Count a loss; the stretch before it, when that has to be reported now."""
        metrics.dropped_total.labels("audio", "disk" if self.trouble else "backlog").inc()
        self._overflow = True
        return track.lose(start, size)
