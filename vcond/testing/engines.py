"""The suite that every speech engine passes, ours and third parties'.

    class TestConformance(EngineConformance):
        @pytest.fixture
        def engine(self, loaded):                        # a fixture of the module, where loading takes long
            return loaded

        @pytest.fixture
        def utterances(self):
            return one, other

The engine is asked as a worker asks it, in one process. An engine that needs what the test machine has not gives it by
its fixture, or asks for it with ``vcond.testing.needs``.
"""

# ruff: noqa: D102 - the name of a test says what it shows

from __future__ import annotations

import re

import pytest

from vcond.media.codecs import Pcm
from vcond.speech.engine import Engine, Final, Hint
from vcond.testing.sounds import voice

RATE = 16_000
"""Of the utterances, samples a second."""
LATEST = 0.5
"""Seconds after the end of what was fed at which a word may end: engines pad."""


def heard(engine: Engine, pcm: Pcm, *, hint: Hint | None = None, asked: bool = False, piece: float = 0.1) -> Final:
    """What an engine makes of an utterance that is fed ``piece`` seconds at a time, ``asked`` in between or not."""
    hint = hint or Hint(RATE)
    one = engine.open(hint)
    step = round(piece * hint.rate)
    for at in range(0, len(pcm), step):
        one.feed(pcm[at : at + step])
        if asked:
            assert isinstance(one.partial().text, str)
    return one.finish()


class EngineConformance:
    """See the module."""

    @pytest.fixture
    def engine(self) -> Engine:
        """The engine, loaded."""
        raise NotImplementedError

    @pytest.fixture
    def utterances(self) -> tuple[Pcm, Pcm]:
        """Two that differ, at 16 kHz, a second or more each. An engine for speech is given speech."""
        return voice(1, 1.0, RATE), voice(2, 1.5, RATE)

    def test_it_says_what_it_is_for_the_record_and_names_no_path(self, engine: Engine) -> None:
        for name in (engine.name, engine.model):
            assert name.strip() == name != ""
            assert "/" not in name
        assert all(re.fullmatch(r"[a-z]{2,3}", one) for one in engine.caps.languages)

    def test_words_lie_in_order_in_the_audio_and_are_those_of_the_text(
        self, engine: Engine, utterances: tuple[Pcm, Pcm]
    ) -> None:
        for pcm in utterances:
            said = heard(engine, pcm)
            assert 0 <= said.confidence <= 1
            before = 0.0
            for word in said.words:
                assert before <= word.start <= word.stop <= len(pcm) / RATE + LATEST
                assert 0 <= word.confidence <= 1
                before = word.start
            if said.words:
                assert "".join("".join(word.text for word in said.words).split()) == "".join(said.text.split())

    def test_nothing_fed_is_nothing_said(self, engine: Engine) -> None:
        said = engine.open(Hint(RATE)).finish()
        assert (said.text, said.words) == ("", ())

    def test_asking_in_between_changes_nothing(self, engine: Engine, utterances: tuple[Pcm, Pcm]) -> None:
        pcm = utterances[0]
        assert heard(engine, pcm, asked=True, piece=0.25).text == heard(engine, pcm, piece=0.25).text

    def test_an_utterance_leaves_nothing_for_the_next(self, engine: Engine, utterances: tuple[Pcm, Pcm]) -> None:
        one, other = utterances
        fresh = heard(engine, other).text
        left = engine.open(Hint(RATE))
        left.feed(one)
        left.reset()
        assert heard(engine, other).text == fresh
        heard(engine, one)
        assert heard(engine, other).text == fresh

    def test_two_at_once_are_not_mixed(self, engine: Engine, utterances: tuple[Pcm, Pcm]) -> None:
        apart = [heard(engine, pcm).text for pcm in utterances]
        open_ = [engine.open(Hint(RATE)) for _ in utterances]
        step = RATE // 10
        for at in range(0, max(map(len, utterances)), step):
            for one, pcm in zip(open_, utterances, strict=True):
                if len(pcm[at : at + step]):
                    one.feed(pcm[at : at + step])
        assert [one.finish().text for one in open_] == apart

    @pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
    def test_every_rate_is_taken(self, engine: Engine, rate: int) -> None:
        pcm = voice(3, 1.0, rate)
        said = heard(engine, pcm, hint=Hint(rate))
        assert all(word.stop <= len(pcm) / rate + LATEST for word in said.words), "its times are those of another rate"

    def test_a_vocabulary_is_kept_to_or_the_text_says_that_it_was_not(
        self, engine: Engine, utterances: tuple[Pcm, Pcm]
    ) -> None:
        said = heard(engine, utterances[0], hint=Hint(RATE, vocabulary=("yes", "no")))
        assert said.note or not set(said.text.lower().split()) - {"yes", "no"}, (
            "the text has other words than hint.vocabulary: an engine that cannot keep to it says so in Final.note"
        )
        assert "yes" not in said.note, "a note holds no word of the vocabulary"

    def test_nothing_of_what_was_said_is_printed(
        self, engine: Engine, utterances: tuple[Pcm, Pcm], capfd: pytest.CaptureFixture[str]
    ) -> None:
        said = heard(engine, utterances[0], asked=True)
        printed = "".join(capfd.readouterr())
        assert all(word not in printed for word in set(said.text.split()) if len(word) > 2)
