"""The ledger as a file that others can check, and the check: of the database, or of such a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcond.app.plugins import pem, signs
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import Instant
from vcond.cli.records import Opened, not_told, records
from vcond.delivery.database import storage_errors
from vcond.records import chain, heads
from vcond.records.chain import End, Fault
from vcond.records.heads import Heads
from vcond.vcon.sealing.keys import load_trust
from vcond.vcon.sealing.verify import open_signed


def export_to(opened: Opened, path: Path) -> int:
    """All rows, a line each, and a head, signed where ``[seal]`` has a key; how many rows. Raises OperatorError."""
    now = Instant(time.time_ns())
    sign = signs(opened.config.seal, lambda: now)
    end = End(0, chain.BEGIN)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with storage_errors("read the ledger"):
                for seq, row, hashed in chain.stored(opened.db):
                    file.write(row.encode() + b"\n")
                    end = End(seq, hashed)
            file.write(heads.made(opened.ledger.id, end, now, sign) + b"\n")
    except FileExistsError:
        raise ConfigError(f"{path} is there already: name another file") from None
    except OSError as why:
        raise StorageError(f"cannot write {path}: {why.strerror}") from None
    return end.rows


def verified(config: Path, other: Path | None, trust: str) -> dict[str, Any]:
    """What is wrong with the ledger of a configuration. Raises OperatorError."""
    with records(config) as opened:
        # a row that is written meanwhile: first what was delivered, then the rows, which are never fewer
        delivered, waiting = not_told(opened)
        known, wrong, count = _heads(Heads(other) if other else opened.heads, opened.ledger.id, trust)
        sent: set[tuple[str, str]] = set()
        with storage_errors("read the ledger"):
            end, faults = chain.verify(chain.stored(opened.db), known)
            for vcon, sink in opened.db.execute(
                "SELECT json_extract(row, '$.vcon'), json_extract(row, '$.sink') FROM ledger WHERE json_extract(row, '$.sink') IS NOT NULL "
                "AND json_extract(row, '$.event') = 'vcon_sent'"
            ):
                sent.add((vcon, sink))
        missing = [one for one in delivered if one not in sent and one not in waiting]
        lacking = [
            Fault(0, f"vCon {vcon} was delivered to {sink}, and no row says so")
            for vcon, sink in missing[: chain.MOST_FAULTS]
        ]
        if len(missing) > chain.MOST_FAULTS:
            lacking.append(Fault(0, f"and {len(missing) - chain.MOST_FAULTS} more deliveries that no row tells of"))
    return _told(end, count, [*wrong, *faults, *lacking], signed_too=bool(trust))


def verified_file(path: Path, other: Path | None, trust: str) -> dict[str, Any]:
    """As ``verified``, of an exported file, whose last line is its head. Raises OperatorError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as why:
        raise StorageError(f"cannot read {path}: {why.strerror}") from None
    *rows, last = [line for line in lines if line] or [b""]
    try:
        own = heads.opened(last, _opens(trust) if trust else None)
    except ValueError as why:
        return _told(End(0, b""), 0, [Fault(0, f"{path}, last line: {why}")], signed_too=bool(trust))
    known, wrong, count = _heads(Heads(other), own.ledger, trust) if other else ({}, [], 0)
    end, faults = chain.verify(_chained(rows), {**known, own.rows: bytes.fromhex(own.hash)})
    if own.rows != end.rows:
        faults.append(Fault(end.rows, f"it has {end.rows} rows, and its head is of {own.rows}"))
    return _told(end, count + 1, [*wrong, *faults], signed_too=bool(trust))


def _chained(rows: list[bytes]) -> Iterator[tuple[int, str, bytes]]:
    """Exported rows as ``verify`` wants them: their hashes are made here, and are held to the head."""
    before = chain.BEGIN
    for number, row in enumerate(rows, 1):
        text = row.decode("utf-8", "replace")
        before = chain.follow(before, text)
        yield number, text, before


def _heads(file: Heads, ledger: str, trust: str) -> tuple[dict[int, bytes], list[Fault], int]:
    try:
        found, wrong = file.read(_opens(trust) if trust else None)
    except OSError as why:
        raise StorageError(f"cannot read {file.path}: {why.strerror}") from None
    known, more = heads.by_rows(found, ledger)
    return known, [*wrong, *more], len(found)


def _opens(trust: str) -> heads.Opens:
    anchors = load_trust(pem(trust, "--trust"))
    return lambda document, at: open_signed(document, anchors, at).payload


def _told(end: End, count: int, faults: list[Fault], *, signed_too: bool) -> dict[str, Any]:
    return {"rows": end.rows, "heads": count, "signed": signed_too, "faults": [fault.text for fault in faults]}
