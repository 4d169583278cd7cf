"""What was captured and what was not: the numbers of ``vcond-capture-report``, the warnings and the gap tag.

vCon has no word for "this record has holes", so they are said in three places that readers know: an attachment with
all figures, a tag, and the ``processing_warnings`` of the transcript.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vcond.base.time import Instant
from vcond.call.diagnosis import HARMLESS, Diagnosis, diagnose, diagnose_audio
from vcond.call.events import SpanKind
from vcond.call.intervals import Interval
from vcond.call.spans import HEARD, Spans
from vcond.call.state import Call, Track
from vcond.vcon.building.lawful_basis import told
from vcond.vcon.building.mix import View, heard, over, pauses, scaled, withheld
from vcond.vcon.building.segments import Segments
from vcond.vcon.building.sound import Sound
from vcond.vcon.dates import date

VERSION: Final = 1
"""Of the report's body."""
PURPOSE: Final = "vcond-capture-report"

UNHEARD: Final = frozenset({"no-audio", "one-way-audio"})
"""Findings that make a gap."""
_GAPS: Final = (SpanKind.LOST, SpanKind.CONCEALED)
MOST_PLACES: Final = 500
"""Stretches of lost audio of one party that the report has, the longest: a bad line loses a frame every second, for hours."""

_REASONS: Final = {
    "unknown": "no consent was given",
    "asked": "asked for consent, and not answered",
    "denied": "consent was refused",
    "withdrawn": "consent was withdrawn",
}


@dataclass(slots=True)
class Heard:
    """What came of one party, in frames of the window by kind; the kinds add up to the window."""

    party: int
    frames: dict[SpanKind, int]
    tracks: list[Track]
    audible: bool
    """Whether anything came in at all."""
    places: list[tuple[int, int]]
    """Where audio was lost, as frames ``[start, stop)`` of the window, in order; they do not touch."""

    @property
    def lost(self) -> int:
        """Frames that should have come and did not."""
        return sum(self.frames[kind] for kind in _GAPS)


@dataclass(slots=True)
class Capture:
    """Everything that the record says about itself."""

    shown: View
    parties: list[Heard]
    warnings: list[str] = field(default_factory=list)
    """In plain English, without names, numbers or words spoken."""
    findings: list[Diagnosis] = field(default_factory=list)
    """What ``vcond doctor`` says of it; their sentences are among the warnings and the notes."""
    gap: bool = False
    """Whether anything that was to be recorded is missing."""
    unanswered: bool = False
    """Nobody answered: without word of an answer, audio of a call that has no disposition is answer enough."""

    @property
    def audible(self) -> list[int]:
        """Parties of whom anything came in."""
        return [heard.party for heard in self.parties if heard.audible]


def _heard(call: Call, shown: View, party: int, audio: Mapping[int, Sound]) -> Heard:
    """Spans of all tracks of a party painted over one another, recording pauses on top."""
    line = Spans()
    tracks = [track for track in call.tracks if track.party == party]
    for track in tracks:
        for start, stop, kind in track.spans:
            if kind is not SpanKind.ABSENT:
                line.set(scaled(start, track.rate, shown), scaled(stop, track.rate, shown), kind)
    for start, stop in withheld(call, shown, party):
        line.set(start, stop, SpanKind.WITHHELD)
    for start, stop in pauses(call, shown):
        line.set(start, stop, SpanKind.PAUSED)
    frames = dict.fromkeys(SpanKind, 0)
    for start, stop, kind in line:
        frames[kind] += stop - start
    frames[SpanKind.ABSENT] += shown.frames - sum(frames.values())
    nothing = frames[SpanKind.WITHHELD] and not any(frames[kind] for kind in HEARD)
    return Heard(party, frames, tracks, not nothing and any(heard(track, audio) for track in tracks), _places(line))


def _places(line: Spans) -> list[tuple[int, int]]:
    """Stretches that are lost or concealed; what touches is one."""
    found: list[tuple[int, int]] = []
    for start, stop, kind in line:
        if kind in _GAPS:
            began = found.pop()[0] if found and found[-1][1] == start else start
            found.append((began, stop))
    return found


def capture(call: Call, shown: View, audio: Mapping[int, Sound], sounds: Mapping[int, str] | None = None) -> Capture:
    """The figures of all parties, and what they mean. ``sounds``: see ``vcond.call.diagnosis.diagnose``.

    A party without audio is a gap when it had a track, or is one of two; of more, some never were on our side.
    """
    if sounds is None:  # what a crash left without spans is heard all the same
        sounds = {track.index: "sound" for track in call.tracks if not len(track.spans) and heard(track, audio)}
    found = Capture(shown, [_heard(call, shown, party.index, audio) for party in call.parties])
    found.findings = diagnose(call, sounds)
    some = found.audible or any(one.frames[SpanKind.WITHHELD] for one in found.parties)
    found.unanswered = call.answered is None and (call.disposition is not None or not some)
    if found.unanswered:
        if any(_stop(call, window) >= over(call) for window in call.interruptions):
            found.gap = True
            found.warnings.append("capture stopped before the call's end: whether it was answered is not known")
        return found
    missed = diagnose_audio(call, sounds)
    for one in found.parties:
        if one.lost:
            found.warnings.append(f"party {one.party}: {_seconds(one.lost, shown)} s of audio lost")
        found.warnings += [told.text for told in missed if told.party == one.party]
        if one.frames[SpanKind.WITHHELD]:
            found.warnings.append(f"party {one.party}: {_why_withheld(call, one, shown)}")
    for window in call.interruptions:
        found.warnings.append(f"capture interrupted for {_length(call, window)} s ({window.reason or 'unknown'})")
    told = [one.text for one in call.warnings if one.text and one.code not in HARMLESS]
    found.warnings += [text for text in dict.fromkeys(told) if text not in found.warnings]
    unheard = any(one.code in UNHEARD for one in missed)
    found.gap = unheard or bool(call.interruptions) or any(one.lost for one in found.parties)
    return found


