"""How many of the words that were spoken are in a transcript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WORDS = 1_000
"""Words of one party that are compared; the comparison takes the product of both lengths."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True)
class Score:
    """A transcript of one party against what it said."""

    spoken: int
    right: int
    """Words spoken that were heard, in their order."""
    extra: int
    """Words heard that were not spoken there."""

    @property
    def share(self) -> float:
        """Right words of those spoken, 0 to 1."""
        return self.right / self.spoken if self.spoken else 1.0


def words(text: str) -> list[str]:
    """The words of a text without case and punctuation; whole numbers below 100 as words."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        found += _in_words(int(word)) if word.isascii() and word.isdigit() and int(word) < 100 else [word]
    return found


def _in_words(number: int) -> list[str]:
    if number < 20:
        return [_ONES[number]]
    tens, ones = divmod(number, 10)
    return [_TENS[tens], _ONES[ones]] if ones else [_TENS[tens]]


def aligned(spoken: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """The longest common subsequence, as index pairs in order. Words beyond ``MAX_WORDS`` are left out."""
    spoken, heard = spoken[:MAX_WORDS], heard[:MAX_WORDS]
    best = [[0] * (len(heard) + 1) for _ in range(len(spoken) + 1)]
    for i in range(len(spoken) - 1, -1, -1):
        for j in range(len(heard) - 1, -1, -1):
            same = spoken[i] == heard[j]
            best[i][j] = best[i + 1][j + 1] + 1 if same else max(best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(spoken) and j < len(heard):
        if spoken[i] == heard[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def score(spoken: str, heard: str) -> Score:
    """Judge the text heard against the text spoken."""
    said, found = words(spoken), words(heard)
    right = len(aligned(said, found))
    return Score(len(said), right, len(found) - right)
