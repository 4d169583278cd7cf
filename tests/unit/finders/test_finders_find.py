"""What vcond's own finders find, in texts as engines write them."""

import re
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from finders_kit import kinds, left

from vcond.base.errors import ConfigError, MissingExtraError
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import GROUP, Conversation, KeyPressed, Secret, SpokenWord
from vcond.redaction.finding import BUILT_IN, FinderError, finders, found
from vcond.testing.finders import said

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
    (turn,) = left(said((0, text.format(number))))
    assert not {*number.split()} & {*turn.split()}
    assert turn.endswith(text.split("{} ")[1])


def test_luhn_is_no_gate():
    assert "4532" not in left(said((0, "it is 4532 0151 1283 0367 okay")))[0]


def test_a_card_that_the_engine_mangled_goes_to_the_end_of_its_turn():
    assert left(said((0, "okay my card number is 42.68 times 7 for free one two penguin chicks"))) == [
        "okay my card number _ _ _ _ _ _ _ _ _ _"
    ]


def test_a_card_that_was_asked_for_goes_recognized_or_not():
    assert left(said((1, "can I take the long card number please"), (0, "near all do it free for"))) == [
        "can I take the long card number please",
        "_ _ _ _ _ _",
    ]
    assert left(said((1, "can I take the long card number please"), (0, "thank you madam")))[1] == "*"


def test_a_card_is_followed_over_turns_and_when_it_is_read_back():
    spoken = said(
        (0, "my card number is 4532 0151"),
        (1, "okay"),
        (0, "1283 0366 thanks for your help today"),
        (1, "so that is 4532 0151 1283 0366"),
    )
    assert left(spoken) == ["my card number _ _ _", "okay", "_ _ thanks for your help today", "_ _ _ _ _ _ _"]


def test_keys_of_a_card_go_and_one_that_chooses_from_a_menu_stays():
    spoken = said((1, "press one for sales"), keys="1", keyed_at=1.0)
    assert not kinds(spoken)
    assert kinds(said((1, "hello"), keys="4532015112830366#")) == {"card"}


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
    spoken = said((0, text))
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
    assert left(said((0, text))) == [text]


def test_what_is_asked_for_beside_a_card_goes_though_the_engine_lost_the_question():
    spoken = said(
        (0, "my card number is 4532 0151 1283 0366"),
        (1, "and the key lead lead"),
        (0, "well let me see 6 8 5"),
    )
    assert left(spoken)[1:3] == ["and the key lead lead", "well let _ _ _ _ _"]
    assert left(said((1, "and the key lead lead"), (0, "well let me see 6 8 5")))[1] == "well let me see 6 8 5"


def test_a_number_that_was_misheard_goes_when_it_is_read_back():
    spoken = said((0, "it is do one for 4842"), (1, "I have 2 2 1 8 7 9 7 9 7 2 4 4 2"))
    assert left(spoken) == ["_ _ _ _ _ _", "_ _ _ _ _ _ _ _ _ _ _ _ _ _ _"]


def test_a_turn_of_which_nothing_was_understood_goes_beside_a_number():
    spoken = said((0, "my card number is 4532 0151 1283 0366"), (1, ""), (0, "good bye"))
    assert left(spoken)[1:] == ["*", "good bye"]


def test_who_begins_to_read_back_is_not_heard_whatever_the_engine_made_of_it():
    talk = (1, "so I wanted to do them and I wanted to fix it")
    assert left(said((0, "my card number is 4532 0151 1283 0366"), talk))[1] == " ".join("_" * 12)
    assert left(said((0, "it is a fine day"), talk))[1] == talk[1]


def test_a_number_that_the_engine_took_for_prices_goes():
    assert left(said((0, "by my credit card and for free $1.02, $9.08, $2.01."))) == ["by my credit card _ _ _ _ _ _"]


def test_a_turn_that_is_longer_than_its_words_goes_when_they_announce_a_number():
    (turn,) = said((0, "the number on the card")).turns
    assert left(Conversation((turn,))) == ["the number on the card"]
    assert left(Conversation((msgspec.structs.replace(turn, end=turn.end + 5.0),))) == ["*"]


def test_what_is_before_digits_that_nobody_announced_goes_within_its_sentence():
    spoken = said((0, "Good morning. The iPad is GB88 the FCT 0044 00873 5971 555. Did you get it?"))
    assert left(spoken) == ["Good morning. _ _ _ _ _ _ _ _ _ _ Did you get it?"]


def test_a_number_ends_where_its_party_pauses_for_long():
    spoken = said((0, "my card number is 4532 0151"), (0, "two large ones please"), pause=10.0)
    assert left(spoken)[1] == "two large ones please"


@pytest.mark.parametrize(
    ("own", "text", "expected"),
    [
        ({"words": {"project": ["Blue Heron"]}}, "it is about blue heron, again", "it is about _ _ again"),
        (
            {"patterns": {"policy": r"k ?d \d{6}"}},
            "the policy. K D four double one, two three six",
            "the policy. _ _ _ _ _ _ _ _",
        ),
        ({"numbers": {"customer": ["customer number"]}}, "my customer number is 3 9 3", "my customer number _ _ _ _"),
        (
            {"numbers": {"pin": ["pin code"]}, "digits": {"pin": 4}},
            "the pin code is 3 9 3 1 and I am Ann of the shop",
            "the pin code _ _ _ _ _ and I am Ann of the shop",
        ),
    ],
)
def test_the_operators_own(own, text, expected):
    assert left(said((0, text)), settings={"own": own}) == [expected]


