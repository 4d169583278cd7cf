"""Texts with secrets taken out: a token of the kind stands where they were, one for each run of words.

A transcription is written anew from what was read of it: what nobody read does not come back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from vcond.redaction.places import FEWEST, LONG, Places, pattern
from vcond.redaction.transcribed import Line, seconds, share
from vcond.vcon.model import SYNTAX

PARTY: Final = "party"
"""The kind of what goes with a party."""
_AUDIO: Final = ("duration", "sample_rate", "channels", "format", "bitrate")
_OWN: Final = ("created_at", "processed_at", "provider", "model", "processing_time")
_QUALITY: Final = (
    "audio_quality", "background_noise", "multiple_speakers", "overlapping_speech", "silence_ratio",
    "average_confidence", "low_confidence_words",
)  # fmt: skip


def token(kind: str) -> str:
    """What stands for a secret: nobody says it, and no engine writes it."""
    return f"__REDACTED_{kind.upper().replace('-', '_')}__"


@dataclass(frozen=True, slots=True)
class Word:
    """One that is left, or a token."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Masked:
    """A turn as it is written from now on."""

    line: Line
    text: str
    words: tuple[Word, ...]
    """None where the turn had none with times."""


def masked(line: Line, found: Places) -> Masked:
    """A turn with its secrets taken out."""
    number, turn = line.turn.number, line.turn
    if (whole := found.turns.get(number)) is not None:
        span = Word(token(whole), turn.start - line.origin, turn.end - line.origin, 0.0)
        return Masked(line, token(whole), (span,) if line.timed else ())
    kinds = found.words.get(number, {})
    pairs = list(zip(turn.words, line.confidences, strict=True))
    words: list[Word] = []
    texts: list[str] = []
    for kind, group in groupby(pairs, key=lambda pair: kinds.get(pair[0].index)):
        run = list(group)
        if kind is not None:
            run_start = next((word.start for word, _ in run if word.start is not None), 0.0)
            run_end = next((word.end for word, _ in reversed(run) if word.end is not None), run_start)
            words.append(Word(token(kind), run_start, max(run_start, run_end), 0.0))
            texts.append(token(kind))
            continue
        for word, sure in run:
            words.append(Word(word.text, word.start or 0.0, word.end or 0.0, sure))
            texts.append(word.text)
    said = line.segment.get("text")
    text = " ".join(texts) if kinds or not isinstance(said, str) else said
    placed = line.timed and all(word.start is not None and word.end is not None for word in turn.words)
    return Masked(line, text, tuple(words) if placed else ())


def wtf(body: Mapping[str, Any], turns: Sequence[Masked]) -> dict[str, Any]:
    """The body of a ``wtf_transcription`` of these turns, which are all of it."""
    segments: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    for index, one in enumerate(turns):
        who = _name(one.line.segment.get("speaker"))
        speaker = {} if who is None else {"speaker": who}
        entry: dict[str, Any] = {
            "id": index, **_times(one), "text": one.text.strip(),
            "confidence": share(one.line.segment.get("confidence")), **speaker,
        }  # fmt: skip
        if one.words:
            entry["words"] = list(range(len(words), len(words) + len(one.words)))
        for word in one.words:
            words.append(
                {"id": len(words), "start": word.start, "end": word.end, "text": word.text.strip(),
                 "confidence": word.confidence, **speaker}
            )  # fmt: skip
        segments.append(entry)
    told = body["transcript"]
    language = told.get("language")
    made: dict[str, Any] = {
        "transcript": {
            "text": " ".join(one["text"] for one in segments),
            "language": language if isinstance(language, str) else "und",
            "duration": seconds(told.get("duration")) or 0.0,
            "confidence": share(told.get("confidence")),
        },
        "segments": segments,
    }
    if words:
        made["words"] = words
    if isinstance(speakers := body.get("speakers"), dict) and len(body["segments"]) == len(turns):
        made["speakers"] = {
            str(key): {name: value for name, value in one.items() if name in _SPEAKER}
            for key, one in speakers.items() if isinstance(one, dict)
        }  # fmt: skip
    metadata = body["metadata"] if isinstance(body.get("metadata"), dict) else {}
    made["metadata"] = _plain(metadata, _OWN) | {
        "audio": {"duration": made["transcript"]["duration"]} | _plain(metadata.get("audio"), _AUDIO),
        "options": {"words": bool(words)},
    }
    if isinstance(quality := body.get("quality"), dict):
        warnings = quality.get("processing_warnings")
        made["quality"] = _plain(quality, _QUALITY) | {
            "processing_warnings": [one for one in warnings if isinstance(one, str)]
            if isinstance(warnings, list)
            else []
        }
    return made


