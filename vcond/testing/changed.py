"""Documents changed at random, to see that nothing but the documented errors comes of what others write."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any, Final

MOST: Final = 4
"""Changes of one document."""


def changed(document: dict[str, Any], chance: Random, odd: tuple[Any, ...]) -> dict[str, Any]:
    """A copy with members left out, doubled, renamed, exchanged, or replaced by one of ``odd``: lawful JSON all the same."""
    made = copy.deepcopy(document)
    for _ in range(chance.randint(1, MOST)):
        known = list(_places(made))
        if not known:
            break
        holder, key = chance.choice(known)
        how = chance.randrange(5)
        if how == 0 and isinstance(holder, dict):
            holder.pop(key, None)
        elif how == 1 and isinstance(holder, list):
            holder.insert(chance.randint(0, len(holder)), copy.deepcopy(chance.choice(odd)))
        elif how == 2 and isinstance(holder, dict):
            name = str(chance.choice(known)[1]) if chance.random() < 0.5 else "odd"
            holder[name] = copy.deepcopy(chance.choice(odd))
        elif how == 3:
            other, name = chance.choice(known)
            with suppress(LookupError):
                holder[key] = copy.deepcopy(other[name])
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = copy.deepcopy(chance.choice(odd))
    return made


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
