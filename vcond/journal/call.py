"""The journal of one call, as the rest of vcond holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.call.events import Event, Merged, TrackOpened, decode
from vcond.journal.commands import Done, Flush
from vcond.journal.disk_errors import advice
from vcond.journal.file_buffers import FileBuffer, Folder, Log, Lost, Name, Track
from vcond.journal.pieces import KeptPieces
from vcond.journal.prerequisites import Adoption, Erased, Repair, Rewritten
from vcond.journal.records import MAX_LOG, encode
from vcond.journal.recovery import EVENTS, TRACK_NAME, Found
from vcond.journal.write_queue import Command, WriteQueue
from vcond.storage.whole_files import WholeFiles

Pcm = NDArray[np.int16]
"""Shape (samples,): one channel of 16-bit audio."""

MAX_READ: Final = 10 * 3600 * 48_000
"""Samples of one ``read``: ten hours at 48 kHz."""
MAX_POSITION: Final = 7 * 24 * 3600 * 48_000
"""No audio lies beyond this sample: a week at 48 kHz."""
MAX_TRACKS: Final = 1000
"""Audio files of one call."""

_SAMPLE = np.dtype("<i2")


class Owner(Protocol):
    """The store of a journal, as the journal sees it."""

    queue: WriteQueue
    files: WholeFiles

    async def ask(self, command: Callable[[Done], Command]) -> None:
        """Have the writer do something and wait until it is done. Raises what it says."""

    def remove(self, uuid: str) -> None:
        """Delete a journal. Does not wait."""

    def forget(self, journal: CallJournal) -> None:
        """It is closed."""


class CallJournal:
    """Events and audio of one call. Made by ``Store.open`` and ``Store.recover``.

    ``events`` holds all that were recovered or appended (read it, do not change it); ``damage`` says why a recovered
    journal may have had more; ``on_lost(track_file, start, stop)`` is called on the loop for every stretch of samples
    that could not be kept (not after ``close``: flush first). What was handed over is in the file system within about 250 ms, events within a few; it
    is on the disk, safe from power loss, within the store's ``sync_interval`` or when ``flush`` returns.
    """

    def __init__(self, store: Owner, uuid: str, folder: Folder, found: Found | None) -> None:
        self.uuid = uuid
        self.folder = Path(folder.path)
        self.events: list[Event] = found.events if found else []
        self.damage = found.damage if found else ""
        self.on_lost: Lost | None = None
        self.pieces = KeptPieces(self.folder, store.files)
        self._store, self._queue, self._folder = store, store.queue, folder
        self._closed = False
        self._log = Log(Name(folder, EVENTS), size=found.good if found else 0, made=found is not None)
        self._tracks: dict[str, Track] = {}
        if found is not None:
            for file, size in found.tracks.items():
                self._tracks[file] = Track(Name(folder, file), size=size, made=True, on_lost=self._lost)
        if found is not None and found.damage:
            self._log.prerequisites.append(Repair(self._log, found.good, found.aside))
            self._queue.nudge(self._log)

    def append(self, event: Event) -> None:
        """Write an event. Never waits; whatever the disk does it is kept, and is written before those after it.

        Raises ValueError for an event that is too large or cannot be written as msgpack (see ``records.encode``), or
        when the log has reached ``MAX_LOG``; RuntimeError after ``close``.
        """
        if self._closed:
            raise RuntimeError("this journal is closed")
        record = encode(event, first=not self.events)
        if self._log.end + len(record) > MAX_LOG:
            raise ValueError(f"the event log of a call is limited to {MAX_LOG} bytes")
        self.events.append(event)
        self._queue.event(self._log, record)

    def write(self, track_file: str, position: int, pcm: Pcm) -> None:
        """Place samples in a track. Never waits. Audio that cannot be kept is counted, and told to ``on_lost``.

        ``pcm`` is copied. What is written later to the same place wins. Raises ValueError for a name that is no track
        file (``0.pcm``), TypeError for samples that are no int16.
        """
        if pcm.dtype is not _SAMPLE:
            pcm = self._little(pcm)
        track = self._tracks.get(track_file) or self._track(track_file)
        if not 0 <= position <= MAX_POSITION - len(pcm):
            metrics.dropped_total.labels("audio", "position").inc()
        elif self._closed:
            metrics.dropped_total.labels("audio", "closed").inc()
        elif len(pcm):
            self._queue.audio(track, int(position) * 2, pcm.tobytes())

    def read(self, track_file: str, start: int, stop: int) -> Pcm:
        """The samples ``[start, stop)`` of a track; zeros where nothing was written. Includes what is still queued.

        Reads from the file system cache or the disk: for long stretches call it in another thread, which is safe.
        Raises ValueError when ``start`` is negative or behind ``stop``, or for more than ten hours (at 48 kHz);
        StorageError when the disk does.
        """
        if not 0 <= start <= stop or stop - start > MAX_READ:
            raise ValueError(f"cannot read samples {start} to {stop}")
        pcm = np.zeros(stop - start, _SAMPLE)
        track = self._tracks.get(track_file)
        if track is None or start == stop:
            return pcm
        view = pcm.data.cast("B")
        first, last = start * 2, stop * 2
        waiting = self._queue.unwritten(track, first, last)
        self._read_file(track, view, first)
        for at, data in waiting:
            view[at - first : at - first + len(data)] = data
        return pcm

    def length(self, track_file: str) -> int:
        """Where the last sample of a track ends; 0 when there is none."""
        track = self._tracks.get(track_file)
        return track.end // 2 if track else 0

    def erase(self, track_file: str) -> None:
        """Nothing of a track is to be left: what waits is dropped, the file goes. Never waits. It may be written anew.

        What is written from now on comes after that, however long the disk refuses it.
        """
        if (track := self._tracks.get(track_file)) is not None:
            track.prerequisites.append(Erased(track, self.pieces, self._queue.nudge(track, anew=True)))
            self._queue.nudge(track)

    def rewrite(self, events: Iterable[Event]) -> None:
        """Write the event log anew with these, the first a ``CallOpened``. Never waits.

        Until it is on the disk, whole, the old one stays. Raises ValueError as ``append``.
        """
        self.events[:] = events
        data = b"".join(encode(event, first=not at) for at, event in enumerate(self.events))
        self._log.end = len(data)
        self._log.prerequisites.append(Rewritten(self._log, data, self._queue.nudge(self._log, anew=True)))
        self._queue.nudge(self._log)

    async def flush(self) -> None:
        """Return when all that was handed over is safe from power loss.

        Every loss of audio has been told to ``on_lost`` by then. Raises StorageError, which says what to do, when the
        disk refuses; nothing is dropped for it, and the next flush tries again.
        """
        for track in self._tracks.values():
            self._queue.report_lost(track)
        buffers: list[FileBuffer] = [self._log, *self._tracks.values()]
        await self._store.ask(lambda done: Flush(buffers, done))

    def adopt(self, other: CallJournal, files: Mapping[str, str]) -> None:
        """Take audio files of another call: ``{its name: our name}``. Never waits.

        From now on the file is one for both: what either writes, both read. Events appended here afterwards are
        written after the links are made; events appended to ``other`` afterwards, and its removal, wait until all
        that was appended here is on the disk. So append ``Merged`` here first, then ``MergedInto`` there.
        Raises ValueError when a name is in use here, or the other took from this one.
        """
        chain: Log | None = self._log
        while chain is not None:
            if chain is other._log:
                raise ValueError("a call cannot be merged with itself")
            chain = chain.folder.after
        used = self._files_in_use()
        tracks = {new: other._tracks.get(old) or other._track(old) for old, new in files.items()}
        for new in tracks:
            if new in used or not TRACK_NAME.fullmatch(new):
                raise ValueError("track file name in use or invalid")
        for new, track in tracks.items():
            self._queue.report_lost(track)
            track.name, track.on_lost = new, self._lost
            self._tracks[new] = track
            self._log.prerequisites.append(Adoption(track, Name(self._folder, new)))
        other._folder.after = self._log
        self._queue.nudge(self._log)

    def remove(self) -> None:
        """Delete the journal. Does not wait: ``Store.close`` or a flush of any call comes after it."""
        self._closed = True
        self._store.remove(self.uuid)

    def close(self) -> None:
        """Nothing more will be appended; what waits is still written. Frees the events; ``read`` still works."""
        self._closed = True
        self._store.forget(self)

    def _track(self, file: str) -> Track:
        if not TRACK_NAME.fullmatch(file):
            raise ValueError("not a track file's name")
        if len(self._tracks) >= MAX_TRACKS:
            raise ValueError(f"a call has at most {MAX_TRACKS} audio files")
        track = self._tracks[file] = Track(Name(self._folder, file), size=0, made=False, on_lost=self._lost)
        return track

    def _little(self, pcm: Pcm) -> Pcm:
        if pcm.dtype.kind != "i" or pcm.dtype.itemsize != 2:
            raise TypeError("audio must be int16")
        return pcm.astype(_SAMPLE)

    def _lost(self, file: str, start: int, stop: int) -> None:
        if self.on_lost is not None and not self._closed:
            self.on_lost(file, start, stop)

    def _files_in_use(self) -> set[str]:
        """Audio files that the events speak of. Others are left-overs of a merge that a crash cut short."""
        events = list(self.events)
        for merged in [event for event in events if isinstance(event, Merged)]:
            events += [decode(plain) for plain in merged.events if plain.get("t") == "TrackOpened"]
        return {event.file or f"{event.track}.pcm" for event in events if isinstance(event, TrackOpened)}

    def _read_file(self, track: Track, view: memoryview, offset: int) -> None:
        for name in track.names():
            try:
                self._store.files.read_part(name.path, view, offset)
            except FileNotFoundError:
                continue
            except OSError as why:
                raise StorageError(advice(why, name.path)) from why
            return
