"""When each word was said: tokens to words, the model's alignment to times, times moved to where it is quiet.

Whisper's alignment (cross-attention and dynamic time warping) gives one time between two words and none for a pause, and
it is late: by 0.045 s at the median on human words put together with known times. So a time near a pause is moved to the
pause, whose ends are then the end of one word and the start of the next; the others are moved by the bias. Measured on
those words: median error of a start 0.08 to 0.2 s before, 0.005 to 0.05 s after (docs/decisions/0003).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vcond.speech.engine import Heard
from vcond.speech.engines.mel import RATE, Floats

TOKEN_SECONDS = 0.02
"""One position of the encoder's output."""
BIAS = 0.04
"""Seconds that the alignment is late."""
LEAST = 0.01
"""Seconds that a word lasts at least."""
REACH = 0.2
"""Seconds a time may be away from the pause it belongs to."""
PAUSE = 0.05
"""Seconds of quiet that are a pause; shorter ones are inside words (the closure before a t)."""
QUIET = 0.03
"""Of the loudness of speech: below is quiet."""
FLOOR = 20 / 32768
"""Root mean square that is quiet in any case."""

SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese put no spaces between words: each token is one."""

Pause = tuple[float, float]


def group(tokens: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[tuple[str, int, int]]:
    """Words as (text, first token, token after the last). Texts carry the space before them, if the language has any.

    A character may be spread over several tokens; until it is complete the decoder answers with U+FFFD.
    """
    words: list[tuple[str, int, int]] = []
    first = 0
    for at in range(1, len(tokens) + 1):
        text = decode(tokens[first:at])
        if "\ufffd" in text and at < len(tokens):
            continue
        if words and not text.startswith(" ") and not SPACELESS.match(text):
            before, begin, _ = words[-1]
            words[-1] = (before + text, begin, at)
        else:
            words.append((text, first, at))
        first = at
    return words


def boundaries(alignment: Sequence[tuple[int, int]], words: Sequence[tuple[str, int, int]]) -> list[float]:
    """Seconds at which each word begins, and at which the last one ends: len(words) + 1 of them.

    ``alignment`` is pairs of a token's index and a position of the encoder; the token after the last is the end.
    """
    begins: dict[int, int] = {}
    for token, position in alignment:
        begins.setdefault(token, position)
    latest = max(begins.values(), default=0)
    times = [begins.get(first, latest) for _, first, _ in words]
    return [time * TOKEN_SECONDS for time in (*times, begins.get(words[-1][2], latest))]


def pauses(sound: Floats) -> list[Pause]:
    """Where it is quiet for at least ``PAUSE``, and at both ends however short: seconds (start, stop), in order."""
    step = RATE // 100
    blocks = sound[: len(sound) // step * step].reshape(-1, step)
    if not len(blocks):
        return []
    loudness = np.sqrt((blocks**2).mean(axis=1))
    quiet = loudness < max(FLOOR, QUIET * float(np.percentile(loudness, 95)))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False]))))
    runs: NDArray[np.intp] = edges.reshape(-1, 2)
    kept = [(a, b) for a, b in runs.tolist() if (b - a) / 100 >= PAUSE or a == 0 or b == len(blocks)]
    return [(a / 100, b / 100) for a, b in kept]


def settle(times: Sequence[float], quiet: Sequence[Pause], length: float) -> list[tuple[float, float]]:
    """Start and stop of each word, from the times between them and from where it is quiet. In order, within the length."""
    inner = [pause for pause in quiet if pause[0] > 0 and pause[1] < length - 0.02]
    taken = _nearest(times[1:-1], inner)
    lead = quiet[0][1] if quiet and quiet[0][0] == 0 else 0.0
    tail = quiet[-1][0] if quiet and quiet[-1][1] >= length - 0.02 and quiet[-1][0] > lead else length
    starts, stops = [lead], []
    for index, time in enumerate(times[1:-1]):
        stop, start = taken.get(index, (time - BIAS, time - BIAS))
        stops.append(stop)
        starts.append(start)
    stops.append(tail)
    ordered, last = [], 0.0
    for start, stop in zip(starts, stops, strict=True):
        since = min(max(start, last), length)
        last = min(max(stop, since + LEAST), length)
        ordered.append((since, last))
    return ordered


def heard(
    words: Sequence[tuple[str, int, int]],
    spans: Sequence[tuple[float, float]],
    chances: Sequence[float],
    offset: float,
    worth: Callable[[float], float] = float,
) -> list[Heard]:
    """The words with times (plus ``offset``) and what the mean probability of their tokens is worth."""
    out = []
    for (text, first, after), (start, stop) in zip(words, spans, strict=True):
        sure = worth(float(np.mean(chances[first:after]))) if first < len(chances) else 0.0
        out.append(Heard(offset + start, offset + stop, text.strip(), sure))
    return [word for word in out if word.text]


def _nearest(times: Sequence[float], inner: Sequence[Pause]) -> dict[int, Pause]:
    """Each time's pause and each pause's time, closest first; a time in a pause is at distance 0, longer pauses first."""
    pairs = sorted(
        (distance, start - stop, index, (start, stop))
        for index, time in enumerate(times)
        for start, stop in inner
        if (distance := max(start - time, time - stop, 0.0)) <= REACH
    )
    out: dict[int, Pause] = {}
    used: set[Pause] = set()
    for _, _, index, pause in pairs:
        if index not in out and pause not in used:
            out[index] = pause
            used.add(pause)
    return out
