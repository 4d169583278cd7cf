"""A vCon for people: who, how long, what was captured of each, what was said, and how well it was understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vcond.demo.accuracy import Score, score
from vcond.demo.call import Recording
from vcond.demo.terminal import clock, plain

REPORT = "vcond-capture-report"
TRANSCRIPT = "wtf_transcription"
KINDS = ("received", "silent", "lost", "held", "paused", "absent")


@dataclass(frozen=True)
class Turn:
    """A piece of the transcript; seconds from the start of the recording."""

    party: int
    start: float
    stop: float
    text: str


def turns(document: dict[str, Any]) -> list[Turn]:
    """What was said, in order; empty without a transcript."""
    body = _transcript(document)
    found = [Turn(one["speaker"], one["start"], one["end"], one["text"]) for one in body.get("segments", [])]
    return sorted(found, key=lambda turn: turn.start)


def scores(document: dict[str, Any], recording: Recording) -> list[Score]:
    """How well each party was understood; empty when nobody wrote down what is said."""
    if not recording.turns:
        return []
    heard = turns(document)
    return [
        score(
            " ".join(turn.text for turn in recording.turns if turn.party == party),
            " ".join(turn.text for turn in heard if turn.party == party),
        )
        for party in range(len(recording.parties))
    ]


def summary(document: dict[str, Any], recording: Recording, size: int) -> Iterator[str]:
    """The lines to print. ``size``: bytes of the vCon."""
    report = _report(document)
    people = [party for party in document.get("parties", []) if party.get("type") != "bot"]
    yield f"{document.get('subject', 'Call')}, {clock(report.get('duration', 0))}, vCon of {size / 1000:.0f} kB"
    yield from _people(people, report)
    yield ""
    yield from _said(people, turns(document), document)
    judged = scores(document, recording)
    if judged:
        yield ""
        yield "spoken words found in the transcript:"
        for person, one in zip(recording.parties, judged, strict=True):
            yield f"  {person.name:<10} {one.right:>3} of {one.spoken:<3} {one.share:7.1%}" + (
                f", {one.extra} too many" if one.extra else ""
            )


def _people(people: list[dict[str, Any]], report: dict[str, Any]) -> Iterator[str]:
    """A row a party: seconds of each kind that occurs."""
    rows = report.get("parties", [])
    shown = [kind for kind in KINDS if kind in KINDS[:3] or any(row["seconds"].get(kind) for row in rows)]
    yield "  " + f"{'party':<26}" + "".join(f"{kind:>11}" for kind in shown)
    for party, row in zip(people, rows, strict=False):
        name = plain(" ".join(filter(None, (party.get("name"), party.get("tel") or party.get("sip")))))
        yield "  " + f"{name or 'unknown':<26.26}" + "".join(f"{row['seconds'].get(kind, 0):>9.2f} s" for kind in shown)


def _said(people: list[dict[str, Any]], said: list[Turn], document: dict[str, Any]) -> Iterator[str]:
    if not said:
        yield "no transcript" + "".join(f"; {plain(note)}" for note in _report(document).get("notes", []))
    names = [plain(one.get("name") or f"party {index}") for index, one in enumerate(people)]
    widest = max(map(len, names), default=0)
    for turn in said:
        name = names[turn.party] if 0 <= turn.party < len(names) else f"party {turn.party}"
        yield f"  {clock(turn.start):>5} - {clock(turn.stop):>5}  {name:<{widest}}  {plain(turn.text)}"


def _transcript(document: dict[str, Any]) -> dict[str, Any]:
    found = (one["body"] for one in document.get("analysis", []) if one.get("type") == TRANSCRIPT)
    return next(found, {})


def _report(document: dict[str, Any]) -> dict[str, Any]:
    found = (one["body"] for one in document.get("attachments", []) if one.get("purpose") == REPORT)
    return next(found, {})
