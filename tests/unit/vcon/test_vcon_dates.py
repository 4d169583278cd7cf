from __future__ import annotations

import pytest

from vcond.base.time import SECOND, Instant
from vcond.vcon.dates import date


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (1_795_424_400 * SECOND, "2026-11-23T09:00:00Z"),
        (1_795_424_400 * SECOND + 250_000_000, "2026-11-23T09:00:00.25Z"),
        (-1, "1970-01-01T00:00:00Z"),
        (2**63, "2262-04-11T23:47:16.855Z"),
        (2**80, "9999-12-31T23:59:59Z"),
    ],
)
def test_any_instant_has_a_date(at, text):
    assert date(Instant(at)) == text
