"""Word error rate: the edits between what was said and what was written, for each word said."""

from __future__ import annotations

from collections.abc import Sequence

from vcond.demo.accuracy import words

ALIKE = {"mail box": "mailbox", "key words": "keywords", "black list": "blacklist", "re record": "rerecord"}
"""Two ways to write the same word."""


def normal(text: str) -> list[str]:
    """The words that are compared: no case, no punctuation, numbers below 100 in letters."""
    plain = " ".join(words(text.replace("-", " ")))
    for apart, joined in ALIKE.items():
        plain = f" {plain} ".replace(f" {apart} ", f" {joined} ").strip()
    return plain.split()


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """The least number of words put in, left out or exchanged (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def share(pairs: Sequence[tuple[str, str]]) -> float:
    """The rate over pairs of (said, heard), 0 to 1 and above."""
    sides = [(normal(said), normal(heard)) for said, heard in pairs]
    return sum(edits(said, heard) for said, heard in sides) / sum(len(said) for said, _ in sides)
