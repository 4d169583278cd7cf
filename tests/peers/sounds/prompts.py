"""Human speech at 8 kHz with its text: the telephone prompts of Debian's ``asterisk-core-sounds-en``.

The recordings (Allison Smith, CC-BY-SA-3.0) come with ``asterisk-core-sounds-en-wav``, their text with
``asterisk-core-sounds-en``; ``tools/setup.sh test`` installs both. Nothing of either is in this repository.
"""

from __future__ import annotations

import gzip
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 8000
WAVS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
MUSIC = Path("/usr/share/asterisk/moh")
NO_WORDS = ("[", "(", "*", "#", "...", "$")
"""A text with one of these describes a sound, or is no whole sentence."""
NOT_AS_WRITTEN = frozenset(
    {
        "conf-adminmenu-menu8",  # the text has a typing error
        "confbridge-menu-exit-in",  # the two sounds of the bridge's menu have each other's text
        "confbridge-menu-exit-out",
    }
)
"""Recordings that do not say what the text has."""


@dataclass(frozen=True)
class Prompt:
    """One recording."""

    name: str
    text: str
    pcm: np.ndarray
    """Shape (samples,), int16, 8 kHz; silence at both ends taken off."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.pcm) / RATE


def available() -> str:
    """Why there are no prompts on this machine; empty when there are."""
    missing = [str(path) for path in (WAVS, TEXT) if not path.exists()]
    if missing:
        return f"no {' and no '.join(missing)}: apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-wav"
    return ""


def sentences(least_words: int = 3) -> list[Prompt]:
    """Every recording whose text is written out and has so many words, in the order of their names."""
    found = []
    for name, text in _texts():
        file = WAVS / f"{name}.wav"
        odd = name in NOT_AS_WRITTEN or any(mark in text for mark in NO_WORDS)
        if not odd and len(text.split()) >= least_words and file.exists():
            found.append(Prompt(name, text, trimmed(read(file))))
    return sorted(found, key=lambda prompt: prompt.name)


def recordings(least: float = 1.0) -> list[np.ndarray]:
    """Every recording of at least so many seconds, whatever it says: for load, where the text does not count."""
    found = [trimmed(read(file)) for file in sorted(WAVS.rglob("*.wav")) if "silence" not in file.parts]
    return [pcm for pcm in found if len(pcm) >= least * RATE]


def read(file: Path) -> np.ndarray:
    """The samples of a mono WAV file of 8 kHz."""
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2), file
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)


def trimmed(pcm: np.ndarray) -> np.ndarray:
    """Without what is quieter than -50 dBFS at both ends."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 104)
    return pcm[loud[0] : loud[-1] + 1] if len(loud) else pcm[:0]


def _texts() -> Iterator[tuple[str, str]]:
    """Name and text of each line ``name: text``; ``;`` begins a comment."""
    with gzip.open(TEXT, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, colon, text = line.strip().partition(":")
            if colon and not name.startswith(";") and "/" not in name:
                yield name, text.strip()
