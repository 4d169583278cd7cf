from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.demo.accuracy import aligned, score, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good morning, this is Marcus!", ["good", "morning", "this", "is", "marcus"]),
        ("Please press 1.", ["please", "press", "one"]),
        ("40 bags, 17 boxes, 21 cups", ["forty", "bags", "seventeen", "boxes", "twenty", "one", "cups"]),
        ("room 2024", ["room", "2024"]),
        ("I'm; it\u2019s - don't_", ["i'm", "it\u2019s", "don't"]),
        ("", []),
        ("... ?!", []),
        ("\u00b2", ["\u00b2"]),  # a digit to Python, no number
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_perfect_transcript() -> None:
    assert score("Please press one.", "please press 1") == score("a b c", "a b c")
    assert score("a b c", "a b c").share == 1


def test_wrong_missing_and_extra_words() -> None:
    one = score("let me ask the driver", "let me ask a diver now")
    assert (one.spoken, one.right, one.extra) == (5, 3, 3)
    assert one.share == pytest.approx(0.6)


def test_words_in_the_wrong_order_do_not_count_twice() -> None:
    assert score("one two", "two one").right == 1


def test_nothing_spoken_is_nothing_wrong() -> None:
    assert score("", "").share == 1
    assert score("", "hello").extra == 1


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_alignment_is_in_order_equal_and_symmetric_in_size(spoken: list[str], heard: list[str]) -> None:
    pairs = aligned(spoken, heard)
    assert all(spoken[i] == heard[j] for i, j in pairs)
    assert pairs == sorted(set(pairs))
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert len(pairs) == len(aligned(heard, spoken))


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.data())
def test_leaving_words_out_costs_just_those(spoken: list[str], data: st.DataObject) -> None:
    kept = [word for word in spoken if data.draw(st.booleans())]
    assert len(aligned(spoken, kept)) == len(kept)
