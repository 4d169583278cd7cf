from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from vcond.errors import ConfigError
from vcond.speech.engine import EngineOptions, Hint
from vcond.speech.engines.vosk import MODEL_LANGUAGE, VoskEngine, VoskRecognition, Warm

MODEL = os.environ.get("VCOND_TEST_VOSK_MODEL", "")
needs_model = pytest.mark.skipif(not MODEL, reason="VCOND_TEST_VOSK_MODEL names no vosk model")


def test_the_real_library_refuses_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no vosk model"):
        VoskEngine(EngineOptions(model=str(tmp_path)))
    with pytest.raises(ConfigError, match="no folder"):
        VoskEngine(EngineOptions(model=str(tmp_path / "gone")))


@pytest.mark.parametrize(
    ("folder", "language"),
    [
        ("vosk-model-small-en-us-0.15", "en"),
        ("vosk-model-de-0.21", "de"),
        ("vosk-model-small-cn-0.22", "cn"),
        ("model", None),
    ],
)
def test_the_usual_models_say_their_language(folder: str, language: str | None) -> None:
    found = MODEL_LANGUAGE.match(folder)
    assert (found[1] if found else None) == language


class Kaldi:
    """A recognizer that behaves as the real one was measured to: one word a second of audio, on a clock that never
    goes back; ``AcceptWaveform`` finds an end of a sentence after four seconds."""

    def __init__(self) -> None:
        self.clock = self.begun = 0
        self.calls: list[str] = []

    def AcceptWaveform(self, data: bytes) -> int:  # noqa: N802
        self.clock += len(data) // 2
        return self.clock - self.begun >= 32_000

    def _answer(self) -> str:
        words = [
            {"word": f"w{at // 8000}", "start": at / 8000, "end": at / 8000 + 0.5, "conf": 0.8}
            for at in range(self.begun, self.clock, 8000)
        ]
        self.begun = self.clock
        return json.dumps({"text": " ".join(word["word"] for word in words), "result": words})

    def Result(self) -> str:  # noqa: N802
        self.calls.append("Result")
        return self._answer()

    def FinalResult(self) -> str:  # noqa: N802
        self.calls.append("FinalResult")
        return self._answer()

    def PartialResult(self) -> str:  # noqa: N802
        return json.dumps({"partial": "so far"})

    def Reset(self) -> None:  # noqa: N802
        self.calls.append("Reset")


def opened(warm: Warm, idle: list[Warm]) -> VoskRecognition:
    return VoskRecognition(warm, idle, "en")


def test_words_are_counted_from_the_utterance_although_the_clock_never_goes_back() -> None:
    warm, idle = Warm(Kaldi(), 8000), []
    for _ in range(3):
        recognition = opened(warm, idle)
        recognition.feed(np.zeros(10_000, np.int16))
        final = recognition.finish()
        assert [round(word.start, 3) for word in final.words] == [0.0, 1.0]
        assert idle == [warm]
        warm = idle.pop()
    assert warm.fed == 30_000


def test_ends_of_sentences_inside_an_utterance_are_put_together() -> None:
    recognition = opened(Warm(Kaldi(), 8000), [])
    recognition.feed(np.zeros(32_000, np.int16))
    assert recognition.partial().text == "w0 w1 w2 w3 so far"
    recognition.feed(np.zeros(8000, np.int16))
    final = recognition.finish()
    assert final.text == "w0 w1 w2 w3 w4"
    assert [word.start for word in final.words] == [0, 1, 2, 3, 4]
    assert (final.language, round(final.confidence, 3)) == ("en", 0.8)


def test_nothing_goes_back_to_the_pool_with_audio_in_it() -> None:
    warm, idle = Warm(Kaldi(), 8000), []
    recognition = opened(warm, idle)
    recognition.feed(np.zeros(4000, np.int16))
    recognition.reset()
    recognition.reset()
    assert warm.recognizer.calls == ["FinalResult", "Reset"]
    assert idle == [warm]
    following = opened(idle.pop(), idle)
    following.feed(np.zeros(8000, np.int16))
    assert [word.start for word in following.finish().words] == [0.0]


def test_a_recognition_that_is_over_cannot_be_fed() -> None:
    recognition = opened(Warm(Kaldi(), 8000), [])
    recognition.finish()
    with pytest.raises(AssertionError):
        recognition.feed(np.zeros(160, np.int16))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> VoskEngine:
    """The operator's model without the dither that makes vosk answer differently each time."""
    folder = tmp_path_factory.mktemp("vosk") / Path(MODEL).name
    folder.mkdir()
    for part in Path(MODEL).iterdir():
        if part.name != "conf":
            (folder / part.name).symlink_to(part.resolve())
    shutil.copytree(Path(MODEL) / "conf", folder / "conf")
    with (folder / "conf" / "mfcc.conf").open("a") as file:
        file.write("\n--dither=0\n")
    return VoskEngine(EngineOptions(model=str(folder)))


def speech(demo: list[np.ndarray], party: int, start: int, seconds: int) -> np.ndarray:
    rng = np.random.default_rng(party)
    part = demo[party][start * 8000 : (start + seconds) * 8000]
    return (part + rng.normal(0, 12, len(part))).astype(np.int16)


@needs_model
@pytest.mark.speech
def test_a_real_recognizer_is_used_again_and_its_times_stay_in_the_utterance(steady: VoskEngine, demo) -> None:
    hint = Hint(8000)
    for start in (0, 10, 20):
        recognition = steady.open(hint)
        pcm = speech(demo, 0, start, 10)
        for at in range(0, len(pcm), 1600):
            recognition.feed(pcm[at : at + 1600])
        final = recognition.finish()
        assert all(-0.05 <= word.start <= word.stop <= len(pcm) / 8000 + 0.05 for word in final.words)
        assert final.text.split() == [word.text for word in final.words]
    assert [len(idle) for idle in steady._pool.values()] == [1]


@needs_model
@pytest.mark.speech
def test_what_one_caller_said_changes_nothing_for_the_next(steady: VoskEngine, demo) -> None:
    hint = Hint(8000)
    pcm = speech(demo, 1, 0, 8)

    def again() -> tuple[str, list[float]]:
        recognition = steady.open(hint)
        recognition.feed(pcm)
        final = recognition.finish()
        return final.text, [round(word.confidence, 3) for word in final.words]

    alone = again()
    for before, finished in ((20, True), (30, False)):
        other = steady.open(hint)
        other.feed(speech(demo, 0, before, 6))
        if finished:
            other.finish()
        else:
            other.reset()
        assert again() == alone


@needs_model
@pytest.mark.speech
def test_partials_of_a_real_model_grow_into_the_final(steady: VoskEngine, demo) -> None:
    recognition = steady.open(Hint(8000))
    pcm = speech(demo, 1, 0, 8)
    seen = []
    for at in range(0, len(pcm), 1600):
        recognition.feed(pcm[at : at + 1600])
        seen.append(recognition.partial().text)
    assert recognition.finish().text
    assert any(seen)
