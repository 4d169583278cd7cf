"""How much of what was said in secret is gone, counted over what an engine wrote of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vcond.redaction.contract import Conversation, Finder, SpokenWord, Turn
from vcond.redaction.finding import found
from vcond.redaction.languages import LANGUAGES
from vcond.redaction.reading import Read, Sort, read

MARGIN = 0.5
"""Seconds of sound that go before and after each word."""
LEFT = 0.25
"""Seconds of a secret that may stay: less than a digit takes."""
GROUPS = {
    "cards": ("card", "card-split", "card-asked", "card-read-back"),
    "security codes": ("security-code", "security-code-asked"),
    "telephones": ("telephone", "telephone-asked"),
}
"""What the goals are for; other kinds are measured by themselves."""
OWN = {"own": {"numbers": {"customer-number": ["customer number"]}}}
"""The operator's settings, for a kind of secret that only he knows."""


@dataclass
class Row:
    """Counts of one kind."""

    said: int = 0
    gone: int = 0
    recognized: int = 0
    """Of which the engine wrote a digit, or the words before it."""
    recognized_gone: int = 0


def conversation(record: dict[str, Any]) -> Conversation:
    """What a finder is shown of a record: ``redaction_set.recognized`` says what one is."""
    turns, now = [], 0.0
    for n, turn in enumerate(record["turns"]):
        times = [now + at / 100 for at in turn["times"]]
        words = tuple(
            SpokenWord(0, turn["party"], n, i, text, times[2 * i], times[2 * i + 1])
            for i, text in enumerate(turn["text"].split())
        )
        turns.append(Turn(n, 0, turn["party"], now, now + turn["seconds"], words, "en"))
        now += turn["seconds"] + 0.3
    return Conversation(tuple(turns))


def judged(record: dict[str, Any], finders: Sequence[Finder]) -> tuple[bool, bool]:
    """Whether the engine wrote something of the secret, and whether all of it is gone, from the text and from the sound."""
    spoken = conversation(record)
    secrets = found(finders, spoken)
    gone = {(word.turn, word.index) for secret in secrets for word in secret.words}
    whole = {number for secret in secrets for number in secret.turns}
    recognized, clear = record["announced"], False
    for turn, kept in zip(read(spoken, LANGUAGES, LANGUAGES["en"]), record["turns"], strict=True):
        n = turn.turn.number
        for start, stop in kept["secrets"]:
            first, last = turn.turn.start + start, turn.turn.start + stop
            digits = _digits(turn, first, last)
            recognized = recognized or bool(digits)
            if n in whole:
                continue
            masks = [
                (word.start - MARGIN, word.end + MARGIN) for word in turn.turn.words if (n, word.index) in gone
            ]  # fmt: skip
            clear = clear or any((n, word.index) not in gone for word in digits) or uncovered(first, last, masks) > LEFT
    return recognized, not clear


def _digits(turn: Read, first: float, last: float) -> list[SpokenWord]:
    """Words with digits that were said between."""
    sure = [part.word for part in turn.parts if part.sort in {Sort.DIGITS, Sort.AMOUNT}]
    return [word for word in sure if word.end > first - 0.1 and word.start < last + 0.1]


def uncovered(first: float, last: float, masks: Iterable[tuple[float, float]]) -> float:
    """How much of a span none of the masks covers."""
    left, at = 0.0, first
    for start, stop in sorted(masks):
        left += max(0.0, min(start, last) - at)
        at = max(at, stop)
    return left + max(0.0, last - at)


def table(records: Iterable[dict[str, Any]], finders: Sequence[Finder]) -> tuple[dict[str, Row], int, int]:
    """By kind and by group; sentences without a secret, and those of them of which something went."""
    rows: dict[str, Row] = {}
    clean = alarms = 0
    for record in records:
        kind = record["kind"]
        if not kind:
            secrets = found(finders, conversation(record))
            clean += len(record["turns"])
            alarms += len(
                {word.turn for one in secrets for word in one.words} | {n for one in secrets for n in one.turns}
            )
            continue
        recognized, gone = judged(record, finders)
        for name in (kind, *(group for group, kinds in GROUPS.items() if kind in kinds)):
            row = rows.setdefault(name, Row())
            row.said += 1
            row.gone += gone
            row.recognized += recognized
            row.recognized_gone += recognized and gone
    return rows, clean, alarms
