"""A disk that writes down all that is done to it, and can say what a power failure may have left at any moment.

What it may leave: of each file what was synced, and of what was written since any part, sector by sector; of the names in a
folder those of the last time the folder was synced, and of what was done since any beginning, for each folder apart. A move
is there in both folders or in none, as with a journal of the file system. So it is harder than ext4 and xfs are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from vcond.storage.files import FOLDER_MODE, Files

SECTOR: Final = 512


@dataclass(eq=False)
class Inode:
    """A file, whatever it is called."""

    done: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    """When, where, what: writes; without bytes a new length."""
    synced: list[int] = field(default_factory=list)
    """When what was done before was safe."""

    def left(self, moment: int, chance: Random) -> bytes:
        """Its content after a power failure at a moment."""
        safe = max((at for at in self.synced if at < moment), default=-1)
        content = bytearray()
        some = chance.choice(["none", "all", "first", "any"])
        done = [one for one in self.done if one[0] < moment]
        unsafe = [one for one in done if one[0] > safe]
        first = chance.randrange(len(unsafe) + 1)
        for at, start, data in done:
            rank = len(unsafe) if at <= safe else unsafe.index((at, start, data))
            if data is None:
                if at <= safe or some == "all" or (some == "first" and rank < first):
                    del content[start:]
                    content.extend(bytes(start - len(content)))
                continue
            if at <= safe or some == "all" or (some == "first" and rank < first):
                _put(content, start, data)
            elif some == "any":
                for piece in range(0, len(data), SECTOR):
                    if chance.random() < 0.5:
                        _put(content, start + piece, data[piece : piece + SECTOR])
        return bytes(content)


def _put(content: bytearray, start: int, data: bytes) -> None:
    content.extend(bytes(max(0, start - len(content))))
    content[start : start + len(data)] = data


@dataclass
class Name:
    """One change of names: in which folders, and what it does to ``{path: inode, or None for a folder}``."""

    at: int
    folders: frozenset[str]
    gone: str | None = None
    made: str | None = None
    what: Inode | None = None


class PowerLog(Files):
    """The real disk, and a log of it. For one thread."""

    def __init__(self) -> None:
        self.moment = 0
        """How much was done."""
        self._names: list[Name] = []
        self._safe: dict[str, list[int]] = {}
        self._inodes: dict[str, Inode] = {}
        self._open: dict[int, Inode] = {}

    def _now(self) -> int:
        self.moment += 1
        return self.moment - 1

    def _change(self, *, gone: str | None = None, made: str | None = None, what: Inode | None = None) -> None:
        folders = frozenset(path.rpartition("/")[0] for path in (gone, made) if path is not None)
        self._names.append(Name(self._now(), folders, gone, made, what))

    def open(self, path: str, *, create: bool = False, **more: Any) -> int:
        new = create and not Path(path).exists()
        fd = super().open(path, create=create, **more)
        if new:
            self._inodes[path] = Inode()
            self._change(made=path, what=self._inodes[path])
        if path in self._inodes:
            self._open[fd] = self._inodes[path]
        return fd

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        super().close(fd)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        taken = super().pwrite(fd, data, offset)
        self._open[fd].done.append((self._now(), offset, bytes(data[:taken])))
        return taken

    def truncate(self, fd: int, length: int, *, room: bool = False) -> None:
        super().truncate(fd, length, room=room)
        self._open[fd].done.append((self._now(), length, None))

    def sync(self, fd: int) -> None:
        self._open[fd].synced.append(self._now())

    def make_folder(self, path: str, mode: int = FOLDER_MODE) -> bool:
        made = super().make_folder(path, mode)
        if made:
            self._change(made=path)
        return made

    def sync_folder(self, path: str) -> None:
        self._safe.setdefault(path, []).append(self._now())

    def link(self, old: str, new: str) -> None:
        super().link(old, new)
        self._inodes[new] = self._inodes[old]
        self._change(made=new, what=self._inodes[new])

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        for path in [path for path in self._inodes if path == old or path.startswith(f"{old}/")]:
            self._inodes[new + path.removeprefix(old)] = self._inodes.pop(path)
        self._change(gone=old, made=new, what=self._inodes.get(new))

    def delete_one(self, path: str, *, folder: bool = False) -> bool:
        inside = next(Path(path).iterdir(), None) if folder and Path(path).is_dir() else None
        stays = super().delete_one(path, folder=folder)
        gone = str(inside) if inside is not None else path
        for name in [name for name in self._inodes if name == gone or name.startswith(f"{gone}/")]:
            del self._inodes[name]
        self._change(gone=gone)
        return stays

    def left(self, root: Path, moment: int, into: Path, chance: Random) -> None:
        """Make what is left of ``root`` when the power fails at a moment, as ``into``."""
        names = [name for name in self._names if name.at < moment]
        kept = self._kept(names, moment, chance)
        tree: dict[str, Inode | None] = {}
        for name in (name for name in names if name.at in kept):
            moved = {}
            if name.gone is not None:
                inside = [path for path in tree if path == name.gone or path.startswith(f"{name.gone}/")]
                moved = {path: tree.pop(path) for path in inside}
            if name.made is None:
                continue
            if name.gone is None:
                tree[name.made] = name.what
            else:
                if name.what is not None:
                    moved[name.gone] = name.what
                tree |= {name.made + path.removeprefix(name.gone): what for path, what in moved.items()}
        into.mkdir(parents=True)
        for path in sorted(tree):
            place = into / Path(path).relative_to(root) if Path(path).is_relative_to(root) else into
            if place == into or not place.parent.is_dir():
                continue  # elsewhere, or in a folder whose own name was not safe
            what = tree[path]
            if what is None:
                place.mkdir()
            else:
                place.write_bytes(what.left(moment, chance))

    def _kept(self, names: list[Name], moment: int, chance: Random) -> set[int]:
        """Which changes of names are there: all that had to be, and for each folder a beginning of the others."""
        safe = {folder: max((at for at in when if at < moment), default=-1) for folder, when in self._safe.items()}
        kept: set[int] = set()
        for name in reversed(names):  # a change that must be there needs those before it in its folders
            if any(name.at < safe.get(folder, -1) for folder in name.folders):
                kept.add(name.at)
                for folder in name.folders:
                    safe[folder] = max(safe.get(folder, -1), name.at)
        most = chance.choice([0.0, 0.5, 0.9, 1.0])
        ended: set[str] = set()
        for name in names:
            if name.at in kept:
                continue
            if name.folders & ended or chance.random() >= most:
                ended |= name.folders
            else:
                kept.add(name.at)
        return kept
