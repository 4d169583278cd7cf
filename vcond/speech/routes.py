"""Which calls are heard in which language and with which vocabulary: ``[[speech.routes]]``, the first that matches. Pure.

It is looked at for every utterance when it begins: what becomes known of a call later counts from the next utterance on.
"""

from __future__ import annotations

import msgspec

from vcond.call.matching import matches
from vcond.call.state import Call
from vcond.speech.config import Route, SpeechConfig

Model = tuple[str, str, str, str]
_OWN: Model = ("", "", "", "")
"""That of calls without a route."""


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
                    route.language or config.language, _words(route.vocabulary), models.index(_model(config, route))
                ),
            )
            for route in config.routes
        ]
        """Every route in order, with the recognition options of its calls."""

    def recognition_options(self, call: Call) -> RecognitionOptions:
        """Of the first route that a call matches; without one, those of the configuration."""
        for route, recognition_options in self.all:
            if matches(route.match, call):
                return recognition_options
        return self._default


def configurations(config: SpeechConfig) -> list[SpeechConfig]:
    """One for each model that is to be loaded, with the routes whose calls it hears: first that of calls without a route."""
    found = [msgspec.structs.replace(config, routes=_of(config, _OWN))]
    for wanted in _models(config)[1:]:
        routes = _of(config, wanted)
        route = routes[0]
        words = config.vocabulary if route.vocabulary is None else route.vocabulary
        found.append(
            msgspec.structs.replace(
                config, engine=route.engine or ("auto" if route.model else config.engine), model=route.model or ("" if route.engine else config.model), language=route.language or config.language,
                where=route.where or config.where, vocabulary=words, workers=route.workers or config.workers, routes=routes,
            )
        )  # fmt: skip
    return found


def _of(config: SpeechConfig, model: Model) -> list[Route]:
    """The routes whose calls a model hears."""
    return [route for route in config.routes if _model(config, route) == model]


def _models(config: SpeechConfig) -> list[Model]:
    """What routes name, each once, behind what calls without a route have."""
    return list(dict.fromkeys([_OWN, *(_model(config, route) for route in config.routes)]))


def _model(config: SpeechConfig, route: Route) -> Model:
    """Engine, model, the language that a model is looked for with when an engine is named without one, and where that is done."""
    where = "" if route.where in {None, config.where} else str(route.where)
    return route.engine, route.model, route.language if route.engine and not route.model else "", where


def _words(vocabulary: list[str] | None) -> tuple[str, ...] | None:
    return None if vocabulary is None else tuple(vocabulary)
