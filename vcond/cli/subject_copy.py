"""A person's copy: the vCons that somebody is in as a vCon Zip Bundle, and a report that can be read.

The bundle is draft-miller-vcon-zip-bundle-00. Its example with an unredacted original beside the redacted one is not followed: with others
masked, nothing of them is in it.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vcond.base.errors import BadMediaError, RefusedError, StorageError
from vcond.base.time import dated, rfc3339
from vcond.cli import subject
from vcond.cli.records import Opened
from vcond.delivery.outbox_files import OutboxFiles
from vcond.records.database import NAME, open_records
from vcond.records.ledger import Ledger
from vcond.redaction.redact import own_uuid
from vcond.redaction.sound import decoded, encoded, keep_only, of_channels
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import Document, read, serialize
from vcond.vcon.model import LAWFUL_BASIS, WTF

BUNDLE: Final = "vcons.vconz"
REPORT: Final = "report.txt"
MANIFEST: Final = b'{"format":"vcon-bundle","version":"1.0"}'
"""Section 5 of the draft: exactly these members; the first entry of the archive."""
TYPE: Final = "other-parties"
_DIALOG: Final = frozenset(
    {"type", "start", "duration", "parties", "originator", "mediatype", "disposition", "application"}
)
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same copy has the same bytes."""


def write_copy(opened: Opened, identifier: str, to: Path, *, mask: bool) -> list[dict[str, Any]]:
    """Into a folder that is made; the rows of ``subject.found``, each with ``copied``. Raises OperatorError.

    ``mask``: nothing of other parties, neither who they are nor what they said.
    """
    rows = subject.found(opened, identifier)
    if not rows:
        raise RefusedError("nobody of that name is in the index: nothing was written")
    outbox = OutboxFiles(Path(opened.config.vcond.state_dir) / "outbox", WholeFiles(opened.files))
    bodies: dict[str, bytes] = {}
    for row in rows:
        body = _body(outbox, row["vcon"])
        row["copied"] = body is not None
        if body is not None:
            own = frozenset(row["parties"])
            bodies |= {row["vcon"]: body} if not mask else _masked_body(body, own)
    whole = WholeFiles(Files())
    try:
        whole.make_folder(to)
        for name, content in (
            (BUNDLE, bundle(bodies)),
            (REPORT, "\n".join(report(identifier, rows, mask=mask)).encode()),
        ):
            if (to / name).exists():
                raise RefusedError(f"{to / name} is there already: name another folder")
            whole.publish(to / name, content)
    except OSError as why:
        raise StorageError(f"cannot write {to}: {why.strerror}") from None
    _tell(opened, [row for row in rows if row["copied"]])
    return rows


def _tell(opened: Opened, rows: list[dict[str, Any]]) -> None:
    """The ledger has who read what; beside the daemon, which writes it too."""
    db = open_records(Path(opened.config.vcond.state_dir) / NAME)
    try:
        ledger, now = Ledger(db, opened.index), time.time_ns()
        for row in rows:
            ledger.tell("read", now, vcon=row["vcon"], call=row["call"], by="vcond subject --export")
    finally:
        db.close()


