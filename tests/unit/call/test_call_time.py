import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import SECOND, Instant, nanos, parse_rfc3339, rfc3339, samples, seconds

moments = st.integers(0, 4_000_000_000 * SECOND)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.250Z", 250_000_000),
        ("2026-11-22T09:00:00+01:00", 1795334400 * SECOND),
        ("2026-11-22T09:27:42.555+0000", 1795339662_555_000_000),  # as Asterisk writes it
        ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),  # the last leap second
        ("2016-12-31T18:59:60.25-05:00", 1_483_228_800_250_000_000),
    ],
)
def test_dates_are_read(text: str, at: int):
    assert parse_rfc3339(text) == at


@pytest.mark.parametrize("text", ["", "now", "2026-11-22T09:00:00", "2026-13-01T00:00:00Z", "2016-12-31T23:59:61Z"])
def test_what_is_no_date_or_has_no_offset_is_refused(text: str):
    with pytest.raises(ValueError):
        parse_rfc3339(text)


def test_a_zero_fraction_is_left_out():
    assert rfc3339(Instant(1795339662 * SECOND)) == "2026-11-22T09:27:42Z"
    assert rfc3339(Instant(1795339662_250_000_000)) == "2026-11-22T09:27:42.25Z"
    assert rfc3339(Instant(1795339662_000_400_000)) == "2026-11-22T09:27:42Z"


@given(moments)
def test_dates_survive_a_round_trip_to_the_millisecond(at: int):
    assert abs(parse_rfc3339(rfc3339(Instant(at))) - at) <= 500_000


@given(st.integers(-(10**15), 10**15), st.sampled_from([8000, 16000, 44100, 48000]))
def test_samples_and_nanoseconds_agree(ns: int, rate: int):
    assert abs(nanos(samples(ns, rate), rate) - ns) <= SECOND // rate // 2 + 1


def test_seconds_for_people():
    assert seconds(1_500_000_000) == 1.5
