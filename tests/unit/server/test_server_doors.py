"""Dates of operators are such as can be shown again."""

import pytest

from vcond.base.time import rfc3339
from vcond.server.doors import moment


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "2026-11-29T10:00:00", "soon"]
)
def test_what_is_no_date_in_utc_is_refused_with_how_to_say_it(text: str):
    with pytest.raises(ValueError, match="until must be a date with an offset, as in"):
        moment("until", text)


def test_the_last_second_of_all_is_a_date():
    assert rfc3339(moment("until", "9999-12-31T23:59:59Z")) == "9999-12-31T23:59:59Z"