_SPEAKER: Final = frozenset({"id", "label", "segments", "total_time", "confidence"})


def flat(body: Mapping[str, Any], turns: Sequence[Masked]) -> dict[str, Any]:
    """The body of a ``transcript`` in Deepgram's flat shape of these turns."""
    spoken = [
        f"Speaker {who}: {' '.join(one.text for one in group)}"
        for who, group in ((who, list(group)) for who, group in groupby(turns, key=_speaker))
    ]
    words = [
        {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence, "speaker": _speaker(one)}
        for one in turns for word in one.words
    ]  # fmt: skip
    language = body.get("detected_language")
    return {
        "transcript": " ".join(one.text for one in turns),
        "confidence": share(body.get("confidence")),
        "detected_language": language if isinstance(language, str) else "und",
        "paragraphs": {"transcript": "\n\n".join(spoken)},
        "words": words,
    }


def _speaker(one: Masked) -> int | str:
    who = _name(one.line.segment.get("speaker"))
    return max(one.line.turn.party, 0) if who is None else who


def _name(who: object) -> int | str | None:
    return who if isinstance(who, (int, str)) and not isinstance(who, bool) else None


def _times(one: Masked) -> dict[str, float]:
    start, end = seconds(one.line.segment.get("start")), seconds(one.line.segment.get("end"))
    if start is None or end is None or end <= start:
        start = 0.0 if start is None else start
        end = start + 0.001
    return {"start": start, "end": end}


def _plain(item: object, names: Sequence[str]) -> dict[str, Any]:
    """Of these members those that are one value."""
    if not isinstance(item, dict):
        return {}
    return {name: item[name] for name in names if isinstance(item.get(name), (str, int, float))}


class Sweep:
    """Takes what is known of secrets out of every other text of a vCon: a subject, a tag, a header may repeat them."""

    def __init__(self, found: Places, names: Collection[str] = ()) -> None:
        """``names``: words, in lower case, of the name of a party that goes; never looked for in the format's own words."""
        every = "|".join(map(re.escape, sorted(names)))
        self._names = re.compile(rf"(?<![^\W_])(?:{every})(?![^\W_])", re.IGNORECASE) if names else None
        self._patterns = [
            (pattern(text), token(kind)) for text, kind in sorted(found.surfaces.items(), key=lambda one: -len(one[0]))
        ]

    def text(self, text: str) -> str:
        """One text."""
        return self._surfaces(text if self._names is None else self._names.sub(token(PARTY), text))

    def _surfaces(self, text: str) -> str:
        if len(text) < LONG and sum(map(str.isdigit, text)) < FEWEST:
            return text  # as most are: words
        for wanted, mask in self._patterns:
            text = wanted.sub(mask, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with all the texts in it, the names of members included; a number that is a secret becomes a token."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._surfaces(str(name)): self._member(str(name), one, value) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= _LARGE:
            swept = self.text(str(value))
            return value if swept == str(value) else swept
        return value

    def _member(self, name: str, value: Any, of: Mapping[str, Any]) -> Any:
        if name == "body" and of.get("encoding") == "base64url":
            return value  # a recording that we wrote
        if name in _WORDS and isinstance(value, str):
            return self._surfaces(value)
        fixed = name in _FIXED and (not isinstance(value, str) or _EXACT.fullmatch(value))
        return value if fixed and not isinstance(value, (dict, list)) else self.value(value)


_WORDS: Final = frozenset(
    {"type", "purpose", "mediatype", "encoding", "event", "disposition", "kind", "code", "state", "vendor", "product", "schema",
     "provider", "model", "language", "detected_language", "platform", "software", "codec", "validation", "lawful_basis"}
)  # fmt: skip
"""Members whose values are words of the format: a name may be one of them."""
_LARGE: Final = 100_000
"""Smaller numbers are rates, counts and lengths."""
_EXACT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"  # a moment
    r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    rf"|{re.escape(SYNTAX)}"
)
_FIXED: Final = frozenset(
    {"vcon", "start", "stop", "end", "time", "duration", "uuid", "created_at", "updated_at", "processed_at", "mediatype", "encoding", "opened", "closed",
     "seconds", "rate", "content_hash", "granted_at", "timestamp", "expiration", "filled_in", "total_time", "confidence"}
)  # fmt: skip
"""Members that hold times, lengths and names of the format: a short secret must not make another moment of one."""
