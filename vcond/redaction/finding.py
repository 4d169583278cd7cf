"""Finders by name, and all that they find in a conversation. What cannot be looked at raises: nothing passes unseen."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from vcond.base.errors import ConfigError, MissingExtraError, OperatorError, VcondError, how_to_install
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import GROUP, Conversation, Finder, FinderOptions, Secret

BUILT_IN = {
    "accounts": "vcond.redaction.finders.accounts:AccountFinder",
    "birth-dates": "vcond.redaction.finders.birth_dates:BirthDateFinder",
    "cards": "vcond.redaction.finders.cards:CardFinder",
    "emails": "vcond.redaction.finders.emails:EmailFinder",
    "own": "vcond.redaction.finders.own:OwnFinder",
    "telephones": "vcond.redaction.finders.telephones:TelephoneFinder",
}
"""For a checkout that is not installed and so has no entry points."""
OURS = "vcond.redaction."
"""Modules of finders that bound their own time."""
Apart = Callable[[str, FinderOptions, Finder], Finder]
"""What looks in place of a finder of another package: ``module:class``, what it is made with, and one that tells what it is."""
MOST = 100_000
"""Secrets of one conversation that a finder may say."""
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")


class FinderError(OperatorError):
    """A finder did not do its work. What it was shown must not be taken for looked at."""


def finders(config: RedactionConfig, apart: Apart | None = None) -> list[Finder]:
    """Those of the configuration; ``apart`` has those of other packages look elsewhere. Raises ConfigError, or MissingExtraError for one that lacks a package."""
    for name in sorted(config.settings.keys() - set(config.finders)):
        raise ConfigError("is for a finder that redaction.finders does not have", f"redaction.settings.{name}")
    known: dict[str, set[str]] = {name: {target} for name, target in BUILT_IN.items()}
    for point in entry_points(group=GROUP):
        known.setdefault(point.name, set()).add(point.value)
    return [_made(name, config, known, apart) for name in dict.fromkeys(config.finders)]


def _made(name: str, config: RedactionConfig, known: Mapping[str, Collection[str]], apart: Apart | None) -> Finder:
    options = FinderOptions(config.languages, config.settings.get(name, {}))
    target = _target(name, known)
    try:
        made: Finder = _loaded(name, target)(options)
    except VcondError:
        raise
    except Exception as why:  # noqa: BLE001 - whatever the class of somebody else does
        raise ConfigError(
            f"finder {name!r} cannot be made ({type(why).__name__}): ask its author", "redaction.finders"
        ) from None
    lacks = [key for key in ("name", "kinds", "find") if not hasattr(made, key)]
    if lacks:
        missing = ", ".join(lacks)
        other = "it may be for another version of vcond; ask its author"
        raise ConfigError(f"finder {name!r} has no {missing}: {other}", "redaction.finders")
    if any(_KIND.fullmatch(kind) is None for kind in made.kinds):
        raise ConfigError(
            f"finder {name!r} has kinds that are no names (a-z, 0-9, -): ask its author", "redaction.finders"
        )
    return made if apart is None or target.startswith(OURS) else apart(target, options, made)


def _target(name: str, known: Mapping[str, Collection[str]]) -> str:
    if name not in known:
        there = ", ".join(sorted(known))
        raise ConfigError(f"there is no finder {name!r}; there are: {there}", "redaction.finders")
    target, *more = sorted(known[name])
    if more:  # what is found must not hang on which of them is read last
        several = ", ".join((target, *more))
        raise ConfigError(
            f"several packages provide finder {name!r}: {several}; remove all but one of them", "redaction.finders"
        )
    return target


def _loaded(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as why:
        missing = (why.name or "").partition(".")[0]
        if missing not in {"vcond", module.partition(".")[0]}:
            raise MissingExtraError(
                f"finder {name!r} needs a package that is not installed: {how_to_install(missing)}"
            ) from why
        raise ConfigError(
            f"finder {name!r} cannot be loaded from {target}: no module {why.name}", "redaction.finders"
        ) from why
    except AttributeError as why:
        raise ConfigError(
            f"finder {name!r} cannot be loaded from {target}: no {attribute}", "redaction.finders"
        ) from why


def found(by: Iterable[Finder], conversation: Conversation) -> list[Secret]:
    """What all of them find. Raises FinderError for one that fails, or that says what is not in the conversation."""
    secrets: list[Secret] = []
    for finder in by:
        try:
            mine = [*_bounded(finder, conversation)]
        except FinderError:
            raise
        except Exception as why:  # noqa: BLE001 - a plug-in's mistake; its text may hold what was said
            raise FinderError(
                f"finder {finder.name!r} failed ({type(why).__name__}): nothing is taken for redacted"
            ) from None
        secrets += mine
    return secrets


def _bounded(finder: Finder, conversation: Conversation) -> Iterable[Secret]:
    keys = set(conversation.keys)
    for n, secret in enumerate(finder.find(conversation)):
        if n == MOST:
            raise FinderError(f"finder {finder.name!r} says more than {MOST} secrets: nothing is taken for redacted")
        if (
            secret.kind not in finder.kinds
            or not _there(secret, conversation.turns)
            or not keys.issuperset(secret.keys)
        ):
            raise FinderError(
                f"finder {finder.name!r} says what is not in the conversation: nothing is taken for redacted"
            )
        yield secret


def _there(secret: Secret, turns: Sequence[Any]) -> bool:
    of_turns = all(0 <= number < len(turns) for number in secret.turns)
    return of_turns and all(
        0 <= word.turn < len(turns)
        and 0 <= word.index < len(turns[word.turn].words)
        and turns[word.turn].words[word.index] == word
        for word in secret.words
    )
