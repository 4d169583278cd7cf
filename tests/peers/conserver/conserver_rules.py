"""What vcon-server's model takes and what it makes of it, as its API showed (snapshot of August 2026).

The checks are its pydantic model's; the stored form is what GET gives back afterwards. Pure.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

TEL = re.compile(r"[+\d(][\d\s\-().+xX#*]{4,}")
"""Takes ``10010``, ``+1 (555) 123-0001``, ``0049...``; refuses ``tel:+1...``, ``1001``, ``anonymous``, ``*98``, ``#``, ""."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
MIMETYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
ALGORITHMS = {f"SHA-{bits}" for bits in (256, 384, 512)} | {
    f"{kind}{bits}" for kind in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)
}
"""In upper case only."""
LISTS = ("group", "parties", "dialog", "analysis", "attachments")
FILE_STORAGE_LIMIT = 10_485_760


def problems(vcon: Any) -> list[dict[str, Any]]:
    """The ``detail`` of a 422; empty when it is taken. As pydantic does, each names the input."""
    if not isinstance(vcon, dict):
        return [_problem("model_attributes_type", [], "Input should be a valid dictionary", vcon)]
    found = [
        _problem("missing", [key], "Field required", vcon) for key in ("vcon", "uuid", "created_at") if key not in vcon
    ]
    if "vcon" in vcon and not isinstance(vcon["vcon"], str):
        found.append(_problem("string_type", ["vcon"], "Input should be a valid string", vcon["vcon"]))
    if "uuid" in vcon and not _is_uuid(vcon["uuid"]):
        found.append(_problem("uuid_parsing", ["uuid"], "Input should be a valid UUID", vcon["uuid"]))
    if "created_at" in vcon and _date(vcon["created_at"]) is None:
        found.append(
            _problem("datetime_parsing", ["created_at"], "Input should be a valid datetime", vcon["created_at"])
        )
    if "redacted" in vcon and not isinstance(vcon["redacted"], dict):
        found.append(_problem("dict_type", ["redacted"], "Input should be a valid dictionary", vcon["redacted"]))
    found += [
        _problem("list_type", [key], "Input should be a valid list", vcon[key])
        for key in LISTS
        if key in vcon and not isinstance(vcon[key], list)
    ]
    if not isinstance(vcon.get("subject"), str | None):
        found.append(_problem("string_type", ["subject"], "Input should be a valid string", vcon["subject"]))
    if not isinstance(vcon.get("appended"), dict | None):
        found.append(_problem("dict_type", ["appended"], "Input should be a valid dictionary", vcon["appended"]))
    found += [
        _problem("dict_type", [key, i], "Input should be a valid dictionary", item)
        for key in LISTS
        if isinstance(vcon.get(key), list)
        for i, item in enumerate(vcon[key])
        if not isinstance(item, dict)
    ]
    if found:
        return found
    for i, party in enumerate(vcon.get("parties", [])):
        tel = party.get("tel")
        if tel is not None and not (isinstance(tel, str) and TEL.fullmatch(tel)):
            found.append(_problem("value_error", ["parties", i, "tel"], "Value error, invalid phone number", tel))
    for i, dialog in enumerate(vcon.get("dialog", [])):
        found += _dialog_problems(i, dialog, len(vcon.get("parties", [])))
    return found


def stored(vcon: dict[str, Any]) -> dict[str, Any]:
    """What it keeps at first: null members added, the version forced, dates rewritten."""
    made = json.loads(json.dumps(vcon))
    made["vcon"] = "0.4.0"
    for key in ("subject",):
        made.setdefault(key, None)
    made.setdefault("redacted", {})
    made.setdefault("appended", None)
    for key in LISTS:
        made.setdefault(key, [])
    date = _date(made["created_at"])
    assert date is not None
    made["created_at"] = date.isoformat()
    for party in made["parties"]:
        party.setdefault("tel", None)
    for dialog in made["dialog"]:
        for key in ("url", "mimetype", "alg"):
            dialog.setdefault(key, None)
    return made


def linked(vcon: dict[str, Any]) -> dict[str, Any]:
    """What the first link that stores a vCon makes of it: JSON bodies turned into strings."""
    made = json.loads(json.dumps(vcon))
    for part in (*made["analysis"], *made["attachments"]):
        if isinstance(part.get("body"), dict | list):
            part["body"] = json.dumps(part["body"])
    return made


def _dialog_problems(i: int, dialog: dict[str, Any], parties: int) -> list[dict[str, Any]]:
    found = []
    at = ["dialog", i]
    duration, named = dialog.get("duration"), dialog.get("parties")
    if duration is not None and not (isinstance(duration, int | float) and duration >= 0):
        found.append(_problem("greater_than_equal", [*at, "duration"], "Input should be at least 0", duration))
    if named is not None:
        if not (isinstance(named, list) and all(type(each) is int for each in named)):
            found.append(_problem("list_type", [*at, "parties"], "Input should be a valid list of integers", named))
        elif not all(0 <= each < parties for each in named):
            found.append(_problem("value_error", [*at, "parties"], "Value error, party index out of range", named))
    for key, pattern in (("url", URL), ("mimetype", MIMETYPE)):
        value = dialog.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            found.append(_problem("string_pattern_mismatch", [*at, key], "String should match the pattern", value))
    if not isinstance(dialog.get("start"), str | None):
        found.append(_problem("string_type", [*at, "start"], "Input should be a valid string", dialog["start"]))
    if dialog.get("alg") is not None and not (isinstance(dialog["alg"], str) and dialog["alg"] in ALGORITHMS):
        found.append(_problem("enum", [*at, "alg"], "Input should be a known algorithm", dialog["alg"]))
    return found


def _problem(kind: str, at: list[Any], text: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *at], "msg": text, "input": value}


def _is_uuid(value: Any) -> bool:
    try:
        UUID(value)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _date(value: Any) -> datetime | None:
    """Dates without an offset and seconds since the epoch are taken, too."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        date = datetime.fromisoformat(value)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
