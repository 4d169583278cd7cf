"""The suite that every finder of secrets passes, ours and third parties'.

class TestConformance(FinderConformance):
    @pytest.fixture
    def finder(self):
        return AcmeFinder(FinderOptions(settings={...}))

    @pytest.fixture
    def conversations(self):
        return said((0, "my badge is blue 17")), said((1, "which badge"), (0, "red 4"))
"""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import msgspec
import pytest

from vcond.call.events import BUTTONS
from vcond.redaction.contract import Conversation, Finder, KeyPressed, Secret, SpokenWord, Turn

ROUNDS = 20
"""How often the same conversation is looked at, from several threads."""
LENGTHS = 25, 100
"""How often a conversation is repeated in one, to see how the work grows."""


def said(*turns: tuple[int, str], keys: str = "", keyed_at: float = 0.0, pause: float = 0.5) -> Conversation:
    """Turns of (party, text) in one dialog, a word every 0.4 s; keys of party 0, one a second."""
    made: list[Turn] = []
    now = 0.0
    for n, (party, text) in enumerate(turns):
        words = tuple(
            SpokenWord(0, party, n, i, word, now + 0.4 * i, now + 0.4 * i + 0.3) for i, word in enumerate(text.split())
        )
        end = now + 0.4 * max(1, len(words))
        made.append(Turn(n, 0, party, now, end, words, "en"))
        now = end + pause
    return Conversation(tuple(made), tuple(KeyPressed(0, i, keyed_at + i, BUTTONS[key]) for i, key in enumerate(keys)))


class FinderConformance:
    """See the module."""

    @pytest.fixture
    def finder(self) -> Finder:
        """The finder, made."""
        raise NotImplementedError

    @pytest.fixture
    def conversations(self) -> tuple[Conversation, Conversation]:
        """Two that differ, each with a secret that the finder finds. Both are of few turns."""
        raise NotImplementedError

    def test_it_says_what_it_is_and_what_it_finds(self, finder: Finder) -> None:
        assert finder.name
        assert isinstance(finder.kinds, tuple)
        assert finder.kinds
        for kind in finder.kinds:
            assert re.fullmatch(r"[a-z][a-z0-9-]{0,39}", kind), "a kind is written into vCons in place of the secret"

    def test_what_it_finds_is_of_its_kinds_and_in_the_conversation(
        self, finder: Finder, conversations: tuple[Conversation, Conversation]
    ) -> None:
        for spoken in conversations:
            found = [*finder.find(spoken)]
            assert found, "each of the two has a secret"
            for secret in found:
                check(secret, finder, spoken)

    def test_where_nothing_was_said_nothing_is_found(self, finder: Finder) -> None:
        assert [*finder.find(Conversation())] == []
        assert [*finder.find(said((0, ""), (1, "")))] == []

    def test_words_without_times_are_looked_at_too(
        self, finder: Finder, conversations: tuple[Conversation, Conversation]
    ) -> None:
        for spoken in conversations:
            assert [*finder.find(without_times(spoken))]

    def test_it_keeps_nothing_of_a_conversation_and_may_be_asked_from_any_thread(
        self, finder: Finder, conversations: tuple[Conversation, Conversation]
    ) -> None:
        alone = [[*finder.find(spoken)] for spoken in conversations]
        one, other = (iter(finder.find(spoken)) for spoken in conversations)
        both = [next(one), next(other), *one, *other]
        assert sorted(map(repr, both)) == sorted(repr(secret) for found in alone for secret in found)
        with ThreadPoolExecutor(4) as threads:
            again = [*threads.map(lambda spoken: [*finder.find(spoken)], conversations * ROUNDS)]
        assert again == alone * ROUNDS

    def test_odd_words_are_no_reason_to_fail(self, finder: Finder) -> None:
        odd = said((0, "\x00 \ud800 ... 4" + "4" * 10_000 + " @ - ' \u0664\u0665"), (7, "?"), keys="*#A")
        for secret in finder.find(odd):
            check(secret, finder, odd)

    def test_the_work_grows_as_the_conversation_does(
        self, finder: Finder, conversations: tuple[Conversation, Conversation]
    ) -> None:
        short, long = (steps(finder, repeated(conversations[0], times)) for times in LENGTHS)
        assert long < 6 * short, "four times the words are four times the work"

    def test_nothing_of_what_was_said_is_printed(
        self,
        finder: Finder,
        conversations: tuple[Conversation, Conversation],
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(0):
            for spoken in conversations:
                assert [*finder.find(spoken)]
        printed = "".join(capfd.readouterr()) + caplog.text
        assert all(word.text not in printed for spoken in conversations for turn in spoken.turns for word in turn.words)


def check(secret: Secret, finder: Finder, spoken: Conversation) -> None:
    """What holds for every secret."""
    assert secret.kind in finder.kinds
    assert secret.words or secret.keys or secret.turns, "it says what goes"
    assert all(word == spoken.turns[word.turn].words[word.index] for word in secret.words)
    assert all(key in spoken.keys for key in secret.keys)
    assert all(0 <= number < len(spoken.turns) for number in secret.turns)
    assert 0 <= secret.certainty <= 1


def changed(spoken: Conversation, change: Callable[[Turn], Turn]) -> Conversation:
    """The same with every turn changed."""
    return Conversation(tuple(change(turn) for turn in spoken.turns), spoken.keys)


def without_times(spoken: Conversation) -> Conversation:
    """As of an engine that gives no times."""

    def bare(turn: Turn) -> Turn:
        words = tuple(msgspec.structs.replace(word, start=None, end=None) for word in turn.words)
        return msgspec.structs.replace(turn, words=words)

    return changed(spoken, bare)


def repeated(spoken: Conversation, rounds: int) -> Conversation:
    """The same over and over, one after the other."""
    turns: list[Turn] = []
    length = max(turn.end for turn in spoken.turns) + 1.0
    for round_ in range(rounds):
        for turn in spoken.turns:
            n, later = len(turns), round_ * length
            words = tuple(
                msgspec.structs.replace(word, turn=n, start=_later(word.start, later), end=_later(word.end, later))
                for word in turn.words
            )
            moved = {"number": n, "start": turn.start + later, "end": turn.end + later, "words": words}
            turns.append(msgspec.structs.replace(turn, **moved))
    return Conversation(tuple(turns))


def _later(at: float | None, seconds: float) -> float | None:
    return None if at is None else at + seconds


def steps(finder: Finder, spoken: Conversation) -> int:
    """How much it does, in lines of Python that are run: the same on every machine."""
    count = 0

    def traced(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        for _ in finder.find(spoken):
            pass
    finally:
        sys.settrace(before)
    return count
