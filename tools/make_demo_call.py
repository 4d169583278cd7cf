#!/usr/bin/env python3
"""Makes the demo call anew: ``vcond/demo/{caller.ulaw,agent.ulaw,call.json}``.

The words below are our own; the voices are Debian's flite (``apt-get install flite``), which is deterministic: the
same version gives the same bytes. flite is driven through its C library, because only that tells when each word is
spoken. Run from anywhere: ``python tools/make_demo_call.py [FOLDER]``.

Each party is one track of the call's clock, 8 kHz G.711 mu-law, as a line gives it: band-limited, about -20 dBFS
while somebody speaks, and mu-law silence (0xff) where nobody does. The hold and the digit are events; a held line and
a digit sent as RFC 4733 are silent.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from vcond.media.codecs import Codec, encode

RATE = 8000
FRAME = 160
LEVEL_DBFS = -20.0
"""RMS of a turn, relative to a full-scale square wave."""
PAD = 0.04
"""Seconds of flite's own breath kept before the first and after the last word."""
BAND = (300, 3400)
"""The telephone band in Hz (ITU-T G.712)."""
CALLER, AGENT = 0, 1
LICENCE = (
    "Words and recording: MIT, as the rest of vcond. Spoken by CMU Flite 2.2 with its voices cmu_us_slt and cmu_us_rms, "
    "which are under a permissive licence."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One turn of the script. ``gap`` is the pause before it in seconds; negative = it begins before the last ends."""

    party: int
    gap: float
    text: str


@dataclass(frozen=True)
class Cue:
    """An event ``gap`` seconds after the end of the turn before it."""

    gap: float
    kind: str
    party: int
    button: str = ""
    ms: int = 0


SCRIPT: tuple[Line | Cue, ...] = (
    Line(AGENT, 0.5, "Harbor Coffee, good morning. This is Marcus."),
    Line(CALLER, 0.4, "Good morning, Marcus. This is Rita from the corner bakery. I would like to change my delivery."),
    Line(AGENT, 0.4, "Of course. What would you like to change?"),
    Line(CALLER, 0.4, "Please send your driver one day earlier, on Thursday."),
    Line(AGENT, 0.4, "I will ask him. May I put you on hold for a moment?"),
    Line(CALLER, 0.4, "Yes, please. Your music is very nice."),
    Cue(0.3, "hold", AGENT),
    Cue(3.5, "unhold", AGENT),
    Line(AGENT, 3.7, "Thank you for waiting. The driver says yes. Please press one to confirm."),
    Cue(0.5, "digit", CALLER, button="1", ms=120),
    Line(AGENT, 1.0, "Very good. The coffee will be there on Thursday morning."),
    Line(CALLER, 0.4, "Perfect. But you came back just before the best part of the song."),
    Line(AGENT, 0.4, "I am sorry. Next time I will take longer. Goodbye, Rita."),
    Line(CALLER, -0.2, "You are very kind. Goodbye."),
)
TAIL = 0.8


@dataclass(frozen=True)
class Voice:
    """A flite voice: its library's name and how much slower than usual it speaks."""

    name: str
    stretch: float


VOICES = (Voice("slt", 1.0), Voice("rms", 0.97))
PARTIES = (
    {"role": "caller", "name": "Rita", "tel": "+12025550142", "org": "Corner Bakery"},
    {"role": "agent", "name": "Marcus", "tel": "+12025550199", "org": "Harbor Coffee"},
)


@dataclass(frozen=True)
class Spoken:
    """A synthesized turn: samples of 8 kHz, full scale = 1, and its words with seconds from the first sample."""

    audio: Floats
    words: tuple[tuple[str, float, float], ...]


class _Wave(ctypes.Structure):
    """``cst_wave`` of flite's cst_wave.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("samples", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_short)),
    )


class _VoiceHead(ctypes.Structure):
    """The first two fields of ``cst_voice`` of flite's cst_voice.h."""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


class Flite:
    """The flite C library with one voice."""

    def __init__(self, voice: Voice) -> None:
        pointer, string = ctypes.c_void_p, ctypes.c_char_p
        self._lib = lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for name in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        for name, result, arguments in (
            ("flite_synth_text", pointer, (string, pointer)),
            ("utt_relation", pointer, (pointer, string)),
            ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
            ("relation_head", pointer, (pointer,)),
            ("item_next", pointer, (pointer,)),
            ("ffeature_string", string, (pointer, string)),
            ("ffeature_float", ctypes.c_float, (pointer, string)),
            ("feat_set_float", None, (pointer, string, ctypes.c_float)),
            ("delete_utterance", None, (pointer,)),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        lib.flite_init()
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{voice.name}.so.1"), f"register_cmu_us_{voice.name}")
        register.restype, register.argtypes = pointer, (string,)
        self._voice = register(None)
        features = ctypes.cast(self._voice, ctypes.POINTER(_VoiceHead)).contents.features
        lib.feat_set_float(features, b"duration_stretch", voice.stretch)

    def speak(self, text: str) -> Spoken:
        """Synthesize one turn and trim the silence around it."""
        utterance = self._lib.flite_synth_text(text.encode("ascii"), self._voice)
        wave = self._lib.utt_wave(utterance).contents
        raw = np.ctypeslib.as_array(wave.data, (wave.samples,)).astype(np.float64) / 32768
        rate, words = wave.rate, list(self._words(utterance))
        self._lib.delete_utterance(utterance)
        assert [word for word, _, _ in words] == [spoken(word) for word in text.split()], words
        begin, end = words[0][1] - PAD, words[-1][2] + PAD
        line = levelled(telephone(raw, rate)[round(begin * RATE) : round(end * RATE)])
        return Spoken(line, tuple((word, start - begin, stop - begin) for word, start, stop in words))

    def _words(self, utterance: int) -> Iterator[tuple[str, float, float]]:
        lib = self._lib
        item = lib.relation_head(lib.utt_relation(utterance, b"Word"))
        while item:
            yield (
                lib.ffeature_string(item, b"name").decode(),
                lib.ffeature_float(item, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"),
                lib.ffeature_float(item, b"R:SylStructure.daughtern.daughtern.R:Segment.end"),
            )
            item = lib.item_next(item)


def spoken(word: str) -> str:
    """A word of the script as flite names it."""
    return word.lower().strip(".,?!")


def telephone(audio: Floats, rate: int) -> Floats:
    """Limit to the telephone band with a gentle linear-phase filter and bring to 8 kHz; no delay is added."""
    taps = 2 * (rate // 200) + 1
    n = np.arange(taps) - taps // 2
    low, high = (2 * edge / rate * np.sinc(2 * edge / rate * n) for edge in BAND)
    return np.asarray(soxr.resample(np.convolve(audio, (high - low) * np.hamming(taps), "same"), rate, RATE, "HQ"))


def levelled(audio: Floats) -> Floats:
    """Bring to the level, never beyond full scale, with 10 ms of fade at either end."""
    gain = 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(audio**2))
    fade = np.minimum(1, np.minimum(np.arange(len(audio)), np.arange(len(audio))[::-1]) / (RATE // 100))
    shaped: Floats = np.clip(audio * gain * fade, -1, 1)
    return shaped


def compose() -> tuple[list[Floats], list[dict[str, object]], list[dict[str, object]]]:
    """Put the script on one clock: a track per party, the turns and the events."""
    flites = [Flite(voice) for voice in VOICES]
    placed: list[tuple[int, int, Floats]] = []
    turns: list[dict[str, object]] = []
    events: list[dict[str, object]] = []
    now = 0.0
    for step in SCRIPT:
        if isinstance(step, Cue):
            event: dict[str, object] = {"at": round(now + step.gap, 3), "kind": step.kind, "party": step.party}
            events.append(event | ({"button": step.button, "ms": step.ms} if step.button else {}))
            continue
        said = flites[step.party].speak(step.text)
        first = round((now + step.gap - PAD) * RATE)
        zero = first / RATE
        words = [
            {"text": w, "start": round(zero + a, 3), "end": round(zero + b, 3)}
            for w, (_, a, b) in zip(step.text.split(), said.words, strict=True)
        ]
        turns.append(
            {
                "party": step.party,
                "start": words[0]["start"],
                "end": words[-1]["end"],
                "text": step.text,
                "words": words,
            }
        )
        placed.append((step.party, first, said.audio))
        now = zero + said.words[-1][2]
    length = -(-round((now + TAIL) * RATE) // FRAME) * FRAME
    tracks = [np.zeros(length) for _ in PARTIES]
    for party, first, audio in placed:
        tracks[party][first : first + len(audio)] += audio
    return tracks, turns, events


def main() -> None:
    """Write the three files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "vcond" / "demo"
    tracks, turns, events = compose()
    for party, track in zip(PARTIES, tracks, strict=True):
        pcm = np.round(track * 32767).astype(np.int16)
        (folder / f"{party['role']}.ulaw").write_bytes(encode(Codec.PCMU, pcm))
    description = {
        "title": "Rita moves a delivery",
        "parties": [dict(party) for party in PARTIES],
        "rate": RATE,
        "samples": len(tracks[0]),
        "turns": turns,
        "events": events,
        "licence": LICENCE,
    }
    (folder / "call.json").write_text(json.dumps(description, indent=1) + "\n")
    for party, track in zip(PARTIES, tracks, strict=True):
        print(f"{party['role']}: {len(track) / RATE:.2f} s, peak {20 * np.log10(np.abs(track).max()):.1f} dBFS")


if __name__ == "__main__":
    main()
