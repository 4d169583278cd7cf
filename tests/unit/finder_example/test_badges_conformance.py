"""The example passes the suite, and finders that break a rule of it do not."""

import pytest
from vcond_badges import BadgeFinder

from vcond.base.errors import ConfigError
from vcond.redaction.contract import FinderOptions, Secret, SpokenWord
from vcond.testing.finders import FinderConformance, said

TALKS = said((0, "my badge is blue seventeen")), said((1, "which badge is it"), (0, "red four"))


class TestBadgesConformance(FinderConformance):
    @pytest.fixture
    def finder(self):
        return BadgeFinder(FinderOptions())

    @pytest.fixture
    def conversations(self):
        return TALKS


def test_its_settings_are_typed():
    with pytest.raises(ConfigError, match=r"redaction\.settings\.badges"):
        BadgeFinder(FinderOptions(settings={"colors": []}))


class Broken(BadgeFinder):
    """One way to be wrong."""

    def __init__(self, how):
        super().__init__(FinderOptions())
        self.how, self.seen, self.now = how, [], None
        if how == "kind":
            self.kinds = ("Badge No. 4",)

    def find(self, conversation):
        match self.how:
            case "elsewhere":
                yield Secret("badge", (SpokenWord(0, 0, 0, 3, "green"),))
            case "other-kind":
                yield Secret("name", conversation.turns[0].words)
            case "nothing":
                yield Secret("badge")
            case "always":
                yield Secret("badge", turns=(0,))
            case "times":
                yield from (one for one in super().find(conversation) if one.words[0].start > 0)
            case "keeps":
                self.seen += super().find(conversation)
                yield from self.seen
            case "shares":
                self.now = conversation
                for n, secret in enumerate(super().find(conversation)):
                    yield secret if n else Secret("badge", self.now.turns[-1].words[-1:])
                yield from super().find(self.now)
            case "odd":
                for turn in conversation.turns:
                    assert all(word.text.encode() for word in turn.words)
                yield from super().find(conversation)
            case "square":
                for turn in conversation.turns:
                    for other in conversation.turns:
                        if other is turn:
                            continue
                yield from super().find(conversation)
            case "prints":
                for secret in super().find(conversation):
                    print(secret)
                    yield secret
            case _:
                yield from super().find(conversation)


@pytest.mark.parametrize(
    ("how", "test", "error"),
    [
        ("kind", "it_says_what_it_is_and_what_it_finds", AssertionError),
        ("elsewhere", "what_it_finds_is_of_its_kinds_and_in_the_conversation", AssertionError),
        ("other-kind", "what_it_finds_is_of_its_kinds_and_in_the_conversation", AssertionError),
        ("nothing", "what_it_finds_is_of_its_kinds_and_in_the_conversation", AssertionError),
        ("always", "where_nothing_was_said_nothing_is_found", AssertionError),
        ("times", "words_without_times_are_looked_at_too", TypeError),
        ("keeps", "it_keeps_nothing_of_a_conversation_and_may_be_asked_from_any_thread", AssertionError),
        ("shares", "it_keeps_nothing_of_a_conversation_and_may_be_asked_from_any_thread", AssertionError),
        ("odd", "odd_words_are_no_reason_to_fail", UnicodeEncodeError),
        ("square", "the_work_grows_as_the_conversation_does", AssertionError),
    ],
)
def test_a_finder_that_breaks_a_rule_fails(how, test, error):
    check = getattr(FinderConformance(), f"test_{test}")
    alone = ("it_says", "where_nothing", "odd_words")
    with pytest.raises(error):
        check(*((Broken(how),) if test.startswith(alone) else (Broken(how), TALKS)))


def test_one_that_prints_fails(capfd, caplog):
    with pytest.raises(AssertionError):
        FinderConformance().test_nothing_of_what_was_said_is_printed(Broken("prints"), TALKS, capfd, caplog)
