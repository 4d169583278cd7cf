"""Our engines pass the suite that others' pass, with real models."""

from __future__ import annotations

import importlib.util

import pytest
import soxr
from korean import UNDERSTOOD, around, say, steady_model

from vcond.demo.call import demo_call
from vcond.media.codecs import Codec, decode
from vcond.speech.engine import EngineOptions
from vcond.speech.engines import whisper
from vcond.speech.engines.vosk import VoskEngine
from vcond.testing.engines import EngineConformance
from vcond.testing.needs import needs

pytestmark = pytest.mark.speech


@pytest.fixture(scope="module")
def whisper_engine():
    modules = ("ctranslate2", "tokenizers", whisper.PACKAGED)
    needs(all(importlib.util.find_spec(name) for name in modules), "the extra 'embedded' is not installed")
    return whisper.WhisperEngine(EngineOptions())


@pytest.fixture(scope="module")
def vosk_engine(tmp_path_factory):
    return VoskEngine(EngineOptions(str(steady_model(tmp_path_factory.mktemp("vosk"))), streams=2, max_active=500))


class TestWhisperConformance(EngineConformance):
    @pytest.fixture
    def engine(self, whisper_engine):
        return whisper_engine

    @pytest.fixture
    def utterances(self):
        demo = demo_call()
        tracks = [soxr.resample(decode(Codec.PCMU, track), 8000, 16_000, quality="HQ") for track in demo.tracks]
        first = [next(turn for turn in demo.turns if turn.party == party) for party in (0, 1)]
        return tuple(tracks[one.party][round(one.start * 16_000) : round(one.end * 16_000)] for one in first)


class TestVoskConformance(EngineConformance):
    @pytest.fixture
    def engine(self, vosk_engine):
        return vosk_engine

    @pytest.fixture
    def utterances(self):
        return tuple(soxr.resample(around(say(word)), 8000, 16_000, quality="HQ") for word in UNDERSTOOD[:2])
