from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from vcond.demo import wav
from vcond.demo.call import FRAME, RATE
from vcond.demo.errors import DemoError
from vcond.demo.wav import own_call, stereo_wav
from vcond.media.codecs import Codec, decode


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, rate: int, *channels: np.ndarray, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, np.stack(channels, axis=1), rate, subtype=subtype)
    return path


def strength(track: bytes, hertz: float) -> float:
    pcm = decode(Codec.PCMU, track).astype(np.float64) / 32768
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(spectrum[np.abs(np.fft.rfftfreq(len(pcm), 1 / RATE) - hertz) < 20].max() / spectrum.max())


@pytest.mark.parametrize(
    ("rate", "subtype"), [(8000, "ULAW"), (8000, "PCM_16"), (11025, "PCM_16"), (16000, "FLOAT"), (48000, "PCM_24")]
)
def test_left_is_the_caller_at_any_rate(tmp_path: Path, rate: int, subtype: str) -> None:
    path = write(tmp_path / "call.wav", rate, tone(500, 1, rate), tone(1500, 1, rate), subtype=subtype)
    caller, agent = stereo_wav(path)
    assert len(caller) == len(agent) == RATE
    assert strength(caller, 500) == 1
    assert strength(caller, 1500) < 0.02
    assert strength(agent, 1500) == 1
    assert strength(agent, 500) < 0.02


def test_a_length_that_is_no_whole_frame_is_filled_with_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", 8000, np.full(FRAME + 1, 0.5), np.full(FRAME + 1, 0.5))
    left, _ = stereo_wav(path)
    assert len(left) == 2 * FRAME
    assert left[FRAME + 1 :] == b"\xff" * (FRAME - 1)


def test_more_than_one_block_has_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "call.wav", 16000, tone(440, 2, 16000), tone(440, 2, 16000))
    whole = stereo_wav(path)
    monkeypatch.setattr(wav, "BLOCK", 1000)
    pieces = stereo_wav(path)
    difference = decode(Codec.PCMU, whole[0]).astype(int) - decode(Codec.PCMU, pieces[0])
    assert len(whole[0]) == len(pieces[0])
    assert np.abs(difference).max() <= 512  # a step of mu-law at this level, where rounding falls the other way


def test_a_float_file_beyond_full_scale_and_with_nan_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", 8000, np.full(160, 7.0), np.full(160, np.nan), subtype="FLOAT")
    left, right = (decode(Codec.PCMU, track) for track in stereo_wav(path))
    assert left.min() > 32000
    assert (right == 0).all()


def test_flac_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "call.flac", 16000, tone(500, 0.5, 16000), tone(500, 0.5, 16000))
    assert len(stereo_wav(path)[0]) == RATE // 2


@pytest.mark.parametrize("channels", [1, 3])
def test_not_stereo_is_refused(tmp_path: Path, channels: int) -> None:
    path = write(tmp_path / "call.wav", 8000, *[np.zeros(800)] * channels)
    with pytest.raises(DemoError, match=f"needs 2 channels .* this file has {channels}"):
        stereo_wav(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"nothing\.wav: cannot be read as audio: no such file"):
        stereo_wav(tmp_path / "nothing.wav")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello, world" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_a_file_that_is_no_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    with pytest.raises(DemoError, match="cannot be read as audio"):
        stereo_wav(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="cannot be read as audio"):
        stereo_wav(tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", 8000, np.zeros(0), np.zeros(0))
    with pytest.raises(DemoError, match="0 s long"):
        stereo_wav(path)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "MAX_SECONDS", 3600)
    path = tmp_path / "call.wav"
    with soundfile.SoundFile(path, "w", 4000, 2, "PCM_U8") as file:
        for _ in range(61):
            file.write(np.zeros((60 * 4000, 2), np.int16))
    with pytest.raises(DemoError, match="3660 s long"):
        stereo_wav(path)


@pytest.mark.parametrize("rate", [1000, 384000])
def test_an_unusual_rate_is_refused(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "call.wav", rate, np.zeros(100), np.zeros(100))
    with pytest.raises(DemoError, match=f"{rate} Hz"):
        stereo_wav(path)


def test_a_call_that_was_cut_on_disk_is_played_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write(tmp_path / "call.wav", 8000, tone(500, 2, 8000), tone(500, 2, 8000))
    path.write_bytes(path.read_bytes()[: 44 + 8000 * 4])
    assert len(stereo_wav(path)[0]) == RATE


def test_own_call_is_named_after_its_file(tmp_path: Path) -> None:
    recording = own_call(write(tmp_path / "monday.wav", 8000, np.zeros(800), np.zeros(800)))
    assert (recording.title, recording.frames, recording.turns, recording.cues) == ("monday.wav", 5, (), ())
