"""What a validator finds, and the small checks that every rule is made of. Work is bounded: it stops when enough is wrong."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from vcond.base.time import parse_rfc3339

Level = Literal["error", "warning"]

MOST: Final = 200
"""Findings after which a document is bad enough; the last one says so."""
SAFE_INT: Final = 2**53 - 1
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_NAME: Final = re.compile(r"[A-Za-z_-]{1,40}")
"""A parameter's name that can be shown: one with digits might be a number that somebody used as a key."""
_FRACTION: Final = re.compile(r"\.\d+")


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong (error) or unwise (warning)."""

    level: Level
    path: str
    """JSON path: ``$.dialog[0].parties``."""
    code: str
    """Stable token of the rule: ``index-range``."""
    message: str
    """For people. Holds no value from the document."""


class EnoughError(Exception):
    """Raised inside a validator when ``MOST`` findings are there; never leaves ``validate``."""


class Notes:
    """Collects findings."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def _add(self, level: Level, path: str, code: str, message: str) -> None:
        if len(self.found) >= MOST:
            self.found.append(Finding("error", "$", "too-many", f"more than {MOST} findings; the rest was not checked"))
            raise EnoughError
        self.found.append(Finding(level, path, code, message))

    def error(self, path: str, code: str, message: str) -> None:
        """Something that the specification forbids."""
        self._add("error", path, code, message)

    def warning(self, path: str, code: str, message: str) -> None:
        """Something that should be otherwise."""
        self._add("warning", path, code, message)

    # Each check says whether the value is there and right.

    def known(self, item: dict[str, Any], names: frozenset[str], path: str, *, extended: bool) -> None:
        """Warn of parameters that neither core nor a listed extension defines."""
        if extended:
            return
        for name in sorted(item.keys() - names):
            shown = name if _NAME.fullmatch(name) else "..."
            self.warning(f"{path}.{shown}", "unknown-parameter", "not in core-04 and no extension is listed")

    def required(self, item: dict[str, Any], name: str, path: str) -> bool:
        """A parameter that must be there."""
        if name not in item:
            self.error(f"{path}.{name}", "missing", f"{name} must be present")
            return False
        return True

    def string(self, item: dict[str, Any], name: str, path: str, *, filled: bool = False) -> str | None:
        """A String, when it is there."""
        value = item.get(name)
        if name not in item:
            return None
        if not isinstance(value, str):
            self.error(f"{path}.{name}", "type", f"{name} must be a String")
            return None
        if filled and not value:
            self.error(f"{path}.{name}", "empty", f"{name} must not be empty")
            return None
        return value

    def date(self, item: dict[str, Any], name: str, path: str) -> None:
        """A Date, when it is there: RFC 3339 with offset."""
        text = self.string(item, name, path)
        if text is None:
            return
        if not _DATE.fullmatch(text):
            self.error(f"{path}.{name}", "date", f"{name} must be an RFC 3339 date with seconds and an offset")
            return
        try:
            parse_rfc3339(_FRACTION.sub("", text))
        except ValueError:
            self.error(f"{path}.{name}", "date", f"{name} is no date that exists")

    def number(self, item: dict[str, Any], name: str, path: str) -> float | None:
        """A number of at least zero, when it is there; in the unit that the vCon has it in, mostly seconds."""
        value = item.get(name)
        if name not in item:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            self.error(f"{path}.{name}", "number", f"{name} must be a number of at least 0")
            return None
        return float(min(value, 1e300))

    def index(self, value: Any, count: int, path: str) -> bool:
        """An UnsignedInt below ``count``."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SAFE_INT:
            self.error(path, "index-type", "must be an UnsignedInt")
            return False
        if value >= count:
            self.error(path, "index-range", "points to nothing")
            return False
        return True

    def objects(self, item: dict[str, Any], name: str, path: str) -> list[tuple[int, dict[str, Any]]]:
        """The objects of an array, with their indices, when it is there."""
        value = item.get(name)
        if name not in item:
            return []
        if not isinstance(value, list):
            self.error(f"{path}.{name}", "type", f"{name} must be an array")
            return []
        found = []
        for index, entry in enumerate(value):
            if isinstance(entry, dict):
                found.append((index, entry))
            else:
                self.error(f"{path}.{name}[{index}]", "type", "must be an object")
        return found

    def strings(self, item: dict[str, Any], name: str, path: str) -> list[str]:
        """The Strings of an array, when it is there."""
        value = item.get(name)
        if name not in item:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self.error(f"{path}.{name}", "type", f"{name} must be an array of Strings")
            return []
        return value


def indices(value: object) -> list[int]:
    """A number, or all of an array of numbers; none where anything else is in it."""
    entries = value if isinstance(value, list) else [value]
    known = [one for one in entries if isinstance(one, int) and not isinstance(one, bool)]
    return known if len(known) == len(entries) else []


def listed(item: dict[str, Any], name: str) -> list[Any]:
    """An array, or nothing."""
    value = item.get(name)
    return value if isinstance(value, list) else []
