"""Where it is remembered what must stay and what was forgotten, and who reads it. Decision 0034."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from vcond.base.time import Instant
from vcond.config import Config
from vcond.records.holds import Hold, Holds
from vcond.records.record_files import RecordFiles
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

FOLDER: Final = "records"


def folder(config: Config) -> Path:
    """Not in the state folder, whose old backup may come back, where the folder of the keys is there."""
    keys = Path(config.keys.store)
    return (keys if keys.is_dir() else Path(config.vcond.state_dir)) / FOLDER


def holds(config: Config, now: Callable[[], Instant]) -> Holds:
    """All legal holds. Raises StorageError."""
    return Holds(RecordFiles(folder(config) / "holds", Hold, WholeFiles(Files())), now)
