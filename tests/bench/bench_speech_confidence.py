"""What Whisper's confidence is worth: of the words that it is 90 % sure of, are 90 in 100 right?

    python tests/bench/bench_speech_confidence.py [--clips 1000]

Recorded people (Debian's telephone prompts, G.711, 8 kHz) with hiss, with noise and in loud noise. The engine maps what
the model says (the mean probability of a word's tokens) to the share of words that were right (``engines/sure.py``).
That map was fitted on every other prompt; here it is judged on those that it was not fitted on. Compared is the
expected calibration error: the distance between confidence and share of right words, over ten bins, weighted by words.

bench-out/speech-confidence.png shows both, before and after. ``--fit`` prints what the map would be.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from picture import Curve, Picture
from speech_calls import prompts
from wer import normal

from vcond.demo.accuracy import aligned
from vcond.media.codecs import Codec, decode, encode
from vcond.speech.engine import EngineOptions, Final, Hint
from vcond.speech.engines import confidence, whisper

TOP = Path(__file__).resolve().parents[2]
NOISES = (12.0, 300.0, 900.0)
"""Root mean square; the voice has some 2,000."""
BINS = 10
MOST = 0.05
"""Expected calibration error that is still a confidence one can act on."""


class Judged(NamedTuple):
    """Words or utterances: what the model said, and how much of it was right."""

    raw: np.ndarray
    right: np.ndarray
    """0 to 1."""
    weight: np.ndarray


def judged(final: Final, said: str) -> list[tuple[float, float]]:
    """Each word's confidence and whether it was said."""
    pieces = [(index, word) for index, heard in enumerate(final.words) for word in normal(heard.text)]
    hits = {position for _, position in aligned(normal(said), [word for _, word in pieces])}
    out = []
    for index, heard in enumerate(final.words):
        own = [position for position, (of, _) in enumerate(pieces) if of == index]
        if own:
            out.append((heard.confidence, float(all(position in hits for position in own))))
    return out


def listen(most: int, *, fit: bool) -> tuple[Judged, Judged]:
    """Words and utterances of the prompts that the map was fitted on, or of the others."""
    engine = whisper.WhisperEngine(EngineOptions(threads=2))
    engine.calibration = confidence.RAW
    words: list[tuple[float, float, float]] = []
    utterances: list[tuple[float, float, float]] = []
    for noise in NOISES:
        rng = np.random.default_rng(round(noise))
        for prompt in prompts.sentences()[: 2 * most][0 if fit else 1 :: 2]:
            pcm = np.concatenate([np.zeros(1600), prompt.pcm, np.zeros(4000)])
            pcm = (pcm + rng.normal(0, noise, len(pcm))).clip(-32768, 32767).astype(np.int16)
            utterance = engine.open(Hint(prompts.RATE))
            utterance.feed(decode(Codec.PCMU, encode(Codec.PCMU, pcm)))
            final = utterance.finish()
            found = judged(final, prompt.text)
            words += [(raw, right, 1.0) for raw, right in found]
            if found:
                share = float(np.mean([right for _, right in found]))
                utterances.append((final.confidence, share, len(found)))
    return Judged(*np.array(words).T), Judged(*np.array(utterances).T)


def bins(values: np.ndarray, of: Judged) -> list[tuple[float, float, float]]:
    """Mean confidence, share of right, and weight of each tenth that has any."""
    number = np.minimum((values * BINS).astype(int), BINS - 1)
    out = []
    for each in range(BINS):
        own = number == each
        if own.any():
            weight = of.weight[own]
            out.append(
                (
                    float(np.average(values[own], weights=weight)),
                    float(np.average(of.right[own], weights=weight)),
                    float(weight.sum()),
                )
            )
    return out


def error(values: np.ndarray, of: Judged) -> float:
    """Expected calibration error (Naeini and others, AAAI 2015)."""
    found = bins(values, of)
    return sum(weight * abs(said - right) for said, right, weight in found) / sum(weight for *_, weight in found)


def fitted(of: Judged, knots: int = 8) -> list[tuple[float, float]]:
    """The monotone map that fits best (pool adjacent violators), as a few points with straight lines between them."""
    order = np.argsort(of.raw)
    blocks: list[list[float]] = []
    for raw, right, weight in zip(of.raw[order], of.right[order], of.weight[order], strict=True):
        blocks.append([raw * weight, right * weight, weight])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    total, groups, filled = sum(block[2] for block in blocks), [[0.0, 0.0, 0.0]], 0.0
    for block in blocks:
        if groups[-1][2] and filled >= len(groups) * total / knots:
            groups.append([0.0, 0.0, 0.0])
        groups[-1] = [a + b for a, b in zip(groups[-1], block, strict=True)]
        filled += block[2]
    return [(round(raw / weight, 3), round(right / weight, 3)) for raw, right, weight in groups]


def main() -> int:
    """Exit code 1 when the map makes it worse, or not good enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    if prompts.available():
        print(f"skipped: {prompts.available()}")
        return 0
    words, utterances = listen(given.clips, fit=given.fit)
    if given.fit:
        print(f"words: {fitted(words)}\nutterances: {fitted(utterances, 6)}")
    plot, worst, worse = Picture(), 0.0, False
    for name, of, known in (
        ("words", words, confidence.TINY_EN.words),
        ("utterances", utterances, confidence.TINY_EN.utterances),
    ):
        after = np.array([known(raw) for raw in of.raw])
        before, now = error(of.raw, of), error(after, of)
        print(
            f"{name:10} {len(of.raw):5}: expected calibration error {before:.3f} as the model says it, {now:.3f} mapped"
        )
        worst, worse = max(worst, now), worse or now > before
        curves = [Curve("ideal", (0, 1), (0, 1))]
        for label, values in (("model", of.raw), ("mapped", after)):
            found = bins(values, of)
            curves.append(Curve(label, [said for said, *_ in found], [right for _, right, _ in found], dots=True))
        plot.plot(f"{name}: confidence and what was right", "confidence", "right", curves, x=(0, 1), y=(0, 1))
    file = TOP / "bench-out" / "speech-confidence.png"
    plot.save(file)
    print(f"drawn: {file.relative_to(TOP)}")
    return int(worse or worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
