"""The folders of the outbox, one file per vCon: ``<uuid>.vcon.json``. All methods block and raise OSError.

``pending/`` what some sink lacks; ``kept/`` what every sink has and ``keep_days`` keeps; ``aside/`` what could not
be taken, with the reason in the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from vcond.storage.names import is_uuid
from vcond.storage.whole_files import WholeFiles

SUFFIX: Final = ".vcon.json"
MOST: Final = 2 << 30
"""Bytes of a vCon; none that vcond makes comes near."""


class _Head(msgspec.Struct):
    """The one member of a vCon that this room reads."""

    uuid: str | None = None


class OutboxFiles:
    """Where the files are."""

    def __init__(self, root: Path, files: WholeFiles) -> None:
        self.files = files
        self.pending, self.kept, self.aside = root / "pending", root / "kept", root / "aside"

    def open(self) -> None:
        """Make the folders, and clear away what an interrupted publish left."""
        for folder in (self.pending, self.kept, self.aside):
            self.files.make_folder(folder)
            self.files.clear(folder)

    def file(self, uuid: str) -> Path:
        """Of a vCon that some sink lacks."""
        return self.pending / f"{uuid}{SUFFIX}"

    def kept_file(self, uuid: str) -> Path:
        """Of a vCon that every sink has."""
        return self.kept / f"{uuid}{SUFFIX}"

    def read(self, path: Path) -> bytes:
        """A vCon."""
        return self.files.read(path, MOST)

    def publish(self, uuid: str, body: bytes) -> None:
        """Durable when it returns."""
        self.files.publish(self.file(uuid), body)

    def set_aside(self, uuid: str, sha512: str, body: bytes) -> Path:
        """Bytes that must not replace others: durable, once per content."""
        path = self.aside / f"{uuid}.{sha512[:16]}{SUFFIX}"
        if not path.exists():
            self.files.publish(path, body)
        return path

    def move_aside(self, name: str) -> Path:
        """A file in ``pending/`` that is none of ours."""
        self.files.move(self.pending / name, self.aside)
        return self.aside / name

    def names(self, folder: Path) -> tuple[set[str], list[str]]:
        """The uuids of the files in a folder, and the names that are none."""
        uuids: set[str] = set()
        strange: list[str] = []
        with os.scandir(folder) as found:
            for item in found:
                uuid = item.name.removesuffix(SUFFIX)
                if item.name.endswith(SUFFIX) and is_uuid(uuid) and item.is_file(follow_symlinks=False):
                    uuids.add(uuid)
                else:
                    strange.append(item.name)
        return uuids, strange


def known(root: Path, uuids: Iterable[str]) -> tuple[list[str], list[str]]:
    """These uuids, or names: those of which an outbox has the file, and the others; before it is open.

    A folder that cannot be listed has none: to open the outbox says why.
    """
    files: set[str] = set()
    for folder in ("pending", "kept"):
        with suppress(OSError):
            files.update(os.listdir(root / folder))  # noqa: PTH208 - a hundred thousand, and only their names
    found: tuple[list[str], list[str]] = [], []
    for uuid in uuids:
        found[uuid + SUFFIX not in files].append(uuid)
    return found


def check_body(uuid: str, body: bytes) -> None:
    """Raises ValueError unless the body is a JSON object that is, or does not say, this uuid.

    A receiver stores a vCon under the uuid inside. The signed and encrypted forms say none in the clear.
    """
    if not is_uuid(uuid):
        raise ValueError("not a uuid in its canonical form")
    try:
        head = msgspec.json.decode(body, type=_Head)
    except (ValueError, RecursionError) as why:
        raise ValueError("not a JSON object") from why
    if head.uuid not in {None, uuid}:
        raise ValueError("the vCon has another uuid inside")
