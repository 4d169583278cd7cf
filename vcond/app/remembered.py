"""Where it is remembered what must stay and what was forgotten, and who reads it. Decision 0034."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from vcond import __version__
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import Instant
from vcond.capture.clock import since_boot
from vcond.config import Config, DaemonConfig, KeysConfig
from vcond.records.forgetting import Forgetter, Forgetting
from vcond.records.holds import Hold, Holds
from vcond.records.receipts import LARGEST as LARGEST_RECEIPT
from vcond.records.receipts import Receipts, readable
from vcond.records.record_files import RecordFiles
from vcond.records.salvage import salvage
from vcond.records.tombstones import FILE as TOMBSTONES
from vcond.records.tombstones import LONGEST, MARK, RESTORE, Tombstones
from vcond.sdk.contract import Finding
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

if TYPE_CHECKING:
    from vcond.app.forgetting import Parts

log = structlog.get_logger()

FOLDER: Final = "records"


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
    """What was forgotten; ``trouble`` of it says why that is not known."""
    return Tombstones(folder(config), now)


def forgetter(config: Config, daemon: Parts, now: Callable[[], Instant], receipts: Receipts) -> Forgetter:
    """What is being forgotten. Raises StorageError."""
    from vcond.app.forgetting import places  # all of capture and publish; `vcond check` only looks

    held, files, where = daemon.holds.on, _forgetting_files(config, ours=True), places(daemon)
    salvage(files, daemon.tombstones, [one.name for one in where], now())
    return Forgetter(
        where,
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
    return Holds(_hold_files(config, ours=ours), now, since_boot() if ours else None)


def _hold_files(config: Config, *, ours: bool) -> RecordFiles[Hold]:
    return RecordFiles(folder(config) / "holds", Hold, WholeFiles(Files()), ours=ours)


def _forgetting_files(config: Config, *, ours: bool) -> RecordFiles[Forgetting]:
    return RecordFiles(folder(config) / "forgetting", Forgetting, WholeFiles(Files()), ours=ours)


def look(config: Config, *, receipts: bool = False) -> Iterator[Finding]:
    """What of it is damaged, as it is on the disk now; nothing is changed. ``receipts``: those are read too. Blocks."""
    at = folder(config)
    try:
        yield from _damaged(config)
        for path in sorted((at / "receipts").glob("*.json")) if receipts else ():
            if not readable(WholeFiles(Files()).read(path, LARGEST_RECEIPT)):
                yield Finding("warning", f"receipt {path.stem}", f"{path} is damaged", "restore it from a backup")
    except OSError as why:
        yield Finding(
            "error", "records", f"cannot read {why.filename or at}: {why.strerror}", "check the disk and who owns it"
        )


def _damaged(config: Config) -> Iterator[Finding]:
    for call, why in _hold_files(config, ours=False).read()[1].items():
        fix = f"restore it and restart; or hold the call again: vcond legal-hold {call} --reason ..."
        told = f"{folder(config) / 'holds' / call}.json cannot be read ({why}): the call is held until it is released"
        yield Finding("warning", f"legal hold {call}", told, fix)
    files = _forgetting_files(config, ours=False)
    for name, why in files.read()[1].items():
        yield Finding(
            "warning",
            f"forgetting {name}",
            f"{files.path(name)} cannot be read: {why}",
            "restart vcond, which says what it does",
        )
    for path in files.aside():
        fix = "ask again for what it was about (vcond forget; the call ids in it can be read, who asked has its receipt), then delete the file"
        yield Finding(
            "warning", "forgetting", f"{path} is damaged: what could not be read of it is not forgotten at sinks", fix
        )
    stones = Tombstones(folder(config), lambda: 0, tells=False)
    if stones.trouble:
        yield Finding("error", "forgotten", stones.trouble, RESTORE)
    if stones.damaged:
        told = f"{stones.damaged} entries of what was forgotten cannot be read: an old backup would bring those back"
        yield Finding("warning", "forgotten", told, f"restore {folder(config) / TOMBSTONES} from a backup")
