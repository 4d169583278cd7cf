"""Commands about vCon files: validate and show. What is signed can be read by anybody, what is encrypted by nobody here."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from vcond.base.errors import PeerError, ProtocolError, StorageError
from vcond.cli.render import clock
from vcond.vcon import Document, base64url, read, validate

LARGEST = 512 << 20
DEEPEST = 8
"""Signatures around signatures that are opened."""


def load_vcon(file: Path) -> Document:
    """A vCon from a file. Raises StorageError when it cannot be read, a PeerError when it is no vCon."""
    try:
        if file.stat().st_size > LARGEST:
            raise StorageError(f"{file} is larger than {LARGEST} bytes")
        data = file.read_bytes()
        if not data.lstrip()[:1] == b"{" and not data.startswith(b"\x1f\x8b"):
            raise ProtocolError(
                f"{file} is not a vCon: it holds no JSON object" + (" but binary data" if b"\0" in data[:4096] else "")
            )
        return read(data)
    except OSError as why:
        raise StorageError(f"cannot read {file}: {why.strerror}") from None


def inside(document: Document) -> tuple[list[Document], Document | None]:
    """The signed forms around a vCon, outermost first, and the vCon; None when it cannot be read (encrypted, broken)."""
    around: list[Document] = []
    while "payload" in document and "signatures" in document:
        around.append(document)
        try:
            document = read(_decoded(document["payload"]))
        except (PeerError, ValueError):
            return around, None
        if len(around) > DEEPEST:
            return around, None
    return around, None if "ciphertext" in document else document


def _decoded(payload: Any) -> bytes:
    """base64url without padding (RFC 7515 section 2). Raises ValueError."""
    if not isinstance(payload, str):
        raise ValueError("no text")  # noqa: TRY004 - a value from outside, not a mistake of ours
    return base64url.decoded(payload)


def _all_of(document: Document) -> tuple[list[tuple[str, str, str, str]], str]:
    """The findings of a document and of what is signed in it, and a word about what was looked at."""
    around, vcon = inside(document)
    found: list[tuple[str, str, str, str]] = [(f.level, f.path, f.code, f.message) for f in validate(document)]
    if "ciphertext" in document:
        return found, ", encrypted: only the envelope was checked (use vcond decrypt)"
    if not around:
        return found, ""
    for one in [*around[1:], *([] if vcon is None else [vcon])]:
        found += [(f.level, f"(signed) {f.path}", f.code, f.message) for f in validate(one)]
    if vcon is None:
        found.append(("error", "$.payload", "payload", "holds no readable vCon"))
    return found, ", signed: the signature was not checked (use vcond verify)"


def validate_files(files: list[Path]) -> tuple[list[dict[str, Any]], list[str], int]:
    """Every finding as JSON rows and as lines, and the number of errors."""
    rows, lines, errors = [], [], 0
    for file in files:
        try:
            found, looked = _all_of(load_vcon(file))
        except PeerError as why:
            found, looked = [("error", "$", "unreadable", str(why))], ""
        bad = sum(level == "error" for level, *_ in found)
        errors += bad
        lines += [f"{file}: {level}: {path}: {message} [{code}]" for level, path, code, message in found]
        lines.append(f"{file}: {'NOT valid' if bad else 'valid'}, {bad} errors, {len(found) - bad} warnings{looked}")
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
    outer = load_vcon(file)
    around, vcon = inside(outer)
    if vcon is None:
        what = "cannot be read" if around else f"is encrypted for {len(outer.get('recipients') or [])} reader(s)"
        return outer, [f"{file} {what}; its content is not shown: vcond decrypt, then vcond show" if not around else
                       f"{file} is signed, and what is in it {what}"]  # fmt: skip
    document = vcon
    lines = [f"signed by {_signer(one)}; the signature was not checked: vcond verify" for one in around]
    lines += [
        f"vCon {document.get('uuid')} of {document.get('created_at')}: {document.get('subject', '')}".rstrip(": ")
    ]
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
    """When recording was paused, by whom, and whether they let it go on; what was said of consent."""
    lines = []
    for attachment in document.get("attachments", []):
        body = attachment.get("body")
        if attachment.get("purpose") != "vcond-capture-report" or not isinstance(body, dict):
            continue
        for said in body.get("consent", []):
            of = ", ".join(said.get("purposes", []))
            lines.append(
                f"  consent of party {said.get('party')}: {said.get('state')} ({said.get('how')}; {of}) {said.get('time')}"
            )
        for pause in body.get("pauses", []):
            who = f"party {pause['party']}" if "party" in pause else pause.get("by", "")
            by = (f" by {who}" if who else "") + (f" ({pause['reason']})" if pause.get("reason") else "")
            ended = f"; ended by the {pause['overridden_by']} with --force" if pause.get("overridden_by") else ""
            lines.append(f"  recording paused{by}: {pause.get('start')} to {pause.get('stop')}{ended}")
    return lines


def _signer(document: Document) -> str:
    """Who the first signature says that it is by."""
    from cryptography import x509  # only what is signed has certificates

    try:
        header = document["signatures"][0]["header"]
        if "x5c" not in header:
            return f"the owner of {header['x5u']}"
        leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
        return leaf.subject.rfc4514_string()
    except (LookupError, TypeError, ValueError):
        return "somebody (no certificate is in it)"
