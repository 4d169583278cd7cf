from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vcond.speech.engines.mel import Mel, filters

REFERENCE = Path(__file__).resolve().parents[2] / "data" / "speech" / "mel.npz"
"""Every 25th frame, and the sum of each filter, as faster-whisper 1.2.1 makes them of the same noise."""


@pytest.mark.parametrize("bands", [80, 128])
def test_the_frames_are_those_the_model_was_trained_with(bands: int) -> None:
    theirs = np.load(REFERENCE)
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000 * 3 + 77).astype(np.float32)
    assert np.abs(filters(bands).sum(axis=1) - theirs[f"filters{bands}"]).max() < 1e-6
    assert np.abs(Mel(bands)(sound)[:, ::25] - theirs[f"mel{bands}"]).max() < 1e-5


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    loudest = int(Mel(80)(tone)[:, 50].argmax())
    assert filters(80)[loudest].argmax() * 40 == pytest.approx(1000, abs=40)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (159, 1), (320, 3), (16_000, 101)])
def test_short_sounds_have_frames_too(samples: int, frames: int) -> None:
    assert Mel(80)(np.zeros(samples, np.float32)).shape == (80, frames)


def test_silence_has_finite_frames() -> None:
    assert np.isfinite(Mel(80)(np.zeros(1600, np.float32))).all()
