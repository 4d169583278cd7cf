"""Where it is remembered what must stay and what was forgotten, and who reads it. Decision 0034."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from vcond import __version__
from vcond.app.forgetting import Parts, places
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import Instant
from vcond.config import Config, DaemonConfig, KeysConfig
from vcond.records.forgetting import Forgetter, Forgetting
from vcond.records.holds import Hold, Holds
from vcond.records.receipts import Receipts
from vcond.records.record_files import RecordFiles
from vcond.records.tombstones import Tombstones
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()

FOLDER: Final = "records"
MARK: Final = "records-folder"
"""Of the state folder: says where they are."""
LONGEST: Final = 4096
"""Bytes of it."""


def folder(config: Config) -> Path:
    """Where it is already; else not in the state folder, whose old backup may come back, if that of the keys is there.

    The folder of keys that nobody has named belongs to the state folder that nobody has named: a demo beside it has its own.
    """
    keys, state = Path(config.keys.store), Path(config.vcond.state_dir)
    ours = config.keys.store != KeysConfig().store or config.vcond.state_dir == DaemonConfig().state_dir
    if not ours or not os.access(keys, os.R_OK | os.W_OK | os.X_OK):
        return state / FOLDER
    return next((one / FOLDER for one in (keys, state) if (one / FOLDER).is_dir()), keys / FOLDER)


def settle(config: Config) -> None:
    """It is noted in the state folder where they are, so that one whose disk is not mounted is not taken for an empty one.

    Raises ConfigError: without them what is held would go, and what was forgotten come back.
    """
    state, at = Path(config.vcond.state_dir), folder(config)
    mark, name = state / MARK, FOLDER if at == state / FOLDER else str(at)
    whole = WholeFiles(Files())
    try:
        told = whole.read(mark, LONGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        told = ""
    except OSError as why:
        raise StorageError(f"cannot read {mark}: {why.strerror}; check the disk") from None
    if told == name and at.is_dir():
        return
    if told:
        raise ConfigError(
            f"legal holds and what was forgotten are in {state / told}, and that is not there or cannot be used: mount that folder; if "
            f"you moved them to {at}, or they are gone for good, delete {mark}", "keys.store",
        )  # fmt: skip
    try:
        whole.make_folder(at)
        whole.publish(mark, name.encode())
    except OSError as why:  # calls that go on are worth more
        log.error(  # noqa: TRY400 - no trace
            "cannot note where legal holds are; the next start does",
            error=why.strerror,
            file=str(mark),
            hint="check the disk",
        )


def tombstones(config: Config, now: Callable[[], Instant]) -> Tombstones:
    """What was forgotten. Raises StorageError."""
    return Tombstones(folder(config), now)


def forgetter(config: Config, daemon: Parts, now: Callable[[], Instant], receipts: Receipts) -> Forgetter:
    """What is being forgotten. Raises StorageError."""
    files = RecordFiles(folder(config) / "forgetting", Forgetting, WholeFiles(Files()))
    held = daemon.holds.on
    return Forgetter(
        places(daemon),
        files,
        daemon.tombstones,
        now=now,
        receipt=receipts.keep,
        held=lambda uuid: held(uuid) is not None,
    )


def receipts(config: Config, now: Callable[[], Instant], sign: Callable[[bytes], bytes] | None) -> Receipts:
    """Signed as vCons are, where a key is configured: by ``sign``."""
    return Receipts(
        folder(config) / "receipts",
        WholeFiles(Files()),
        issuer=config.vcond.host,
        software=f"vcond {__version__}",
        sign=sign,
        now=now,
    )


def holds(config: Config, now: Callable[[], Instant], *, ours: bool = True) -> Holds:
    """All legal holds; ``ours``: as the daemon has them, which alone writes them. Raises StorageError."""
    return Holds(RecordFiles(folder(config) / "holds", Hold, WholeFiles(Files()), ours=ours), now)
