"""The example passes the suite, and engines that break a rule of it do not."""

from __future__ import annotations

import os

import msgspec
import numpy as np
import pytest
from vcond_loudness import Listening, LoudnessEngine

from vcond.speech.engine import EngineOptions, Partial
from vcond.testing.engines import EngineConformance
from vcond.testing.sounds import voice

SOUNDS = voice(1, 1.0, 16_000), np.concatenate([np.zeros(16_000, np.int16), voice(2, 0.5, 16_000)])


class TestLoudnessConformance(EngineConformance):
    @pytest.fixture
    def engine(self):
        return LoudnessEngine(EngineOptions())

    @pytest.fixture
    def utterances(self):
        return SOUNDS


class Broken(LoudnessEngine):
    """One way to be wrong."""

    def __init__(self, how: str) -> None:
        super().__init__(EngineOptions())
        self.how, self.left = how, np.zeros(0, np.int16)
        if how == "path":
            self.model = "/srv/model"

    def open(self, hint):
        return Wrong(self, hint if self.how != "rate" else msgspec.structs.replace(hint, rate=8000))


class Wrong(Listening):
    def __init__(self, engine: Broken, hint) -> None:
        super().__init__(hint)
        self.engine = engine
        if engine.how in {"leftover", "mixed"}:
            self.pcm = engine.left

    def feed(self, pcm):
        super().feed(pcm)
        if self.engine.how == "mixed":
            self.pcm = self.engine.left = np.concatenate([self.engine.left, pcm])

    def partial(self):
        if self.engine.how == "partial":
            self.pcm = self.pcm[:0]
            return Partial("")
        return super().partial()

    def reset(self):
        self.engine.left = self.pcm

    def finish(self):
        said = super().finish()
        if self.engine.how == "mixed":
            self.engine.left = self.pcm[:0]
        match self.engine.how:
            case "made-up":
                return msgspec.structs.replace(said, text=said.text or "thank you")
            case "words":
                return msgspec.structs.replace(said, text="other words")
            case "late":
                late = tuple(msgspec.structs.replace(word, stop=word.stop + 9) for word in said.words)
                return msgspec.structs.replace(said, words=late)
            case "silent-vocabulary":
                return msgspec.structs.replace(said, note="")
            case "prints":
                os.write(2, said.text.encode())
        return said


@pytest.mark.parametrize(
    ("how", "test"),
    [
        ("path", "it_says_what_it_is_for_the_record_and_names_no_path"),
        ("words", "words_lie_in_order_in_the_audio_and_are_those_of_the_text"),
        ("late", "words_lie_in_order_in_the_audio_and_are_those_of_the_text"),
        ("made-up", "nothing_fed_is_nothing_said"),
        ("partial", "asking_in_between_changes_nothing"),
        ("leftover", "an_utterance_leaves_nothing_for_the_next"),
        ("mixed", "two_at_once_are_not_mixed"),
        ("silent-vocabulary", "a_vocabulary_is_kept_to_or_the_text_says_that_it_was_not"),
    ],
)
def test_an_engine_that_breaks_a_rule_fails(how, test):
    check = getattr(EngineConformance(), f"test_{test}")
    given = (Broken(how),) if test.startswith(("it_says", "nothing_fed")) else (Broken(how), SOUNDS)
    with pytest.raises(AssertionError):
        check(*given)


def test_one_with_the_times_of_another_rate_and_one_that_prints_fail(capfd):
    with pytest.raises(AssertionError, match="another rate"):
        EngineConformance().test_every_rate_is_taken(Broken("rate"), 48_000)
    with pytest.raises(AssertionError):
        EngineConformance().test_nothing_of_what_was_said_is_printed(Broken("prints"), SOUNDS, capfd)
