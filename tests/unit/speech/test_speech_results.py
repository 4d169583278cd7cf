from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from vcond.base.time import MILLI
from vcond.speech.engine import Final, Heard
from vcond.speech.results import transcribed, words
from vcond.speech.scheduler import Job
from vcond.speech.workers.messages import Done, Ready


def test_times_of_the_utterance_become_positions_of_the_track(track) -> None:
    line = track()
    job = Job(line, 8000, 16000, number=3)
    done = Done(0, Final("two words", (Heard(0.1, 0.4, "two", 0.5), Heard(0.5, 0.9, "words", 1.0)), "en", 0.75), 120, 0)
    event = transcribed(job, done, Ready("vosk", "small", streaming=True), line.at(16000) + 250 * MILLI)
    assert [(w.start, w.stop, w.text, w.confidence) for w in event.words] == [
        (8800, 11200, "two", 0.5),
        (12000, 15200, "words", 1),
    ]
    assert (event.utterance, event.engine, event.model, event.language) == (3, "vosk", "small", "en")
    assert (event.took_ms, event.lag_ms, event.confidence) == (120, 250, 0.75)


def test_a_clock_behind_the_audio_gives_no_negative_lag(track) -> None:
    line = track()
    event = transcribed(
        Job(line, 0, 800, number=0), Done(0, Final(""), 0, 0), Ready("e", "m", streaming=False), line.at(0)
    )
    assert (event.lag_ms, event.text, event.words) == (0, "", [])


number = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(number, number, number), max_size=8))
def test_whatever_an_engine_says_words_lie_in_the_utterance_in_order(said: list[tuple[float, float, float]]) -> None:
    final = Final("", tuple(Heard(start, stop, "w", sure) for start, stop, sure in said))
    out = words(final, 100, 900, 8000)
    assert all(100 <= word.start <= word.stop <= 900 for word in out)
    assert [word.start for word in out] == sorted(word.start for word in out)
    assert all(0 <= word.confidence <= 1 and not math.isnan(word.confidence) for word in out)
