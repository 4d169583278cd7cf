"""Keys that have another name now: a configuration with the old one is refused, and ``vcond config migrate`` rewrites it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vcond.base.errors import ConfigError

RENAMED: Final[Mapping[str, str]] = {
    "vcond.disk_floor_mb": "min_free_mb",
    "speech.search": "max_active",
    "speech.routes.match.facts": "attributes",
    "delivery.retry_first": "backoff_min",
    "delivery.retry_most": "backoff_max",
    "delivery.try_most": "attempt_timeout",
}
"""Where a key was (lists of sections without their index), and its last part now."""
MOST_NAMED: Final = 3
"""Keys that one message names."""
MOST_PLACES: Final = 200
"""Places of a file that are tried: each costs reading it once more."""


def refuse_renamed(tree: Mapping[str, Any], origin: Mapping[str, str]) -> None:
    """Raises ConfigError that names old keys, new ones, and what to do where they are from (``Loaded.origin``)."""
    found = list(old_keys(tree))
    if not found:
        return
    first, new = found[0]
    said = [f"is called {new} now", *(f"{key} is {name}" for key, name in found[1:MOST_NAMED])]
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    todo = "run `vcond config migrate --write`"
    if origin.get(first, "").startswith("VCOND_"):
        todo = f"set {origin[first].rpartition('__')[0]}__{new.upper()} in its place"
    raise ConfigError(f"{', '.join(said)}{more}: {todo}", first)


def old_keys(tree: object, kind: str = "", at: str = "") -> Iterator[tuple[str, str]]:
    """Each old key as it is found (``speech.routes[0].match.facts``), and its last part now."""
    if isinstance(tree, list):
        for i, item in enumerate(tree):
            yield from old_keys(item, kind, f"{at}[{i}]")
    elif isinstance(tree, dict):
        for key, value in tree.items():
            below, where = (f"{kind}.{key}", f"{at}.{key}") if kind else (str(key), str(key))
            if below in RENAMED:
                yield where, RENAMED[below]
            else:
                yield from old_keys(value, below, where)


def renamed(tree: Any, kind: str = "") -> Any:
    """The same with new keys. Raises ConfigError when an old key and its new one are both there."""
    if isinstance(tree, list):
        return [renamed(item, kind) for item in tree]
    if not isinstance(tree, dict):
        return tree
    new: dict[str, Any] = {}
    for key, value in tree.items():
        below = f"{kind}.{key}" if kind else str(key)
        name, now = RENAMED.get(below, key), renamed(value, below)
        there = new.get(name)
        if isinstance(there, dict) and isinstance(now, dict) and not there.keys() & now.keys():
            now = {**there, **now}
        elif name in new:
            raise ConfigError(f"{name} is set twice, under its old and its new name: remove one", kind)
        new[name] = now
    return new


@dataclass(frozen=True, order=True)
class Change:
    """What was renamed in a file."""

    line: int
    old: str
    """As in ``RENAMED``."""
    new: str


def migrated(text: str) -> tuple[str, list[Change]]:
    """A TOML file with new keys, and what changed; everything else, comments too, is as it was, byte for byte.

    A place in the file is renamed only if the file then still says the same to the reader of TOML, but for that key.
    Raises ConfigError when an old key is written so that it cannot be found, tomllib.TOMLDecodeError for no TOML.
    """
    now = tomllib.loads(text)
    wanted = renamed(now)
    tried, changes = 0, []
    for old, new in RENAMED.items():
        last = re.escape(old.rpartition(".")[2])
        places = list(re.finditer(rf"(?<![\w-]){last}(?=[\"']?\s*[=.\]])", text))
        for place in reversed(places):  # what lies before a place stays where it is
            tried += 1
            if not any(old_keys(now)) or tried > MOST_PLACES:
                break
            changed = text[: place.start()] + new + text[place.end() :]
            try:
                read = tomllib.loads(changed)
                same = renamed(read) == wanted
            except (tomllib.TOMLDecodeError, ConfigError):
                continue
            if read != now and same:
                text, now = changed, read
                changes.append(Change(text.count("\n", 0, place.start()) + 1, old, new))
    for at, new in old_keys(now):
        raise ConfigError(f"is now {new}; vcond cannot rewrite this line: change it by hand", at)
    return text, sorted(changes)
