"""What was said in a window: segments and words by party, nothing of what a pause covers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vcond.base.time import Instant
from vcond.call.events import NO_ENGINE, VOCABULARY, Transcribed, Utterance, Word
from vcond.call.intervals import Interval
from vcond.call.state import Call, Speech
from vcond.vcon.building.attributes import Attributes
from vcond.vcon.building.mix import View, touches_pause

_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""The shape of a BCP 47 tag."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word: seconds from the recording's start."""

    start: float
    stop: float
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """An utterance with its text: seconds from the recording's start, ``stop`` after ``start``."""

    party: int
    start: float
    stop: float
    text: str
    confidence: float
    words: list[Said]
    source: Transcribed


@dataclass(slots=True)
class Segments:
    """All that was said in a window, in order, and why something is missing."""

    segments: list[Segment] = field(default_factory=list)
    deferred: list[Segment] = field(default_factory=list)
    """Those that had to wait until there was time, and were filled in from the recording."""
    cut: int = 0
    """Utterances shortened or left out because recording was paused, or for want of consent."""
    withheld: int = 0
    """Of these the ones that no pause touched."""
    waiting: int = 0
    """Utterances without a text as yet."""
    failed: Counter[str] = field(default_factory=Counter)
    """Utterances that will have no text, by reason."""
    not_asked: int = 0
    """Utterances whose text nobody asked for: there was no engine."""
    engine: str = ""
    model: str = ""
    language: str = ""
    engines: list[str] = field(default_factory=list)
    """``engine/model`` of all texts, when more than one took part."""
    notes: list[str] = field(default_factory=list)
    """How texts were made, as far as a reader should know."""

    @property
    def lost(self) -> bool:
        """Whether words may be missing that were spoken and recorded."""
        return bool(self.waiting or self.failed or self.not_asked)


def unit(value: float) -> float:
    """A confidence, kept between 0 and 1 and short; what is no number is 0. As a share: 0 to 1."""
    return round(min(value, 1.0), 4) if value > 0 else 0.0


def _said(call: Call, shown: View, rate: int, words: Iterable[Word], hidden: Sequence[Interval]) -> Iterable[Said]:
    """The words with text that nothing hidden touches: a pause, or want of consent."""
    for word in words:
        start, stop = call.at(word.start, rate), call.at(word.stop, rate)
        text = word.text.strip()
        if text and not touches_pause(hidden, start, stop):
            begin, end = _times(shown, start, stop)
            yield Said(begin, end, text, unit(word.confidence))


def _times(shown: View, start: Instant, stop: Instant) -> tuple[float, float]:
    """Seconds from the window's start; never empty, and never after its end while that can be had."""
    begin, end = shown.offset(start), shown.offset(stop)
    if end <= begin:
        end = round(begin + 0.001, 3)
    return begin, end


def _when(call: Call, heard: Utterance) -> tuple[Instant, Instant]:
    rate = call.tracks[heard.track].rate
    return call.at(heard.start, rate), call.at(heard.stop, rate)


def _segment(call: Call, shown: View, heard: Utterance, text: Transcribed) -> tuple[Segment | None, bool]:
    """The segment of an utterance (None when nothing is left) and whether a pause took something of it."""
    track = call.tracks[heard.track]
    start, stop = _when(call, heard)
    hidden = [*call.pauses, *call.consents.withheld(track.party, "transcription")]
    words = list(_said(call, shown, track.rate, text.words, hidden))
    paused = touches_pause(hidden, start, stop)
    if paused:
        whole = " ".join(word.text for word in words)
    else:
        whole = text.text.strip() or " ".join(word.text for word in words)
    if not whole:
        return None, paused
    if paused:
        begin, end = words[0].start, max(words[-1].stop, words[0].start + 0.001)
    else:
        begin, end = _times(shown, start, stop)
    sure = text.confidence or (sum(word.confidence for word in words) / len(words) if words else 0.0)
    return Segment(track.party, begin, end, whole, unit(sure), words, text), paused


def _common(names: Iterable[str]) -> str:
    """The most frequent of some names; of equals the first by alphabet."""
    counted = Counter(filter(None, names))
    return min(counted, key=lambda name: (-counted[name], name), default="")


def _heard_by(text: Transcribed) -> str:
    """``vosk/small-en``, with ``@gpu-1`` behind it when another machine did it."""
    return f"{text.engine}/{text.model}" + (f"@{text.machine}" if text.machine else "")


def segments(call: Call, shown: View, facts: Attributes, parties: Iterable[int] | None = None) -> Segments:
    """What was said by these parties (None = all) in the window, in order of time."""
    found = Segments()
    wanted = None if parties is None else set(parties)
    for speech in call.speech.values():
        if wanted is None or call.tracks[speech.utterance.track].party in wanted:
            _take(found, call, shown, speech)
    found.segments.sort(key=lambda segment: (segment.start, segment.party, segment.stop))
    sources = [segment.source for segment in found.segments]
    used = _common(f"{source.engine}\n{source.model}" for source in sources)
    named = (facts.take("speech_engine"), facts.take("speech_model"))
    found.engine, found.model = used.split("\n", 1) if used else named
    languages = (source.language for source in sources if _LANGUAGE.fullmatch(source.language))
    found.language = _common(languages) or facts.take("speech_language", None, _LANGUAGE)
    engines = sorted({_heard_by(source) for source in sources})
    found.engines = engines if len(engines) > 1 or any(source.machine for source in sources) else []
    found.notes = [warned.text for warned in call.warnings if warned.code == VOCABULARY]
    return found


def _take(found: Segments, call: Call, shown: View, speech: Speech) -> None:
    if speech.failed == NO_ENGINE:
        found.not_asked += 1
    elif speech.failed:
        found.failed[speech.failed] += 1
    elif speech.transcript is None:
        found.waiting += 1
    else:
        segment, paused = _segment(call, shown, speech.utterance, speech.transcript)
        found.cut += paused
        found.withheld += paused and not touches_pause(call.pauses, *_when(call, speech.utterance))
        if segment is not None:
            found.segments.append(segment)
            if segment.source.deferred:
                found.deferred.append(segment)
