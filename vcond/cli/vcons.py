"""Commands about vCon files: validate and show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcond.cli.render import clock
from vcond.errors import PeerError, StorageError
from vcond.vcon import Document, read, validate

LARGEST = 512 << 20


def load_vcon(file: Path) -> Document:
    """A vCon from a file. Raises StorageError when it cannot be read, a PeerError when it is no vCon."""
    try:
        if file.stat().st_size > LARGEST:
            raise StorageError(f"{file} is larger than {LARGEST} bytes")
        return read(file.read_bytes())
    except OSError as why:
        raise StorageError(f"cannot read {file}: {why.strerror}") from None


def validate_files(files: list[Path]) -> tuple[list[dict[str, Any]], list[str], int]:
    """Every finding as JSON rows and as lines, and the number of errors."""
    rows, lines, errors = [], [], 0
    for file in files:
        try:
            found = [(f.level, f.path, f.code, f.message) for f in validate(load_vcon(file))]
        except PeerError as why:
            found = [("error", "$", "unreadable", str(why))]
        bad = sum(level == "error" for level, *_ in found)
        errors += bad
        lines += [f"{file}: {level}: {path}: {message} [{code}]" for level, path, code, message in found]
        lines.append(f"{file}: {'NOT valid' if bad else 'valid'}, {bad} errors, {len(found) - bad} warnings")
        rows.append(
            {
                "file": str(file),
                "valid": not bad,
                "findings": [dict(zip(("level", "path", "code", "message"), row, strict=True)) for row in found],
            }
        )
    return rows, lines, errors


def summary(file: Path) -> tuple[Document, list[str]]:
    """A vCon for people: parties, dialogs, text, capture report."""
    document = load_vcon(file)
    lines = [f"vCon {document.get('uuid')} of {document.get('created_at')}: {document.get('subject', '')}".rstrip(": ")]
    for i, party in enumerate(document.get("parties", [])):
        name = party.get("name") or party.get("tel") or party.get("sip") or "anonymous"
        number = party.get("tel") or party.get("sip") or ""
        lines.append(f"  party {i}: {name}" + (f" <{number}>" if number and number != name else ""))
    for i, dialog in enumerate(document.get("dialog", [])):
        length = f" {clock(dialog['duration'])}" if "duration" in dialog else ""
        extra = dialog.get("disposition") or dialog.get("mediatype") or ""
        lines.append(f"  dialog {i}: {dialog.get('type')}{length} parties {dialog.get('parties')} {extra}".rstrip())
        lines += [
            f"    {moment['time']}  party {moment['party']} {moment['event']} {moment.get('button', '')}".rstrip()
            for moment in dialog.get("party_history", [])
        ]
    for analysis in document.get("analysis", []):
        if analysis.get("type") == "wtf_transcription" and isinstance(analysis.get("body"), dict):
            for segment in analysis["body"].get("segments", []):
                lines.append(f"  {clock(segment['start'])}  party {segment.get('speaker')}: {segment['text']}")
            for warning in analysis["body"].get("quality", {}).get("processing_warnings", []):
                lines.append(f"  warning: {warning}")
    return document, [*lines, *_pauses(document)]


def _pauses(document: Document) -> list[str]:
    """When recording was paused, by whom, and whether they let it go on."""
    lines = []
    for attachment in document.get("attachments", []):
        body = attachment.get("body")
        if attachment.get("purpose") != "vcond-capture-report" or not isinstance(body, dict):
            continue
        for pause in body.get("pauses", []):
            who = f"party {pause['party']}" if "party" in pause else pause.get("by", "")
            by = (f" by {who}" if who else "") + (f" ({pause['reason']})" if pause.get("reason") else "")
            ended = f"; ended by the {pause['overridden_by']} with --force" if pause.get("overridden_by") else ""
            lines.append(f"  recording paused{by}: {pause.get('start')} to {pause.get('stop')}{ended}")
    return lines
