"""``vcond audit``: who made, heard, changed and signed a vCon, on what basis it is kept, until when, and who received it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcond.app.plugins import pem
from vcond.base.errors import OperatorError, PeerError, StorageError
from vcond.base.time import SECOND, Instant, parse_rfc3339
from vcond.cli.records import records
from vcond.cli.vcons import inside, load_vcon
from vcond.records.ledger import FIRST
from vcond.records.ledger_made import bases_of, made_of
from vcond.vcon import Document
from vcond.vcon.sealing.keys import load_trust
from vcond.vcon.sealing.verify import open_signed

SKEW = 300 * SECOND
"""Clocks may differ by so much (draft-howe-vcon-lawful-basis-02 section 5)."""


def audit(file: Path, config: Path, trust: str) -> dict[str, Any]:
    """What a vCon and, where it can be read, the ledger say of it. Raises OperatorError, PeerError."""
    outer = load_vcon(file)
    around, document = inside(outer)
    told: dict[str, Any] = {"file": str(file), "signed": _signed(outer, trust) if around else []}
    if document is None:
        return told | {"encrypted": "ciphertext" in outer, "ledger": _ledger(file, "", config)}
    uuid = str(document.get("uuid", ""))
    made = made_of(document)
    return told | {
        "uuid": uuid,
        "created": document.get("created_at", ""),
        "updated": document.get("updated_at", ""),
        "made_by": [str(party.get("name", "")) for party in _objects(document, "parties") if party.get("type") == "bot"],
        "parties": sum(party.get("type") != "bot" for party in _objects(document, "parties")),
        "heard_by": [{"engine": one.engine, "model": one.model} for one in made.texts],
        "changed": [
            {"how": how, "of": str(document[how].get("uuid", "")), "type": str(document[how].get("type", ""))}
            for how in ("redacted", "amended")
            if isinstance(document.get(how), dict)
        ],
        "basis": [
            {"party": one.party, "basis": one.basis, "granted": one.granted, "denied": one.denied, "until": one.expiration, "ended": _ended(one.expiration)}
            for one in bases_of(document)
        ],
        "ledger": _ledger(file, uuid, config),
    }  # fmt: skip


def _signed(outer: Document, trust: str) -> list[dict[str, Any]]:
    """The outermost signature: it alone counts (core-04 section 5.2.5)."""
    if not trust:
        return [{"by": "", "holds": None}]
    try:
        opened = open_signed(outer, load_trust(pem(trust, "--trust")), Instant(time.time_ns()))
    except PeerError as why:
        return [{"by": "", "holds": False, "why": str(why)}]
    return [{"by": opened.chain[0].subject.rfc4514_string(), "holds": True, "layers": opened.layers}]


def _ledger(file: Path, uuid: str, config: Path) -> dict[str, Any]:
    """What it has of this vCon, and whether the file is what was published or sent."""
    try:
        digest = hashlib.sha512(file.read_bytes()).hexdigest()
    except OSError as why:
        raise StorageError(f"cannot read {file}: {why.strerror}") from None
    try:
        with records(config) as opened:
            rows = [row for row in opened.ledger.rows(vcons=[uuid]) if row.get("vcon") == uuid] if uuid else []
    except OperatorError as why:
        return {"known": None, "why": str(why)}
    created = next((row for row in rows if row["event"] in FIRST), None)
    return {
        "known": bool(rows),
        "same_as_made": created is not None and created["sha512"] == digest,
        "same_as_sent_to": sorted({row["sink"] for row in rows if row["event"] == "vcon_sent" and row.get("sent", row["sha512"]) == digest}),
        "events": [
            {key: row[key] for key in ("at", "event", "sink", "form", "target", "by", "reason") if key in row} for row in rows
        ],
    }  # fmt: skip


def _ended(until: str | None) -> bool | None:
    """Whether a basis has ended; None = it has no end. What cannot be read has ended."""
    if until is None:
        return None
    try:
        return parse_rfc3339(until) + SKEW < time.time_ns()
    except ValueError:
        return True


def lines(told: dict[str, Any]) -> Iterator[str]:
    """For people."""
    if "uuid" not in told:
        yield f"{told['file']} is " + (
            "encrypted: vcond decrypt, then audit that" if told["encrypted"] else "signed, and holds no vCon"
        )
    else:
        yield f"{told['file']}: vCon {told['uuid']} of {told['created']}, {told['parties']} parties"
        yield f"made by: {', '.join(filter(None, told['made_by'])) or 'not said'}"
        heard = ", ".join(f"{one['engine']} {one['model']}".strip() for one in told["heard_by"])
        yield f"heard by: {heard or 'no engine'}"
        for one in told["changed"]:
            yield f"{one['how']}: it is another form of {one['of'] or 'a vCon that is not named'}" + (
                f" ({one['type']})" if one["type"] else ""
            )
        if not told["changed"]:
            yield "changed: not by its own word" + (f"; last written {told['updated']}" if told["updated"] else "")
    for one in told["signed"] or [{}]:
        yield _signature(one)
    for one in told.get("basis", ()):
        yield _basis(one)
    if "basis" in told and not told["basis"]:
        yield "basis: none is said"
    yield from _known(told["ledger"])


def _signature(one: dict[str, Any]) -> str:
    if not one:
        return "signed: no; whoever had it may have changed it"
    if one["holds"] is None:
        return "signed: yes; whether the signature holds was not checked (--trust)"
    return (
        f"signed: by {one['by']}, the signature holds"
        if one["holds"]
        else f"signed: the signature does NOT hold: {one['why']}"
    )


def _basis(one: dict[str, Any]) -> str:
    ends = {None: ", without an end", True: f", ENDED {one['until']}", False: f", until {one['until']}"}[one["ended"]]
    granted = "".join(f", {name} {', '.join(one[name])}" for name in ("granted", "denied") if one[name])
    return f"basis: party {one['party']}, {one['basis']}{granted}{ends}"


def _known(ledger: dict[str, Any]) -> Iterator[str]:
    if ledger["known"] is None:
        yield f"ledger: not looked at: {ledger['why']}"
    elif not ledger["known"]:
        yield "ledger: this vCon is not in it"
    else:
        received = any(row["event"] == "vcon_received" for row in ledger["events"])
        began = "was received" if received else "was made"
        same = [
            *([began] if ledger["same_as_made"] else []),
            *(f"{sink} got" for sink in ledger["same_as_sent_to"]),
        ]
        yield (
            "ledger: this file is, byte for byte, what " + ", what ".join(same)
            if same
            else f"ledger: this file is NOT what {began}, nor what a sink got"
        )
        for row in ledger["events"]:
            more = " ".join(row[key] for key in ("sink", "form", "target", "by", "reason") if key in row)
            yield f"  {row['at']}  {row['event']}" + (f"  {more}" if more else "")


def _objects(document: Document, name: str) -> list[dict[str, Any]]:
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
