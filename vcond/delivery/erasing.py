"""vCons go before their time: files and rows, without anything of them left in the database's files.

Functions in the outbox's thread. A deleted row stays in the WAL until that is truncated, and in free pages without
``secure_delete``, which every connection has.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from vcond.delivery import rows
from vcond.delivery.outbox_files import OutboxFiles
from vcond.storage.names import uuid_in

Changing = Callable[[Callable[[], Any]], Any]
"""Runs what it is given in one transaction."""


def kept(db: sqlite3.Connection, files: OutboxFiles, change: Changing, uuid: str) -> None:
    """The file of a vCon that is kept is removed; that it was delivered stays written."""
    vcon = rows.find(db, uuid)
    if vcon is not None and vcon.stage == "kept":
        files.files.remove(files.kept_file(uuid))
        change(lambda: rows.set_stage(db, vcon.seq, "gone"))


def everything(db: sqlite3.Connection, files: OutboxFiles, change: Changing, uuids: Sequence[str]) -> list[int]:
    """Files and rows of vCons, whatever their state; their places (``seq``). Raises OSError and sqlite3.Error; again is fine.

    The files first: what has a file and no row would be sent.
    """
    wanted = set(uuids)
    for folder in (files.pending, files.kept, files.aside):
        for path in list(_of(folder, wanted)):
            files.files.remove(path)
    found = [vcon.seq for uuid in uuids if (vcon := rows.find(db, uuid)) is not None]

    def delete() -> None:
        for table in rows.TABLES:
            db.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in found])  # noqa: S608 - no input in it

    if found:
        change(delete)
    if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise OSError(0, "the database is being read")
    return found


def receivers(db: sqlite3.Connection, uuids: Sequence[str]) -> dict[str, list[str]]:
    """By sink that was tried, which of these vCons it may have."""
    found: dict[str, list[str]] = {}
    for sink, uuid in db.execute(
        "SELECT sink, uuid FROM delivery_states JOIN delivery_vcons USING (seq) "
        "WHERE attempts > 0 AND uuid IN (SELECT value FROM json_each(?)) ORDER BY sink, seq",
        (rows.as_json(uuids),),
    ):
        found.setdefault(sink, []).append(uuid)
    return found


def erase_forgotten(
    db: sqlite3.Connection,
    files: OutboxFiles,
    change: Changing,
    forgotten: Callable[[str], bool],
    held: Collection[str],
) -> None:
    """Before anything is delivered: what was forgotten and is here again, as an old backup came back; not of calls that are ``held``."""
    of = dict(db.execute(f"SELECT uuid, {rows.CALL} FROM delivery_vcons"))  # noqa: S608 - no input in it
    here = set(of)
    for folder in (files.pending, files.kept, files.aside):
        here |= set(map(uuid_in, _names(folder)))
    calls = {uuid: of.get(uuid, uuid) for uuid in here - {""}}
    back = [uuid for uuid, call in calls.items() if call not in held and (forgotten(uuid) or forgotten(call))]
    if back:
        everything(db, files, change, back)


def _of(folder: Path, uuids: set[str]) -> Iterator[Path]:
    """Also what is only half written has the name."""
    return (folder / name for name in _names(folder) if uuid_in(name) in uuids)


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)
