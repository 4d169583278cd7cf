"""The remote engine against real vosk recognizers: the same texts and times as the vosk engine in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from korean import WORDS, around, hear, say, steady_model
from speech_server import Server, running

from vcond.speech import engine as contract
from vcond.speech.engine import EngineOptions
from vcond.speech.engines.remote import RemoteEngine
from vcond.speech.engines.vosk import VoskEngine


class Kaldi:
    """A recognizer of the server, as asr_server.py uses it."""

    def __init__(self, engine: VoskEngine, rate: float, phrases: list[str] | None) -> None:
        from vosk import KaldiRecognizer

        grammar = [json.dumps(phrases, ensure_ascii=False)] if phrases else []
        self.recognizer = KaldiRecognizer(engine._model(worded=bool(phrases)), rate, *grammar)
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
    return VoskEngine(EngineOptions(model=str(steady_model(tmp_path_factory.mktemp("vosk")))))


@pytest.fixture(scope="module", params=[True, False], ids=["kept connections", "one for each utterance"])
def remote(local: VoskEngine, request: pytest.FixtureRequest) -> Iterator[RemoteEngine]:
    server = Server(resets=request.param, make=lambda rate, phrases: Kaldi(local, rate, phrases))
    with running(server) as port:
        made = RemoteEngine(EngineOptions(server=contract.Server(f"ws://127.0.0.1:{port}", language="ko")))
        assert made.manners.keeps is request.param
        yield made
        made.drop()


@pytest.mark.speech
def test_the_same_words_at_the_same_times_as_in_this_process(local: VoskEngine, remote: RemoteEngine) -> None:
    right = 0
    for word in ("안녕하세요", "학교", "서울", "음악"):
        pcm = around(say(word))
        ours, theirs = hear(local.open(WORDS), pcm), hear(remote.open(WORDS), pcm)
        assert theirs.text == ours.text
        assert [w.text for w in theirs.words] == [w.text for w in ours.words]
        for one, other in zip(ours.words, theirs.words, strict=True):
            assert abs(one.start - other.start) < 0.1
            assert 0 <= other.start < other.stop <= len(pcm) / 8000 + 0.05
        right += theirs.text == word
    assert right >= 3