def speech_warnings(said: Segments) -> list[str]:
    """What of the speech has no text, and why."""
    found = [f"{count} utterances not transcribed: {why}" for why, count in sorted(said.failed.items())]
    if said.not_asked and (said.engine or said.segments):
        found.append(f"{said.not_asked} utterances not transcribed: there was no engine then")
    if said.waiting:
        found.append(f"{said.waiting} utterances not transcribed yet")
    if said.deferred:
        seconds = round(sum(segment.stop - segment.start for segment in said.deferred), 1)
        last = date(max(segment.source.at for segment in said.deferred))
        found.append(
            f"{len(said.deferred)} utterances ({seconds} s) transcribed later from the recording, until {last}"
        )
    if said.withheld:
        found.append(f"{said.withheld} utterances shortened or left out for want of consent")
    if said.cut > said.withheld:
        found.append(f"{said.cut - said.withheld} utterances shortened or left out where recording was paused")
    return found + said.notes


def report(
    call: Call, taken: Capture, said: Segments, *, audio: str, moved: list[str], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of the attachment. ``audio``: the form the recording has; ``moved``: what was left out of dialogs."""
    shown = taken.shown
    body: dict[str, Any] = {
        "version": VERSION,
        "software": call.software,
        "recorder": call.recorder,
        "platform": call.adapter,
        "complete": not taken.gap,
        "start": date(shown.start),
        "duration": shown.seconds,
        "audio": audio,
        "parties": [_party(one, shown) for one in taken.parties],
        "utterances": {
            "transcribed": len(said.segments),
            "failed": sum(said.failed.values()),
            "waiting": said.waiting,
            "cut": said.cut,
        }
        | ({"not_asked": said.not_asked} if said.not_asked else {}),
        "interruptions": [_window(call, window) for window in call.interruptions],
        "pauses": [_window(call, window) for window in call.pauses],
        "warnings": [
            {"time": date(warned.at), "code": warned.code} | ({"text": warned.text} if warned.text else {})
            for warned in call.warnings
        ],
        "notes": taken.warnings + speech_warnings(said) + moved,
        "odd_events": call.odd,
    }
    if taken.findings:
        body["findings"] = [
            {"code": one.code, "text": one.text} | ({"party": one.party} if one.party is not None else {})
            for one in taken.findings
        ]
    return body | told(call) | _keeping_up(call, said) | dict(extra)


def _why_withheld(call: Call, one: Heard, shown: View) -> str:
    """How much of a party was not kept, and what it had said."""
    reasons = [window.reason for window in call.consents.withheld(one.party, "recording")]
    why = ", ".join(dict.fromkeys(_REASONS.get(reason, reason) for reason in reasons))
    seconds = _seconds(one.frames[SpanKind.WITHHELD], shown)
    if not call.parties[one.party].told.several:
        return f"{seconds} s not kept: {why}"
    return f"{seconds} s not kept, as the source does not part who is heard on this line; of one of them: {why}"


def _keeping_up(call: Call, said: Segments) -> dict[str, Any]:
    """How the call was transcribed, when that was not all the time while it was spoken."""
    found: dict[str, Any] = {}
    if call.speech_states:
        found["transcription"] = [{"time": date(one.at), "state": one.state} for one in call.speech_states]
    if said.deferred:
        found["deferred"] = {
            "utterances": len(said.deferred),
            "seconds": round(sum(segment.stop - segment.start for segment in said.deferred), 3),
            "filled_in": date(max(segment.source.at for segment in said.deferred)),
        }
    return found


def _party(one: Heard, shown: View) -> dict[str, Any]:
    """Its figures. ``lost_at``: start and stop of what was lost, in seconds from the report's start; the longest, in order."""
    longest = sorted(one.places, key=lambda place: place[0] - place[1])[:MOST_PLACES]
    places = [[_seconds(start, shown), _seconds(stop, shown)] for start, stop in sorted(longest)]
    return {
        "party": one.party,
        "seconds": {
            kind.value: _seconds(one.frames[kind], shown)
            for kind in SpanKind
            if kind is not SpanKind.WITHHELD or one.frames[kind]
        },
        "tracks": [
            {"track": track.index, "codec": track.codec, "rate": track.rate, "opened": date(track.opened)}
            | ({"closed": date(track.closed)} if track.closed is not None else {})
            for track in one.tracks
        ],
    } | ({"lost_at": places, "lost_places": len(one.places)} if places else {})


def _seconds(frames: int, shown: View) -> float:
    return round(frames / shown.rate, 3)


def _stop(call: Call, window: Interval) -> Instant:
    return window.stop if window.stop is not None else over(call)


def _length(call: Call, window: Interval) -> float:
    return round(max(_stop(call, window) - window.start, 0) / 1e9, 3)


def _window(call: Call, window: Interval) -> dict[str, Any]:
    return (
        {"start": date(window.start), "stop": date(_stop(call, window))}
        | ({"reason": window.reason} if window.reason else {})
        | ({"by": window.by} if window.by else {})
        | ({"party": window.party} if window.party is not None else {})
        | ({"overridden_by": window.overridden_by} if window.overridden_by else {})
        | ({"override_reason": window.override_reason} if window.override_reason else {})
    )
