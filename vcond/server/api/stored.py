"""The bytes of vCons that are here: of what some sink lacks, and of what is kept."""

from __future__ import annotations

from typing import Final

from vcond.base.errors import StorageError
from vcond.delivery import Outbox
from vcond.delivery.outbox_files import OutboxFiles
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

HERE: Final = {"open", "done", "kept"}
"""Stages of vCons whose file is here."""
LARGEST: Final = 64 << 20
"""Bytes of a vCon that is opened here. One with its audio inside has ``record.inline_limit`` at most."""


class Stored:
    """Reads the outbox's files."""

    def __init__(self, outbox: Outbox, files: Files) -> None:
        self._files = OutboxFiles(outbox.root, WholeFiles(files))

    def read(self, uuid: str) -> bytes:
        """Blocks. It may be put away just now: then it is in the other folder. Raises LookupError, StorageError."""
        for path in (self._files.file(uuid), self._files.kept_file(uuid), self._files.file(uuid)):
            try:
                return self._files.files.read(path, LARGEST)
            except FileNotFoundError:
                continue
            except OSError as why:
                raise StorageError(f"cannot read {path}: {why.strerror}") from None
        raise LookupError("the file of this vCon is not here any more")
