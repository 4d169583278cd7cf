"""What the finders find in what the packaged engine wrote of synthetic calls: figures that only rise.

``tests/data/redaction/heard.jsonl`` is of a run of ``tests/bench/bench_redaction.py``, which says how they are made.
"""

import json
from pathlib import Path

import pytest
from redaction_figures import GROUPS, OWN, table

from vcond.redaction.config import RedactionConfig
from vcond.redaction.finding import finders

HEARD = Path(__file__).parents[2] / "data" / "redaction" / "heard.jsonl"
FLOORS = {
    "card": (22, 21, 21),
    "card-split": (22, 21, 21),
    "card-asked": (22, 22, 22),
    "card-read-back": (22, 21, 21),
    "security-code": (22, 21, 19),
    "security-code-asked": (22, 20, 20),
    "card-expiry": (22, 17, 15),
    "telephone": (22, 21, 21),
    "telephone-asked": (22, 22, 22),
    "iban": (22, 15, 15),
    "national-number": (22, 19, 19),
    "email": (22, 13, 6),
    "birth-date": (22, 17, 17),
    "customer-number": (22, 20, 20),
}
"""By kind: how many are said, how many of them are gone at least, and how many of those of which something was recognized."""
ALARMS = 1


@pytest.fixture(scope="module")
def counted():
    records = [json.loads(line) for line in HEARD.read_text("utf-8").splitlines()]
    return table(records, finders(RedactionConfig(settings=OWN)))


@pytest.mark.parametrize("kind", FLOORS)
def test_as_many_are_gone_as_ever_were(counted, kind):
    row = counted[0][kind]
    said, gone, recognized = FLOORS[kind]
    assert row.said == said
    assert row.gone >= gone
    assert row.recognized_gone >= recognized


@pytest.mark.parametrize("group", GROUPS)
def test_of_all_85_in_100_are_gone_and_97_in_100_of_the_recognized(counted, group):
    row = counted[0][group]
    assert row.gone >= 0.85 * row.said
    assert row.recognized_gone >= 0.97 * row.recognized


def test_of_100_sentences_without_a_secret_at_most_one_loses_a_word(counted):
    _, clean, alarms = counted
    assert clean == 140
    assert alarms <= ALARMS