def bundle(bodies: dict[str, bytes]) -> bytes:
    """A vCon Zip Bundle of vCons by their uuid, whose content is all inside."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("manifest.json", _STAMP), MANIFEST)
        for uuid, body in sorted(bodies.items()):
            entry = zipfile.ZipInfo(f"vcons/{uuid}.json", _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, body)
    return out.getvalue()


def masked(document: Document, own: frozenset[int]) -> Document:
    """A vCon with one person alone in it (core-04 section 4.1.8): what is not known to be theirs is left out; indices stay."""
    uuid = own_uuid(str(document["uuid"]), f"copy of {sorted(own)}")
    made: Document = {
        "vcon": document.get("vcon", "0.4.0"), "uuid": uuid, "created_at": document["created_at"],
        "redacted": {"type": TYPE, "uuid": document["uuid"]},
        "parties": [party if at in own else {"name": "another party", "validation": "none"}
                    for at, party in enumerate(_objects(document, "parties"))],
        "dialog": [_dialog(item, own) for item in _objects(document, "dialog")],
        "analysis": [_wtf(item, own) for item in _objects(document, "analysis") if item.get("type") == WTF],
        "attachments": [
            item for item in _objects(document, "attachments") if item.get("purpose") == LAWFUL_BASIS and item.get("party") in own
        ],
    }  # fmt: skip
    names = {WTF} if made["analysis"] else set()
    names |= {LAWFUL_BASIS} if made["attachments"] else set()
    made["extensions"] = sorted(names)
    return {name: value for name, value in made.items() if value != []}


def report(identifier: str, rows: list[dict[str, Any]], *, mask: bool) -> Iterator[str]:
    """What is told to the person: GDPR Art. 15 asks for purposes, recipients, how long."""
    yield f"What is recorded of {identifier}"
    yield ""
    yield f"{len(rows)} records, of which {sum(row['copied'] for row in rows)} are in {BUNDLE} beside this report."
    yield (
        "What others said, and who they are, is not in them."
        if mask
        else "They hold what the others in these conversations said, too."
    )
    for row in rows:
        yield ""
        yield f"Conversation of {row['made'] if (at := dated(row['call'])) is None else rfc3339(at)}"
        yield from subject.lines([row])
        if not row["copied"]:
            yield "  copy: not on this machine any more; ask those who received it"
    yield ""


def _masked_body(body: bytes, own: frozenset[int]) -> dict[str, bytes]:
    made = masked(read(body), own)
    return {str(made["uuid"]): serialize(made)}


def _body(outbox: OutboxFiles, uuid: str) -> bytes | None:
    for path in (outbox.file(uuid), outbox.kept_file(uuid)):
        try:
            return outbox.read(path)
        except FileNotFoundError:
            continue
        except OSError as why:
            raise StorageError(f"cannot read {path}: {why.strerror}") from None
    return None


def _dialog(item: dict[str, Any], own: frozenset[int]) -> dict[str, Any]:
    """Who was there stays as numbers; sound only where a channel is known to be theirs."""
    made = {name: value for name, value in item.items() if name in _DIALOG and name != "mediatype"}
    made.setdefault("type", "recording")
    if history := [one for one in _objects(item, "party_history") if one.get("party") in own]:
        made["party_history"] = history
    if item.get("type") != "recording" or not item.get("body"):
        return made
    try:
        with decoded(item) as sound:
            channels = of_channels(item.get("parties"), sound.channels)
            theirs = [at for at, whose in enumerate(channels) if whose is not None and whose <= own]
            if not theirs:
                return made
            for at in range(sound.channels):
                if at not in theirs:
                    keep_only(sound, at, ())
            return made | encoded(sound)
    except BadMediaError:
        return made


def _wtf(item: dict[str, Any], own: frozenset[int]) -> dict[str, Any]:
    """Their segments and words alone (draft-howe-vcon-wtf-extension-02)."""
    body = item.get("body")
    whole = body if isinstance(body, dict) else {}
    segments = [one for one in _objects(whole, "segments") if one.get("speaker") in own]
    words = [one for one in _objects(whole, "words") if one.get("speaker") in own]
    for segment in segments:
        segment.pop("words", None)  # they number words that are left out
    transcript = whole.get("transcript")
    told = {
        name: value
        for name, value in (transcript if isinstance(transcript, dict) else {}).items()
        if name in {"language", "duration", "confidence"}
    }
    kept: dict[str, Any] = {
        "transcript": {"text": " ".join(str(one.get("text", "")) for one in segments), **told},
        "segments": segments,
    }
    if words:
        kept["words"] = words
    if isinstance(metadata := whole.get("metadata"), dict):
        kept["metadata"] = metadata
    return {name: value for name, value in item.items() if name not in {"body", "filename", "url", "content_hash"}} | {
        "encoding": "json", "body": kept,
    }  # fmt: skip


def _objects(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [one if isinstance(one, dict) else {} for one in found] if isinstance(found, list) else []
