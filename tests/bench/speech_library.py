"""One plain call of faster-whisper for each utterance, in turn. Runs in the Python that has the library, alone.

    python speech_library.py MODEL CLIPS.npz plain|greedy

Reads the number of a clip from each line and answers with ``{"text": ..., "cpu": seconds, "wall": seconds}``.
``plain`` is the library's own choice of everything (beam of 5) with word times, as vcond gives them; ``greedy`` is the
cheapest it does: no beam, no word times. What is resampled is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"word_timestamps": True},
    "greedy": {"beam_size": 1, "without_timestamps": True, "condition_on_previous_text": False},
}


def main() -> None:
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8")
    clips = np.load(sys.argv[2])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        way, _, number = line.partition(" ")
        sound = clips[number.strip()]
        wall, cpu = time.monotonic(), time.process_time()
        segments, _ = model.transcribe(sound, language="en", **WAYS[way])
        text = "".join(segment.text for segment in segments)
        spent = {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}
        print(json.dumps({"text": text, **spent}), flush=True)


if __name__ == "__main__":
    main()
