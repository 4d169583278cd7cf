"""Which calls are heard in which language and with which vocabulary: ``[[speech.routes]]``, the first that matches. Pure.

It is looked at for every utterance when it begins: what becomes known of a call later counts from the next utterance on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from vcond.call.state import Call
from vcond.speech.config import Route, SpeechConfig

DIALLED = "dialled"
"""The fact in which adapters of PBXs keep what the caller dialled."""


class RecognitionOptions(msgspec.Struct, frozen=True):
    """How the utterances of a call are to be heard."""

    language: str = ""
    """BCP 47; empty = not known."""
    vocabulary: tuple[str, ...] | None = None
    """The only words and phrases there are; empty = all; None = those of the configuration."""
    model: int = 0
    """Index of the model that hears them; 0 = that of calls without a route."""


class Routes:
    """The configured routes."""

    def __init__(self, config: SpeechConfig) -> None:
        models = _models(config)
        self._default = RecognitionOptions(config.language)
        self.all = [
            (
                route,
                RecognitionOptions(
                    route.language or config.language, _words(route.vocabulary), models.index(_model(route))
                ),
            )
            for route in config.routes
        ]
        """Every route in order, with the recognition options of its calls."""

    def recognition_options(self, call: Call) -> RecognitionOptions:
        """Of the first route that a call matches; without one, those of the configuration."""
        for route, recognition_options in self.all:
            if matches(route, call):
                return recognition_options
        return self._default


def configurations(config: SpeechConfig) -> list[SpeechConfig]:
    """One for each model that is to be loaded, with the routes whose calls it hears: first that of calls without a route."""
    found = [msgspec.structs.replace(config, routes=_of(config, ("", "", "")))]
    for wanted in _models(config)[1:]:
        routes = _of(config, wanted)
        route = routes[0]
        words = config.vocabulary if route.vocabulary is None else route.vocabulary
        found.append(
            msgspec.structs.replace(
                config, engine=route.engine or "auto", model=route.model, language=route.language or config.language,
                vocabulary=words, workers=route.workers or config.workers, routes=routes,
            )
        )  # fmt: skip
    return found


def _of(config: SpeechConfig, model: tuple[str, str, str]) -> list[Route]:
    """The routes whose calls a model hears."""
    return [route for route in config.routes if _model(route) == model]


def _models(config: SpeechConfig) -> list[tuple[str, str, str]]:
    """What routes name, each once, behind what calls without a route have."""
    return list(dict.fromkeys([("", "", ""), *map(_model, config.routes)]))


def _model(route: Route) -> tuple[str, str, str]:
    """Engine, model, and the language that a model is looked for with when an engine is named without one."""
    return route.engine, route.model, route.language if route.engine and not route.model else ""


def matches(route: Route, call: Call) -> bool:
    """Whether all that a route names is so."""
    match = route.match
    if match.adapter and match.adapter != call.adapter:
        return False
    if match.dialled and not _any(match.dialled, _dialled(call)):
        return False
    return all(_any(pattern, _said(call, name)) for name, pattern in match.attributes.items())


def _dialled(call: Call) -> Sequence[str]:
    """What the caller dialled, as the PBX says; where it does not, the numbers of whoever is not the caller."""
    said = [fact.value for fact in call.facts if fact.name == DIALLED]
    return said or [number for party in call.parties[1:2] for number in (party.who.tel, party.who.sip) if number]


def _said(call: Call, name: str) -> Iterable[str]:
    """Every value of a fact or tag, of the call or of any party."""
    return [fact.value for fact in call.facts if fact.name == name] + [value for tag, value in call.tags if tag == name]


def _any(pattern: str, values: Iterable[str]) -> bool:
    """Whether a value is the pattern, or begins with it when it ends in ``*``."""
    if pattern.endswith("*"):
        return any(value.startswith(pattern[:-1]) for value in values)
    return any(value == pattern for value in values)


def _words(vocabulary: list[str] | None) -> tuple[str, ...] | None:
    return None if vocabulary is None else tuple(vocabulary)
