"""Which plug-ins are installed: entry points by group and name. Ours have no privilege."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install
from vcond.sdk.link import GROUP as LINKS

ADAPTERS = "vcond.adapters"
SINKS = "vcond.sinks"
_WORDS = {ADAPTERS: "adapter", SINKS: "sink", LINKS: "link"}
_CLASS = {ADAPTERS: ("Config", "run", "check"), SINKS: ("Config", "forms", "profile"), LINKS: ("work",)}
"""What a class must have before one is made of it."""
_MADE = {SINKS: ("name", "concurrency", "address", "max_bytes", "deliver", "erase", "look", "close")}
"""What there must be afterwards."""


def installed(group: str) -> Mapping[str, list[EntryPoint]]:
    """By name. More than one of a name: several packages bring it."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same = found.setdefault(point.name, [])
        if point.value not in {other.value for other in same}:
            same.append(point)
    return found


def chosen(group: str, name: Any, at: str) -> EntryPoint:
    """The plug-in of that name. ``at`` is the key of the configuration that names it. Raises ConfigError."""
    what, known = _WORDS[group], installed(group)
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), list(known), 1, 0.5)
        there = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'};"
        other = f"one of another package must be installed into {sys.prefix}, where vcond runs"
        raise ConfigError(f"there is no {what} {name!r}; {there} {other}", at)
    if len(known[name]) > 1:
        packages = ", ".join(
            sorted(f"{point.dist.name if point.dist else '?'} ({point.value})" for point in known[name])
        )
        raise ConfigError(f"several packages provide {what} {name!r}: {packages}; remove all but one of them", at)
    return known[name][0]


def loaded(group: str, point: EntryPoint, at: str) -> Any:
    """Its class. Raises MissingExtraError for one that lacks its packages, ConfigError for one that is broken."""
    found = _imported(group, point, at)
    _refuse_other_contract(group, point, _CLASS[group], found, at)
    if group == ADAPTERS and inspect.iscoroutinefunction(found.check):
        raise ConfigError(f"adapter {point.name!r} has a check() that yields nothing; it must `yield Finding(...)`", at)
    return found


def whole(group: str, point: EntryPoint, made: Any, at: str) -> Any:
    """The same plug-in, once it is made. Raises ConfigError for one that lacks something of its contract."""
    _refuse_other_contract(group, point, _MADE[group], made, at)
    return made


def _refuse_other_contract(group: str, point: EntryPoint, wanted: Sequence[str], found: Any, at: str) -> None:
    lacks = [key for key in wanted if not hasattr(found, key)]
    if lacks:
        what = _WORDS[group]
        raise ConfigError(
            f"{what} {point.name!r} cannot be used ({point.value} has no {', '.join(lacks)}): it may be for another "
            "version of vcond; ask its author",
            at,
        )


def _imported(group: str, point: EntryPoint, at: str) -> Any:
    what = _WORDS[group]
    try:
        return point.load()
    except ImportError as why:
        if why.name and why.name.partition(".")[0] not in {"vcond", point.module.partition(".")[0]}:
            extra = "webrtc" if point.name in {"webrtc", "janus"} else why.name
            raise MissingExtraError(
                f"{what} {point.name!r} needs a package that is not installed ({why.name}): {how_to_install(extra)}"
            ) from why
        raise ConfigError(_broken(what, point, why), at) from why
    except Exception as why:  # whatever the module of somebody else does while it is imported
        raise ConfigError(_broken(what, point, why), at) from why


def _broken(what: str, point: EntryPoint, why: Exception) -> str:
    package = point.dist.name if point.dist else "?"
    of_code = isinstance(why, ImportError | AttributeError | SyntaxError)  # others may have a value in it
    said = f"{type(why).__name__}: {why}" if of_code else type(why).__name__
    return (
        f"{what} {point.name!r} cannot be loaded from {point.value} ({said}): "
        f"install package {package} anew, or one of its versions that fits this vcond"
    )
