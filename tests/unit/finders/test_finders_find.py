"""What vcond's own finders find, in texts as engines write them."""

import pytest
from finders_kit import conversation, kinds, left

CARD = "4532 0151 1283 0366"


@pytest.mark.parametrize(
    "text",
    [
        "my card number is {} thanks for your help today",
        "the long number across the front is {} and that is it really",
        "so it is {} and thanks for your help today",  # nothing announces it
    ],
)
@pytest.mark.parametrize(
    "number", [CARD, "forty five thirty two zero one five one one two eight three zero three six six"]
)
def test_a_card_goes_and_what_is_around_it_stays(text, number):
    (turn,) = left(conversation((0, text.format(number))))
    assert not {*number.split()} & {*turn.split()}
    assert turn.endswith(text.split("{} ")[1])


def test_luhn_is_no_gate():
    assert "4532" not in left(conversation((0, "it is 4532 0151 1283 0367 okay")))[0]


def test_a_card_that_the_engine_mangled_goes_to_the_end_of_its_turn():
    assert left(conversation((0, "okay my card number is 42.68 times 7 for free one two penguin chicks"))) == [
        "okay my card number _ _ _ _ _ _ _ _ _ _"
    ]


def test_a_card_that_was_asked_for_goes_recognized_or_not():
    assert left(conversation((1, "can I take the long card number please"), (0, "near all do it free for"))) == [
        "can I take the long card number please",
        "_ _ _ _ _ _",
    ]
    assert left(conversation((1, "can I take the long card number please"), (0, "thank you madam")))[1] == "*"


def test_a_card_is_followed_over_turns_and_when_it_is_read_back():
    spoken = conversation(
        (0, "my card number is 4532 0151"),
        (1, "okay"),
        (0, "1283 0366 thanks for your help today"),
        (1, "so that is 4532 0151 1283 0366"),
    )
    assert left(spoken) == ["my card number _ _ _", "okay", "_ _ thanks for your help today", "_ _ _ _ _ _ _"]


def test_keys_of_a_card_go_and_one_that_chooses_from_a_menu_stays():
    spoken = conversation((1, "press one for sales"), keys="1", keyed_at=1.0)
    assert not kinds(spoken)
    assert kinds(conversation((1, "hello"), keys="4532015112830366#")) == {"card"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the security code is seven three seven", "security-code"),
        ("it expires on oh nine twenty seven", "card-expiry"),
        ("you can call me at 212 555 0143 in the evening please", "telephone"),
        ("my phone number is oh seven seven double oh nine hundred one two three", "telephone"),
        ("the IBAN is GB29 NWBK 6016 1331 9268 19", "iban"),
        ("my social security number is 078 05 1120", "national-number"),
        ("my email is john dot smith at example dot com", "email"),
        ("write to john@example.com", "email"),
        ("my date of birth is the third of march nineteen seventy two", "birth-date"),
        ("I was born on 3/3/1972", "birth-date"),
    ],
)
def test_other_kinds(text, kind):
    spoken = conversation((0, text))
    assert kind in kinds(spoken)
    assert not any(word.strip(".").isdigit() for word in left(spoken)[0].split())


@pytest.mark.parametrize(
    "text",
    [
        "I would like two large pizzas for seven thirty",
        "I paid by card last week and it still has not arrived",
        "there are three hundred and sixty five days in a year",
        "our site is example dot com if you want more",
        "could you call me back tomorrow morning",
        "it costs $1,250.00 or 20% more",
        "we moved here in two thousand and nine",
    ],
)
def test_what_is_no_secret_stays(text):
    assert left(conversation((0, text))) == [text]
