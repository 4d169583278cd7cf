"""How long utterances and the pauses between them are: 20 calls of recorded people through vcond's own segmenter. For sim_load.py.

    python tests/sim/sim_measured.py

Needs the prompts that ``tools/setup.sh test`` installs; takes some 15 s of one processor.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from speech_calls import RATE, Speakers

from vcond.media.detect.segmenter import Ended, Segmenter

CALLS, SECONDS = 20, 60


def utterances(leg: np.ndarray) -> list[tuple[float, float]]:
    """Begin and end of each on a track, in seconds; ``leg``: its samples, shape (samples,)."""
    segmenter, found = Segmenter(RATE), []
    for at in range(0, len(leg), RATE // 5):
        found += segmenter.feed(at, leg[at : at + RATE // 5])
    return [(e.start / RATE, e.stop / RATE) for e in [*found, *segmenter.close()] if isinstance(e, Ended)]


def main() -> None:
    """Print what ``sim_load.LENGTH`` and ``PAUSE`` were taken from."""
    speakers = Speakers(1)
    tracks = [utterances(leg) for _ in range(CALLS) for leg in speakers.call(SECONDS)]
    lengths = np.array([stop - start for track in tracks for start, stop in track])
    pauses = np.array([b[0] - a[1] for track in tracks for a, b in pairwise(track)])
    for name, values in (("utterances", lengths), ("pauses", pauses)):
        deviation, logs = np.sqrt(np.log(1 + values.var() / values.mean() ** 2)), np.log(values[values > 0])
        print(
            f"{len(values)} {name}: mean {values.mean():.2f} s, logarithms {logs.mean():.3f}, {logs.std():.3f};"
            f" the lognormal of that mean and deviation {np.log(values.mean()) - deviation**2 / 2:.3f}, {deviation:.3f}"
        )
    whole = CALLS * SECONDS
    print(f"a call: {len(lengths) / whole:.3f} utterances and {lengths.sum() / whole:.2f} s of audio a second")


if __name__ == "__main__":
    main()
