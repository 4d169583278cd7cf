"""Small files of one kind in one folder, each there completely or not at all: holds, forgettings."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()

LARGEST: Final = 16 << 20
"""Bytes of one of them."""
T = TypeVar("T", bound=msgspec.Struct)


class RecordFiles(Generic[T]):
    """``<name>.json`` in a folder. Blocks and raises OSError; one may be used from any thread."""

    def __init__(self, folder: Path, kind: type[T], files: WholeFiles, *, ours: bool = True) -> None:
        """``folder`` is made with the first file. ``ours``: nobody else writes there, so that what a crash left may go."""
        self.folder, self._kind, self._files, self._ours = folder, kind, files, ours

    def read(self) -> tuple[dict[str, T], list[str]]:
        """All of them by name, and the names of those that cannot be read: these are left where they are, loudly."""
        found: dict[str, T] = {}
        damaged: list[str] = []
        if not self.folder.is_dir():
            return found, damaged
        if self._ours:
            self._files.clear(self.folder)
        for path in sorted(self.folder.glob("*.json")):
            try:
                found[path.stem] = msgspec.json.decode(self._files.read(path, LARGEST), type=self._kind)
            except (OSError, msgspec.DecodeError) as why:
                said = why.strerror if isinstance(why, OSError) else "not what vcond wrote"
                log.error("cannot read a record of this edge; restore it", file=str(path), error=said)  # noqa: TRY400 - no trace
                damaged.append(path.stem)
        return found, damaged

    def put(self, name: str, record: T) -> None:
        """Durable when it returns; one of that name is replaced."""
        self._files.make_folder(self.folder)
        self._files.publish(self.folder / f"{name}.json", msgspec.json.encode(record))

    def remove(self, name: str) -> None:
        """Durably. One that is gone is fine."""
        self._files.remove(self.folder / f"{name}.json")
