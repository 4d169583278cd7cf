"""Files of the configuration, with keys as they are called now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcond.base.errors import ConfigError
from vcond.config import files_of
from vcond.config.load import reading
from vcond.config.renamed import Change, migrated
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles


@dataclass(frozen=True)
class Migrated:
    """One file with old keys."""

    file: Path
    text: str
    """With new ones."""
    changes: list[Change]


def migrate(path: Path, *, write: bool) -> list[Migrated]:
    """``path`` and the files of ``vcond.d`` beside it that have old keys. Nothing is written unless all can be migrated.

    A file keeps its mode and owner, and is replaced as a whole. Raises ConfigError, and OSError.
    """
    found = [one for one in map(_migrated, files_of(path)) if one.changes]
    whole = WholeFiles(Files())
    for one in found if write else ():
        target = one.file.resolve()  # a link stays one
        was = target.stat()
        whole.publish(target, one.text.encode(), mode=was.st_mode & 0o777, owner=(was.st_uid, was.st_gid))
    return found


def rows(found: list[Migrated]) -> list[dict[str, Any]]:
    """Where each key stands; no value is shown."""
    return [
        {"file": str(one.file), "line": change.line, "key": change.old, "now": change.new}
        for one in found
        for change in one.changes
    ]


def lines(found: list[Migrated], *, write: bool) -> Iterator[str]:
    """The same for people, and what to do."""
    for row in rows(found):
        yield f"{row['file']}:{row['line']}: {row['key']} -> {row['now']}"
    if not found:
        yield "nothing to rename"
    else:
        yield "written; check it with `vcond check`" if write else "nothing was written; use --write to write it"


def _migrated(file: Path) -> Migrated:
    with reading(file):
        text = file.read_bytes().decode()  # as it is: line ends too
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        try:
            new, changes = migrated(text.removeprefix(mark))
        except ConfigError as why:
            raise ConfigError(f"{why} (in {file})") from None
    return Migrated(file, mark + new, changes)
