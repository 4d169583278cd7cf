"""Speech of several models: routes of the configuration may name an engine and a model of their own.

Each model has its ``Speech`` with its own workers; this is the face of all of them. Which model a track is heard with is
decided when listening to it begins: when it opens, and after every pause of the recording.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from vcond.call.events import CallAttribute, Utterance
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine_choice import Choice
from vcond.speech.load.admission import STATES, State
from vcond.speech.routes import configurations
from vcond.speech.segmenting import TrackListener
from vcond.speech.source import Clock, Source
from vcond.speech.workers import messages


class Routed(Source, Protocol):
    """A source that says which model is for it."""

    @property
    def model(self) -> int:
        """Index of the model (``vcond.speech.routes.configurations``)."""


class Speeches:
    """As ``Speech``, with every model of the configuration."""

    def __init__(self, config: SpeechConfig, *, clock: Clock, machine: str = "") -> None:
        self.config = config
        self._clock = clock
        self._of = [
            Speech(one, clock=clock, machine=machine, number=number)
            for number, one in enumerate(configurations(config))
        ]
        for one in self._of:
            one.house = self._of
        self.ready = asyncio.Event()
        """One of the models can be used. ``settled`` waits for what another one is to hear."""

    @property
    def choice(self) -> Choice:
        """What was chosen for calls without a route."""
        return self._of[0].choice

    @property
    def engine(self) -> messages.Ready | None:
        """What hears calls without a route."""
        return self._of[0].engine

    @property
    def calls(self) -> Counter[str]:
        """Calls that go on, by state."""
        return sum((one.calls for one in self._of), Counter())

    @property
    def trouble(self) -> str:
        """Why something is not transcribed now, and what to do about it."""
        return "; ".join(dict.fromkeys(one.trouble for one in self._of if one.trouble))

    def listen(self, source: Routed, start: int = 0) -> TrackListener:
        """A listener on a track, from a position on, with the model that is for it."""
        speech = self._of[source.model]
        if source.model and speech.engine is not None:
            at = self._clock.now()
            source.emit(CallAttribute(at=at, name="speech_engine", value=speech.engine.engine))
            source.emit(CallAttribute(at=at, name="speech_model", value=speech.engine.model))
        return speech.listen(source, start)

    def catch_up(self, source: Routed, utterances: Sequence[Utterance]) -> None:
        """Transcribe what an earlier run left without a text."""
        self._of[source.model].catch_up(source, utterances)

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - a deadline that returns, not raises
        """Whether every utterance of a call has its text, or never will, within so many seconds; "" = of all calls."""
        return all(await asyncio.gather(*(one.settled(call, timeout) for one in self._of)))

    def forget(self, call: str) -> int:
        """Nobody wants the texts of a call any more. How many utterances that were."""
        return sum(one.forget(call) for one in self._of)

    def forget_track(self, source: Source) -> int:
        """The same of one track."""
        return sum(one.forget_track(source) for one in self._of)

    def at_most(self, best: State) -> None:
        """The machine is short of something: no call is transcribed better than that."""
        for one in self._of:
            one.at_most(best)

    def status(self) -> dict[str, object]:
        """How all of it keeps up, for people, and how each model does."""
        waiting = [one.deferred for one in self._of]
        return {
            "engine": self.choice.engine,
            "workers": sum(len(one.pids) for one in self._of),
            "calls": {state: sum(one.calls[state] for one in self._of) for state in STATES},
            "load": round(max(one.admission.load for one in self._of), 2),
            "lag": max((lag for one in self._of if (lag := one.steps.lag) is not None), default=None),
            "waiting": sum(one.waiting for one in self._of),
            "deferred": sum(count for count, _ in waiting),
            "deferred_seconds": round(sum(seconds for _, seconds in waiting), 1),
            "models": [one.status() for one in self._of],
        }

    async def run(self) -> None:
        """Own everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._of:
                tasks.create_task(one.run(), name=f"speech {one.choice.engine}")
                tasks.create_task(self._await(one), name=f"speech {one.choice.engine} ready")

    async def _await(self, one: Speech) -> None:
        await one.ready.wait()
        self.ready.set()


def speech_of(config: SpeechConfig, *, clock: Clock, machine: str = "") -> Speech | Speeches:
    """What the configuration means: most name one model. ``machine``: what this one is called. Raises ConfigError."""
    if len(configurations(config)) > 1:
        return Speeches(config, clock=clock, machine=machine)
    return Speech(config, clock=clock, machine=machine)
