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
ASIDE: Final = ".damaged"
"""Ending of what was put aside: it is not read any more, and told of until somebody deletes it."""
MOST_ASIDE: Final = 10
"""Put aside of one name; after that the last one is replaced."""
DAMAGED: Final = "it is not what vcond wrote"
T = TypeVar("T", bound=msgspec.Struct)


class RecordFiles(Generic[T]):
    """``<name>.json`` in a folder. Blocks and raises OSError; one may be used from any thread."""

    def __init__(self, folder: Path, kind: type[T], files: WholeFiles, *, ours: bool = True) -> None:
        """``folder`` is made with the first file. ``ours``: nobody else writes there, so that what a crash left may go."""
        self.folder, self._kind, self._files, self._ours = folder, kind, files, ours

    def read(self) -> tuple[dict[str, T], dict[str, str]]:
        """All of them by name, and why others of that name cannot be read: those are left as they are."""
        found: dict[str, T] = {}
        damaged: dict[str, str] = {}
        if not self.folder.is_dir():
            return found, damaged
        if self._ours:
            self._clear()
        for path in sorted(self.folder.iterdir()):  # a glob takes a folder that may not be read for an empty one
            if path.suffix != ".json":
                continue
            try:
                found[path.stem] = msgspec.json.decode(self._files.read(path, LARGEST), type=self._kind)
            except FileNotFoundError:
                continue  # the daemon removed it just now
            except (OSError, ValueError, RecursionError) as why:
                damaged[path.stem] = str(why.strerror) if isinstance(why, OSError) else DAMAGED
        return found, damaged

    def _clear(self) -> None:
        """What a crash left half written is in nobody's way: a disk that does not let it go keeps nothing from being read."""
        try:
            self._files.clear(self.folder)
        except OSError as why:
            log.warning(
                "cannot delete what an interrupted write left; the next start does", folder=str(self.folder), error=why.strerror,
                hint="check the disk",
            )  # fmt: skip

    def put_aside(self, name: str) -> tuple[Path, bytes]:
        """Where what a damaged one has is durably beside it then, read no more, and what that is; it goes with ``remove`` or ``put``.

        What was put aside before, and nobody has looked at, stays, unless there is very much of it.
        """
        path = self.path(name)
        body = self._files.read(path, LARGEST)
        names = [path.with_name(f"{path.name}{f'.{again}' if again else ''}{ASIDE}") for again in range(MOST_ASIDE)]
        aside = next((one for one in names if not one.exists() or self._files.read(one, LARGEST) == body), names[-1])
        self._files.publish(aside, body)
        return aside, body

    def aside(self) -> list[Path]:
        """What was put aside, and nobody has deleted."""
        return sorted(self.folder.glob(f"*{ASIDE}"))

    def path(self, name: str) -> Path:
        """The file of that name."""
        return self.folder / f"{name}.json"

    def put(self, name: str, record: T) -> None:
        """Durable when it returns; one of that name is replaced."""
        self._files.make_folder(self.folder)
        self._files.publish(self.path(name), msgspec.json.encode(record))

    def remove(self, name: str) -> None:
        """Durably. One that is gone is fine."""
        self._files.remove(self.path(name))
