from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vcond.speech.engines import wordtimes
from vcond.speech.engines.mel import RATE

PIECES = [" Hello", ",", " don", "'t", " go", " ", "5", "\ufffd", "\ufffd", "東", "京"]


def decode(tokens: Sequence[int]) -> str:
    """Token 7 and 8 are two halves of one character."""
    return "".join(PIECES[token] for token in tokens).replace("\ufffd\ufffd", "é")


def grouped(*tokens: int) -> list[str]:
    return [text for text, _, _ in wordtimes.group(tokens, decode)]


def test_tokens_become_the_words_of_the_text() -> None:
    assert grouped(0, 1, 2, 3, 4) == [" Hello,", " don't", " go"]
    assert wordtimes.group([0, 1, 2, 3, 4], decode) == [(" Hello,", 0, 2), (" don't", 2, 4), (" go", 4, 5)]


def test_a_character_of_several_tokens_is_not_torn() -> None:
    assert grouped(4, 7, 8, 0) == [" goé", " Hello"]


def test_languages_without_spaces_have_a_word_a_token() -> None:
    assert grouped(9, 10) == ["東", "京"]


def test_an_unfinished_character_at_the_end_is_kept() -> None:
    assert grouped(4, 7) == [" go\ufffd"]


def test_nothing_is_no_word() -> None:
    assert grouped() == []


def test_boundaries_are_where_the_first_token_of_a_word_begins() -> None:
    words = [(" a", 0, 2), (" b", 2, 3)]
    alignment = [(0, 0), (0, 5), (1, 10), (2, 20), (2, 25), (3, 40), (3, 41)]
    assert wordtimes.boundaries(alignment, words) == [0.0, 0.4, 0.8]


def test_an_alignment_that_ends_early_ends_the_words_there() -> None:
    assert wordtimes.boundaries([(0, 0), (1, 10)], [(" a", 0, 2), (" b", 2, 3)]) == [0.0, 0.2, 0.2]


def sound(*parts: tuple[float, float]) -> np.ndarray:
    """Noise of so many seconds and so loud, one after another."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, loud, round(seconds * RATE)) for seconds, loud in parts]).astype(np.float32)


def test_pauses_are_where_it_is_quiet() -> None:
    found = wordtimes.pauses(sound((0.2, 0), (1, 0.1), (0.1, 0), (1, 0.1), (0.03, 0), (1, 0.1), (0.02, 0)))
    assert found == [(0.0, 0.2), (1.2, 1.3), (3.33, 3.35)]


def test_pauses_are_told_from_speech_by_its_own_loudness() -> None:
    assert wordtimes.pauses(sound((0.5, 0.0005), (1, 0.002), (0.5, 0.0005)))[0][0] == 0.0
    assert wordtimes.pauses(sound((1, 0.1), (0.3, 0.01), (1, 0.1))) == []
    assert wordtimes.pauses(np.zeros(0, np.float32)) == []


def test_a_time_near_a_pause_moves_to_it_and_the_others_by_the_bias() -> None:
    spans = wordtimes.settle([0.0, 1.0, 2.0, 3.0], [(0.0, 0.2), (1.1, 1.5), (2.8, 3.0)], 3.0)
    assert [(round(a, 2), round(b, 2)) for a, b in spans] == [(0.2, 1.1), (1.5, 1.96), (1.96, 2.8)]


def test_a_pause_belongs_to_one_boundary_the_closest() -> None:
    spans = wordtimes.settle([0.0, 1.0, 1.1, 2.0], [(1.12, 1.3)], 2.0)
    assert [(round(a, 2), round(b, 2)) for a, b in spans] == [(0.0, 0.96), (0.96, 1.12), (1.3, 2.0)]


@given(
    st.lists(st.floats(0, 30), min_size=2, max_size=12),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 2)), max_size=8),
    st.floats(0.1, 30),
)
def test_words_are_always_in_order_and_inside(
    times: list[float], quiet: list[tuple[float, float]], length: float
) -> None:
    found = sorted((start, min(length, start + long)) for start, long in quiet if start < length)
    spans = wordtimes.settle(sorted(times), found, length)
    assert len(spans) == len(times) - 1
    flat = [moment for span in spans for moment in span]
    assert flat == sorted(flat)
    assert flat[0] >= 0
    assert flat[-1] <= length


def test_words_carry_their_surface_and_the_mean_of_their_tokens() -> None:
    words = [(" Hello,", 0, 2), (" ", 2, 3), (" go", 3, 4)]
    out = wordtimes.heard(words, [(0.0, 0.5), (0.5, 0.6), (0.6, 1.0)], [0.5, 1.0, 0.1, 0.25], 10.0)
    assert [(w.text, w.start, w.stop, w.confidence) for w in out] == [
        ("Hello,", 10.0, 10.5, 0.75),
        ("go", 10.6, 11.0, 0.25),
    ]
