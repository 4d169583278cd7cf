"""Ours pass the suite of finders."""

import pytest

from vcond.redaction.config import FINDERS, RedactionConfig
from vcond.redaction.finding import finders
from vcond.testing.finders import FinderConformance, said

OWN = {"words": {"project": ["blue heron"]}, "numbers": {"customer": ["customer number"]}}
TALKS = {
    "cards": (said((0, "my card number is 4532 0151 1283 0366")), said((1, "and the security code"), (0, "7 3 7"))),
    "telephones": (said((0, "call me at 212 555 0143")), said((1, "what is your phone number"), (0, "oh 7 7 0 0 9"))),
    "accounts": (said((0, "the IBAN is GB29 NWBK 6016")), said((0, "my social security number is 078 05 1120"))),
    "birth-dates": (said((0, "I was born on 3/3/1972")), said((1, "your date of birth please"), (0, "May 3 1972"))),
    "emails": (said((0, "john at example dot com")), said((1, "what is your email address"), (0, "john@example.com"))),
    "own": (said((0, "it is about Blue Heron")), said((0, "my customer number is 3 9 3"))),
}


@pytest.mark.parametrize("name", FINDERS)
class TestConformance(FinderConformance):
    @pytest.fixture
    def finder(self, name):
        [made] = finders(RedactionConfig(finders=(name,), settings={"own": OWN} if name == "own" else {}))
        assert made.name == name
        return made

    @pytest.fixture
    def conversations(self, name):
        return TALKS[name]
