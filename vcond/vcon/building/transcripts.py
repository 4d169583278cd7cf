"""What was said, as the two analyses that readers expect.

``wtf_transcription`` is draft-howe-vcon-wtf-extension-02; ``transcript`` has the shape of a Deepgram answer, which the
links of the deployed conserver read at ``body.paragraphs.transcript``. All times are seconds from the start of the
dialog that ``dialog`` names.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from vcond.base.time import Instant
from vcond.call.state import Call
from vcond.vcon.building.mix import View, over
from vcond.vcon.building.segments import Said, Segment, Segments
from vcond.vcon.dates import date
from vcond.vcon.model import WTF

_UNKNOWN_LANGUAGE = "und"
"""BCP 47 for a language that is not known."""


def analyses(
    call: Call, shown: View, said: Segments, dialog: int, *, warnings: list[str], audio: dict[str, Any]
) -> list[dict[str, Any]]:
    """Both analyses of a dialog, or fewer: see the rules.

    - Nobody spoke although somebody listened: both, with an empty text.
    - Utterances, but not one text: WTF alone, whose warnings say why, so that a reader may transcribe by itself.
    - No engine: none at all, because nothing was to be transcribed.
    """
    if not (said.engine or said.waiting or said.failed or said.segments):
        return []
    common = {"dialog": dialog, "mediatype": "application/json", "vendor": said.engine or "vcond"}
    product = {"product": said.model} if said.model else {}
    text = _text(said.segments)
    found = [
        {
            "type": WTF, **common, **product, "schema": "wtf-1.0", "start": date(_processed(call, said)[1]),
            "encoding": "json", "body": wtf(call, shown, said, text, warnings, audio),
        }
    ]  # fmt: skip
    if said.segments or not said.lost:
        found.append(
            {"type": "transcript", **common, **product, "schema": "deepgram-like", "encoding": "json",
             "body": deepgram(said, text)}
        )  # fmt: skip
    return found


def _text(segments: list[Segment]) -> str:
    return " ".join(segment.text for segment in segments)


def _processed(call: Call, said: Segments) -> tuple[Instant, Instant]:
    """When the first and the last text were there; the end of the call without any."""
    moments = [segment.source.at for segment in said.segments]
    return (min(moments), max(moments)) if moments else (over(call), over(call))


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def _flat(segments: list[Segment]) -> list[tuple[int, Said]]:
    """All words with the party that said them, numbered by their place."""
    return [(segment.party, word) for segment in segments for word in segment.words]


def wtf(
    call: Call, shown: View, said: Segments, text: str, warnings: list[str], audio: dict[str, Any]
) -> dict[str, Any]:
    """The body of a ``wtf_transcription``."""
    first, last = _processed(call, said)
    segments = said.segments
    numbered, at = [], 0
    for index, segment in enumerate(segments):
        entry: dict[str, Any] = {
            "id": index, "start": segment.start, "end": segment.stop, "text": segment.text,
            "confidence": segment.confidence, "speaker": segment.party,
        }  # fmt: skip
        if segment.words:
            entry["words"] = list(range(at, at + len(segment.words)))
            at += len(segment.words)
        numbered.append(entry)
    words = [
        {"id": index, "start": word.start, "end": word.stop, "text": word.text, "confidence": word.confidence,
         "speaker": party}
        for index, (party, word) in enumerate(_flat(segments))
    ]  # fmt: skip
    metadata: dict[str, Any] = {
        "created_at": date(first),
        "processed_at": date(last),
        "provider": (said.engine or "vcond").lower(),
        "model": said.model or "none",
    }
    if segments:
        metadata["processing_time"] = sum(segment.source.took_ms for segment in segments) / 1000
    options: dict[str, Any] = {"words": bool(words)}
    if said.engines:
        options["engines"] = said.engines
    metadata |= {"audio": {"duration": shown.seconds, "sample_rate": shown.rate, **audio}, "options": options}
    body: dict[str, Any] = {
        "transcript": {
            "text": text,
            "language": said.language or _UNKNOWN_LANGUAGE,
            "duration": shown.seconds,
            "confidence": _mean([segment.confidence for segment in segments]),
        },
        "segments": numbered,
    }
    if words:
        body["words"] = words
    if segments:
        body["speakers"] = _speakers(segments)
    body |= {"metadata": metadata, "quality": _quality(shown, segments, warnings)}
    if lags := [segment.source.lag_ms for segment in segments if segment.source.lag_ms > 0]:
        body["streaming"] = {
            "session_id": call.uuid, "is_final": True, "latency_ms": round(sum(lags) / len(lags)),
        }  # fmt: skip
    return body


def _speakers(segments: list[Segment]) -> dict[str, Any]:
    found = {}
    for party in sorted({segment.party for segment in segments}):
        own = [(index, segment) for index, segment in enumerate(segments) if segment.party == party]
        found[str(party)] = {
            "id": party,
            "label": f"party {party}",
            "segments": [index for index, _ in own],
            "total_time": round(sum(segment.stop - segment.start for _, segment in own), 3),
            "confidence": _mean([segment.confidence for _, segment in own]),
        }
    return found


def _quality(shown: View, segments: list[Segment], warnings: list[str]) -> dict[str, Any]:
    words = [word.confidence for segment in segments for word in segment.words]
    spoken, overlapping, until, who = 0.0, False, 0.0, -1
    for segment in segments:
        overlapping = overlapping or (segment.start < until and segment.party != who)
        spoken += max(0.0, segment.stop - max(segment.start, until))
        if segment.stop > until:
            until, who = segment.stop, segment.party
    quality: dict[str, Any] = {
        "multiple_speakers": len({segment.party for segment in segments}) > 1,
        "overlapping_speech": overlapping,
        "average_confidence": _mean(words or [segment.confidence for segment in segments]),
        "low_confidence_words": sum(value < 0.5 for value in words),
        "processing_warnings": warnings,
    }
    if shown.seconds > 0:
        quality["silence_ratio"] = round(min(max(1 - spoken / shown.seconds, 0.0), 1.0), 4)
    return quality


def deepgram(said: Segments, text: str) -> dict[str, Any]:
    """The body of a ``transcript``: one paragraph a turn."""
    turns = (
        f"Speaker {party}: {_text(list(turn))}" for party, turn in groupby(said.segments, key=lambda one: one.party)
    )
    words = [
        {"word": word.text, "start": word.start, "end": word.stop, "confidence": word.confidence, "speaker": party}
        for party, word in _flat(said.segments)
    ]
    return {
        "transcript": text,
        "confidence": _mean([segment.confidence for segment in said.segments]),
        "detected_language": (said.language or _UNKNOWN_LANGUAGE).split("-")[0],
        "paragraphs": {"transcript": "\n\n".join(turns)},
        "words": words,
    }
