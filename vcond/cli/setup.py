"""``vcond setup``: the steps for one system, printed or written."""

from __future__ import annotations

import os
from pathlib import Path

from vcond.app.plugins import without_links
from vcond.app.setup_steps import Steps, steps
from vcond.base.errors import StorageError
from vcond.config import as_written
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles


def setup_text(name: str, config: Path) -> str:
    """What is printed."""
    return without_links(_steps(name, config).text)


def write_files(name: str, config: Path, folder: Path) -> list[str]:
    """The steps as ``NAME.md`` and its snippets as files; those that are there stay. What was done, in lines. Raises StorageError."""
    found, files = _steps(name, config), WholeFiles(Files())
    lines = []
    try:
        for file, text in {f"{name}.md": without_links(found.text), **found.files}.items():
            target = folder / file
            if target.exists():
                lines.append(f"{target}: is there, and was left as it is")
                continue
            files.make_folder(target.parent)
            files.publish(target, text.encode())
            lines.append(str(target))
    except OSError as why:
        raise StorageError(f"cannot write {why.filename or folder}: {why.strerror}") from None
    return lines


def _steps(name: str, config: Path) -> Steps:
    return steps(name, as_written(config, os.environ))
