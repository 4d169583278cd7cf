"""The words of the room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import PeerError, RefusedError, UnreachableError
from vcond.sdk.sink import MAX_ANSWER, Refused, Retry, bounded


@given(st.binary(max_size=3 * MAX_ANSWER))
def test_answers_are_bounded_and_printable(answer):
    text = bounded(answer)
    assert len(text) <= MAX_ANSWER
    assert all(char.isprintable() or char == "\n" for char in text)


@given(st.none() | st.floats(-1e9, 1e9))
def test_an_hour_is_the_longest_that_a_receiver_can_make_us_wait(after):
    kept = Retry("x", after=after).after
    assert kept is None if after is None else 0 <= kept <= 3600


def test_they_are_the_peers_fault():
    assert isinstance(Retry("x"), UnreachableError | PeerError)
    assert isinstance(Refused("x"), RefusedError | PeerError)
    assert "secret" not in str(Refused("refused:422", answer="secret"))
