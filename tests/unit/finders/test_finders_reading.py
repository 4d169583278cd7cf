"""The digits in spoken numbers, each with its word."""

import pytest

from vcond.redaction.contract import Conversation, SpokenWord, Turn
from vcond.redaction.languages import LANGUAGES
from vcond.redaction.reading import Sort, read

ENGLISH = LANGUAGES["en"]


def parts(text: str):
    words = tuple(SpokenWord(0, 0, 0, n, word) for n, word in enumerate(text.split()))
    return read(Conversation((Turn(0, 0, 0, 0.0, 1.0, words),)), LANGUAGES, ENGLISH)[0].parts


def digits(text: str) -> str:
    return "".join(part.digits for part in parts(text) if part.sort <= Sort.SOUND)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("forty five thirty two zero one five one one two eight three zero three six six", "4532015112830366"),
        ("Forty-five, thirty-two, oh one", "453201"),
        ("four one double one one one one one", "41111111"),
        ("nineteen eighty four", "1984"),
        ("twenty twenty six", "2026"),
        ("oh seven seven double oh nine hundred one two three", "07700900123"),
        ("four one um one one uh two three", "411123"),
        ("triple five oh one two", "555012"),
        ("nought six naught", "060"),
        ("the code is seven three seven", "737"),
        ("one hundred and twenty three", "123"),
        ("one hundred and five", "105"),
        ("two hundred forty two", "242"),
        ("two thousand and nine", "2009"),
        ("plus four four twenty seven nine four six oh nine five eight", "44279460958"),
        ("42.6815983.0167", "4268159830167"),
        ("0.03.0.07", "003007"),
        ("1-0-4", "104"),
        ("4 times 7", "47"),
        ("double-4", "44"),
        ("٤٥", "45"),
    ],
)
def test_numbers_are_read_as_people_say_them(said, number):
    assert digits(said) == number


def test_each_digit_keeps_its_word():
    read_ = parts("my number is double oh forty five")
    assert [(part.word.index, part.digits) for part in read_ if part.digits] == [(4, "00"), (5, "4"), (6, "5")]


@pytest.mark.parametrize("said", ["for", "to", "free", "oh"])
def test_what_only_sounds_like_a_digit_is_not_certain(said):
    assert [part.sort for part in parts(f"I went {said} you")][2] is Sort.SOUND


@pytest.mark.parametrize("said", ["$1,250.00", "9:30", "50%", "1,250", "£20"])
def test_amounts_and_times_are_no_part_of_a_number(said):
    assert {part.sort for part in parts(said) if part.digits} == {Sort.AMOUNT}
