"""Documents and bytes changed at random, to see that nothing but the documented errors comes of what others write."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
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


def spoiled(data: bytes, chance: Random, pieces: Sequence[bytes]) -> bytes:
    """Bytes with up to ``MOST`` changes: some cut out, doubled or replaced, one of ``pieces`` put in, or the end cut off.

    Numbers come from ``random()``, which is the cheapest that it has: a million of these are made in seconds.
    """
    draw = chance.random
    for _ in range(1 + int(draw() * MOST)):
        at, how = int(draw() * (len(data) + 1)), draw()
        until = at + int(draw() ** 3 * 60)
        if how < 0.45:
            data = data[:at] + pieces[int(draw() * len(pieces))] + data[until if how < 0.2 else at :]
        elif how < 0.65:
            data = data[:at] + bytes((int(draw() * 256),)) + data[at + 1 :]
        elif how < 0.8:
            data = data[:at] + data[until:]
        elif how < 0.95:
            data = data[:until] + data[at:]
        else:
            data = data[:at]
    return data


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