def test_a_pattern_that_takes_too_long_is_given_up_while_others_go_on(monkeypatch):
    monkeypatch.setattr("vcond.redaction.finders.own.PATIENCE", 1.0)
    config = RedactionConfig(finders=("own",), settings={"own": {"patterns": {"slow": r"(?:\w+\s?)+\d\d$"}}})
    spoken = said((0, "77 99 " + "alpha beta " * 400))
    with ThreadPoolExecutor(1) as thread:
        looking, last, longest = thread.submit(found, finders(config), spoken), time.monotonic(), 0.0
        while not looking.done():
            now = time.monotonic()
            last, longest = now, max(longest, now - last)
        with pytest.raises(FinderError, match=r"patterns\.slow takes longer .*simpler"):
            looking.result()
    assert longest < 0.7, "it does not hold what all threads need"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"settings": {"own": {"patterns": {"a": "("}}}}, "redaction.settings.own.patterns"),
        ({"settings": {"own": {"wrods": {}}}}, "redaction.settings.own"),
        ({"settings": {"own": {"words": {"a": ["..."]}}}}, "redaction.settings.own.words"),
        ({"settings": {"own": {"words": {"Not A Name": ["a"]}}}}, "redaction.settings.own"),
        ({"settings": {"cards": {"a": 1}}}, "redaction.settings.cards"),
        ({"settings": {"acme": {}}}, "redaction.settings.acme"),
        ({"finders": ("crads",)}, "there is no finder 'crads'"),
        ({"languages": ("xx",)}, "redaction.languages"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_named(config, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        finders(RedactionConfig(**config))


class Wrong:
    name, kinds = "wrong", ("card",)

    def __init__(self, says):
        self.says = says

    def find(self, conversation):
        yield self.says(conversation)


@pytest.mark.parametrize(
    "says",
    [
        lambda it: 1 / 0,
        lambda it: Secret("other"),
        lambda it: Secret("card", turns=(7,)),
        lambda it: Secret("card", words=(SpokenWord(0, 0, 0, 9, "4532"),)),
        lambda it: Secret("card", keys=(KeyPressed(0, 0, 0.0, "4"),)),
    ],
)
def test_a_finder_that_fails_or_says_what_is_not_there_lets_nothing_pass(says):
    with pytest.raises(FinderError) as why:
        found([Wrong(says)], said((0, "4532 0151")))
    assert "4532" not in str(why.value)
    assert why.value.__cause__ is None


def test_odd_words_are_read_and_nothing_takes_longer_than_its_words():
    words = [
        "",
        "٤" * 5_000,
        "\x00",
        "\N{RIGHT SINGLE QUOTATION MARK}",
        "@",
        "4" * 100_000,
        "\ud800",
        "double",
        "hundred",
        "and",
    ]
    assert kinds(said((0, "card number " + " ".join(words)), (1, ""), (0, "double double hundred"))) <= {
        "card", "telephone", "security-code",
    }  # fmt: skip


def test_a_finder_of_another_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    example = Path(__file__).parents[1] / "finder_example"
    told = tmp_path / "vcond_badges-0.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: vcond-badges\nVersion: 0.1.0\n")
    points = tomllib.loads((example / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    (told / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    for folder in (example, tmp_path):
        monkeypatch.syspath_prepend(folder)
    spoken = said((0, "my badge is Green, nine"))
    assert left(spoken, finders=("badges",), settings={"badges": {"colours": ["green"]}}) == ["my badge is _ _"]


def test_a_package_cannot_take_the_name_of_another_finder_unseen(tmp_path, monkeypatch):
    told = tmp_path / "vcond_less-0.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: vcond-less\nVersion: 0.1.0\n")
    (told / "entry_points.txt").write_text(f"[{GROUP}]\ncards = vcond_less:Finder\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"several packages provide finder 'cards': .*, vcond_less:Finder"):
        finders(RedactionConfig(finders=("cards",)))


def test_a_finder_whose_package_is_missing_is_said_so(monkeypatch):
    for target, error in (
        ("nowhere_at_all:Finder", ConfigError),
        ("vcond.redaction.contract:Nothing", ConfigError),
        ("finders_lacking:Finder", MissingExtraError),
    ):
        monkeypatch.setitem(BUILT_IN, "lacking", target)
        with pytest.raises(error):
            finders(RedactionConfig(finders=("lacking",)))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("class Finder:\n    def __init__(self, options): pass\n", "has no name, kinds, find"),
        ("class Finder:\n    def __init__(self): pass\n", "cannot be made (TypeError)"),
        (
            "class Finder:\n    name, kinds, find = 'x', ('No Name',), None\n    def __init__(self, options): pass\n",
            "no names",
        ),
    ],
)
def test_a_class_that_is_no_finder_is_refused_before_it_is_shown_anything(lines, says, tmp_path, monkeypatch):
    module = f"finder_of_{abs(hash(lines))}"
    (tmp_path / f"{module}.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BUILT_IN, "odd", f"{module}:Finder")
    with pytest.raises(ConfigError, match=re.escape(says)):
        finders(RedactionConfig(finders=("odd",)))
