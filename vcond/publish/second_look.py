"""The second look: a redacted recording is transcribed again, and the finders must find nothing in it any more.

The speech workers do it when no call needs them. It is the same engine, which hears what it heard: it finds what the first
times were wrong about, not what the engine never understands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Protocol

from vcond.base.errors import BadMediaError
from vcond.base.time import EPOCH, Instant, nanos
from vcond.call.events import Event, Transcribed, Utterance
from vcond.media.codecs import Pcm
from vcond.publish.texts import Settling
from vcond.redaction.contract import Finder
from vcond.redaction.finding import found
from vcond.redaction.places import Place, places, uncovered
from vcond.redaction.redact import Redacted
from vcond.redaction.sound import Recording, decoded, of_channels
from vcond.redaction.transcribed import Reading, read
from vcond.vcon.model import WTF

PATIENCE: Final = 300.0
"""Seconds that it may wait for a worker with time."""
REST: Final = 600.0
"""Seconds without another look after one for which there was no time, so that no backlog of deliveries grows."""
_LONGEST: Final = 20.0
"""Seconds of an utterance; what is longer is looked at in parts that overlap."""
_OVERLAP: Final = 2.0
_AROUND: Final = 0.5
"""Seconds before and after a turn that are looked at with it."""


class Speaking(Settling, Protocol):
    """What is used of speech."""

    def catch_up(self, source: _Channel, utterances: Sequence[Utterance]) -> None:
        """Transcribe utterances when no live call needs the workers."""


@dataclass(slots=True)
class _Channel:
    """One channel of a redacted recording, as speech reads a track (``vcond.speech.source.Source``)."""

    call: str
    track: int
    dialog: int
    party: int
    recording: Recording
    lock: Lock
    """Of the recording: its channels are read from several threads."""
    channel: int
    language: str
    model: int = 0
    vocabulary: tuple[str, ...] | None = None
    texts: list[Transcribed] = field(default_factory=list)
    spoken: dict[int, Utterance] = field(default_factory=dict)

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.recording.rate

    def read(self, start: int, stop: int) -> Pcm:
        """Samples ``[start, stop)``."""
        with self.lock:
            return self.recording.read(start, stop)[:, self.channel].copy()

    def close(self) -> None:
        """Nothing is read any more."""
        with self.lock:
            self.recording.close()

    def emit(self, event: Event) -> None:
        """A text came, or none will."""
        if isinstance(event, Transcribed):
            self.texts.append(event)

    def next_utterance(self) -> int:
        """A number that no utterance has."""
        return len(self.spoken)

    def partial(self, start: int, stop: int, text: str) -> None:
        """Nobody watches."""

    def at(self, position: int) -> Instant:
        """The moment of a position, from the beginning of the recording."""
        return Instant(EPOCH + nanos(position, self.rate))

    def cut(self, spans: Sequence[tuple[float, float]]) -> None:
        """These seconds are to be looked at."""
        for start, end in spans:
            at = max(0.0, start)
            while at < min(end, self.recording.seconds):
                stop = min(at + _LONGEST, end, self.recording.seconds)
                number = self.next_utterance()
                self.spoken[number] = Utterance(
                    at=EPOCH, utterance=number, track=self.track, start=int(at * self.rate), stop=int(stop * self.rate)
                )
                at = stop if stop - at < _LONGEST else stop - _OVERLAP


class SecondLook:
    """Looks at one redacted vCon at a time."""

    def __init__(self, speech: Speaking, finders: Sequence[Finder], patience: float = PATIENCE) -> None:
        self._speech, self._finders, self._patience = speech, list(finders), patience
        self._rests = 0.0
        """Until then, by the loop's clock, nothing is looked at: workers without time for one vCon have none for the next."""

    async def __call__(self, made: Redacted) -> list[Place] | None:
        """Where something is still to be heard that was not silenced; None = no worker had time, or one could not tell."""
        now = asyncio.get_running_loop().time()
        if now < self._rests:
            return None
        channels = await asyncio.to_thread(lambda: list(_channels(made)))
        for one in channels:
            self._speech.catch_up(one, list(one.spoken.values()))
        name = _name(made)
        try:
            if channels and not await self._speech.settled(name, self._patience):
                self._rests = asyncio.get_running_loop().time() + REST
                return None
        finally:
            self._speech.forget(name)
            for one in channels:
                one.close()
        if any(len(one.texts) < len(one.spoken) for one in channels):
            return None
        return await asyncio.to_thread(self._still, made, channels)

    def _still(self, made: Redacted, channels: Sequence[_Channel]) -> list[Place]:
        """What is found in what was heard now."""
        heard = read(_heard(made, channels))
        return uncovered(places(heard, found(self._finders, heard.conversation)).sound, made.sound)


def _name(made: Redacted) -> str:
    return f"second-look-{made.document['uuid']}"


def _channels(made: Redacted) -> Iterator[_Channel]:
    """Every channel of every recording in which somebody speaks."""
    reading, count = made.reading, 0
    for index, item in enumerate(made.document.get("dialog", [])):
        if item.get("type") != "recording" or "body" not in item:
            continue
        try:
            recording = decoded(item)
        except BadMediaError:  # we wrote it: a mistake of ours, and nothing to look at
            continue
        lock = Lock()
        for channel, whose in enumerate(of_channels(item.get("parties"), recording.channels)):
            spans = list(_spans(reading, index, whose))
            party = next(iter(whose)) if whose is not None and len(whose) == 1 else -1
            one = _Channel(_name(made), count, index, party, recording, lock, channel, _language(reading, index))
            one.cut(spans)
            count += 1
            if one.spoken:
                yield one


def _spans(reading: Reading, dialog: int, whose: frozenset[int] | None) -> Iterator[tuple[float, float]]:
    """When somebody speaks in a channel, by the original."""
    origin = reading.dialogs.origin(dialog)
    for line in reading.lines:
        turn = line.turn
        there = turn.dialog in {dialog, reading.dialogs.whole(dialog)}
        if there and line.placed and (whose is None or turn.party in whose or turn.party < 0):
            yield turn.start - origin - _AROUND, turn.end - origin + _AROUND


def _language(reading: Reading, dialog: int) -> str:
    own = [line.turn.language for line in reading.lines if line.turn.dialog in {dialog, reading.dialogs.whole(dialog)}]
    return next(filter(None, own), "")


def _heard(made: Redacted, channels: Sequence[_Channel]) -> dict[str, Any]:
    """What was understood, as a vCon that finders can be shown."""
    analyses = []
    for one in channels:
        segments, words = [], list[dict[str, Any]]()
        for text in one.texts:
            cut = one.spoken[text.utterance]
            own = [
                {"id": len(words) + at, "start": word.start / one.rate, "end": word.stop / one.rate, "text": word.text.strip(),
                 "confidence": word.confidence, "speaker": one.party}
                for at, word in enumerate(text.words)
            ]  # fmt: skip
            words += own
            segments.append(
                {"start": cut.start / one.rate, "end": cut.stop / one.rate, "text": text.text, "speaker": one.party,
                 "words": [word["id"] for word in own]}
            )  # fmt: skip
        body = {"transcript": {"language": one.language}, "segments": segments, "words": words}
        analyses.append({"type": WTF, "dialog": one.dialog, "encoding": "json", "body": body})
    bare = [{name: value for name, value in item.items() if name != "body"} for item in made.document.get("dialog", [])]
    return {"dialog": bare, "analysis": analyses}
