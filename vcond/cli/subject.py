"""``vcond subject``: where somebody is, who received it, on what basis, when it goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcond.app import remembered
from vcond.base.errors import RefusedError, StorageError
from vcond.base.time import Instant, rfc3339
from vcond.cli.records import Opened
from vcond.config.load import FOR_EVER
from vcond.delivery.database import storage_errors
from vcond.delivery.maintenance import DAY
from vcond.delivery.outbox_files import SUFFIX
from vcond.records.holds import Holds
from vcond.records.ledger import FIRST
from vcond.records.subjects import Conversation


def found(opened: Opened, identifier: str) -> list[dict[str, Any]]:
    """A row for each vCon that somebody is in. Raises RefusedError for what identifies nobody, StorageError."""
    try:
        conversations = opened.index.find(identifier)
    except ValueError as why:
        raise RefusedError(f"{identifier[:64]!r}: {why}") from None
    holds = remembered.holds(opened.config, lambda: Instant(time.time_ns()), ours=False)
    return [_row(opened, holds, one) for one in conversations]


def _row(opened: Opened, holds: Holds, one: Conversation) -> dict[str, Any]:
    rows = [row for row in opened.ledger.rows(vcons=[one.vcon]) if row.get("vcon") == one.vcon]
    made: dict[str, Any] = next((row.get("made", {}) for row in rows if row["event"] in FIRST), {})
    # a basis names its party, and 0 is also "none in particular"
    bases = [basis for basis in made.get("bases", []) if basis["party"] in {0, *one.parties}]
    has = {row["sink"]: row for row in rows if row["event"] == "vcon_sent"}
    gone = {row["sink"]: row["seq"] for row in rows if row["event"] == "vcon_deleted" and row.get("sink")}
    return {
        "vcon": one.vcon,
        "call": one.call,
        "made": rfc3339(Instant(one.at)),
        "kind": made.get("kind", "original"),
        "parties": list(one.parties),
        "basis": bases,
        "here": _here(opened, holds, one),
        "received": [
            {"by": sink, "at": row["at"], "target": row.get("target", ""), "form": row.get("form", ""), "sha512": row.get("sent", row["sha512"]),
             "erased": gone.get(sink, 0) > row["seq"]}
            for sink, row in has.items()
        ],
        "read": [{"by": row.get("by", ""), "at": row["at"]} for row in rows if row["event"] == "read"],
    }  # fmt: skip


def _here(opened: Opened, holds: Holds, one: Conversation) -> list[dict[str, str]]:
    """Where it is on this machine, and when it goes from there."""
    state = Path(opened.config.vcond.state_dir)
    held = holds.on(one.call)
    until = f"legal hold: {held.reason}" if held else ""
    after = "when every sink has the vCon"
    places = []
    if (state / "journal" / one.call).is_dir():
        places.append(("journal", until or after))
    if (state / "outbox" / "pending" / f"{one.vcon}{SUFFIX}").exists():
        places.append(("outbox, waiting for a sink", until or after))
    if (state / "outbox" / "kept" / f"{one.vcon}{SUFFIX}").exists():
        places.append(("outbox, kept", until or _kept_until(opened, one.vcon)))
    for name in ("forms", "quarantine"):
        folder = state / name
        if folder.is_dir() and any(folder.glob(f"{one.vcon}*")):
            places.append((name, until or (after if name == "forms" else "when somebody removes it")))
    return [{"place": place, "until": goes} for place, goes in places]


def _kept_until(opened: Opened, vcon: str) -> str:
    db = opened.outbox()
    if db is None:
        return ""
    try:
        with storage_errors("read the outbox's database"):
            row = db.execute("SELECT closed_at FROM delivery_vcons WHERE uuid = ?", (vcon,)).fetchone()
    except StorageError:
        return ""  # where it is, is known all the same
    finally:
        db.close()
    days = opened.config.delivery.keep_days
    return rfc3339(Instant(row[0] + round(days * DAY))) if row and row[0] and days < FOR_EVER else ""


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """For people."""
    if not rows:
        yield "nobody of that name is in a vCon that was made here since the index was begun"
    for row in rows:
        of = "" if row["vcon"] == row["call"] else f", {row['kind']}, of call {row['call']}"
        yield f"{row['vcon']}  made {row['made']}{of}, as party {', '.join(map(str, row['parties']))}"
        for basis in row["basis"]:
            ends = f", until {basis['expiration']}" if basis.get("expiration") else ""
            granted = "".join(f", {name} {', '.join(basis[name])}" for name in ("granted", "denied") if basis.get(name))
            yield f"  basis: {basis['basis']}{granted}{ends}"
        for place in row["here"]:
            yield f"  here: {place['place']}" + (f"; goes {place['until']}" if place["until"] else "")
        if not row["here"]:
            yield "  here: no more"
        for one in row["received"]:
            what = "was erased there again" if one["erased"] else " ".join(filter(None, [one["form"], one["target"]]))
            yield f"  received: {one['by']}, {one['at']}, {what}"
        for one in row["read"]:
            yield f"  read: {one['by']}, {one['at']}"
