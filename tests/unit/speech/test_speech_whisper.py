"""A real model, in a real worker where it matters. The voices are those of the demo call."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from vcond.base.errors import ConfigError
from vcond.call import events as ev
from vcond.demo.accuracy import aligned, score, words
from vcond.demo.call import demo_call
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import EngineOptions, Final, Hint
from vcond.speech.engine_choice import Choice
from vcond.speech.engines import whisper
from vcond.speech.engines.whisper import WhisperEngine
from vcond.speech.workers import steps
from vcond.testing.needs import needs

needs(
    all(importlib.util.find_spec(name) for name in ("ctranslate2", "tokenizers", whisper.PACKAGED)),
    "the extra 'embedded' is not installed",
)
pytestmark = pytest.mark.speech


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(EngineOptions())


def hear(engine: WhisperEngine, pcm: np.ndarray, rate: int = 8000) -> Final:
    utterance = engine.open(Hint(rate))
    for at in range(0, len(pcm), 1600):
        utterance.feed(pcm[at : at + 1600])
    return utterance.finish()


def turn(demo: list[np.ndarray], index: int) -> tuple[np.ndarray, str]:
    """One turn of the demo call with 0.2 s before and 0.5 s after it."""
    said = demo_call().turns[index]
    return demo[said.party][round((said.start - 0.2) * 8000) : round((said.end + 0.5) * 8000)], said.text


def test_every_turn_of_the_demo_call(engine: WhisperEngine, demo: list[np.ndarray]) -> None:
    spoken, heard, off = [], [], []
    for index, said in enumerate(demo_call().turns):
        pcm, text = turn(demo, index)
        final = hear(engine, pcm)
        assert " ".join(word.text for word in final.words) == final.text
        assert final.language == "en"
        assert 0.3 < final.confidence <= 1
        spoken.append(text)
        heard.append(final.text)
        truth = [words(word.text) for word in said.words]
        mine = [words(word.text) for word in final.words]
        for a, b in aligned([" ".join(word) for word in truth], [" ".join(word) for word in mine]):
            if truth[a] == mine[b]:
                off.append(abs(final.words[b].start - (said.words[a].start - said.start + 0.2)))
    assert score(" ".join(spoken), " ".join(heard)).share >= 0.85
    assert float(np.median(off)) < 0.12
    assert float(np.percentile(off, 90)) < 0.35


def test_what_was_heard_so_far_is_a_text_without_words(engine: WhisperEngine, demo: list[np.ndarray]) -> None:
    pcm, _ = turn(demo, 0)
    utterance = engine.open(Hint(8000))
    utterance.feed(pcm)
    assert utterance.partial().text == hear(engine, pcm).text


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_other_rates_are_heard_as_well(engine: WhisperEngine, demo: list[np.ndarray], rate: int) -> None:
    import soxr

    pcm, text = turn(demo, 0)
    wide = soxr.resample(pcm, 8000, rate, quality="HQ")
    final = hear(engine, wide, rate)
    assert score(text, final.text).share >= 0.7
    assert final.words[-1].stop <= len(pcm) / 8000


def tone(seconds: float, *frequencies: float) -> np.ndarray:
    at = np.arange(round(seconds * 8000)) / 8000
    return np.sum([4000 * np.sin(2 * np.pi * f * at) for f in frequencies], axis=0).astype(np.int16)


@pytest.mark.parametrize("seconds", [0.6, 4, 12])
@pytest.mark.parametrize("kind", ["zeros", "hiss", "noise", "ringback", "digit", "hum"])
def test_what_is_no_speech_has_no_text(engine: WhisperEngine, seconds: float, kind: str) -> None:
    rng = np.random.default_rng(0)
    count = round(seconds * 8000)
    pcm = {
        "zeros": lambda: np.zeros(count, np.int16),
        "hiss": lambda: rng.normal(0, 12, count).astype(np.int16),
        "noise": lambda: rng.normal(0, 2000, count).astype(np.int16),
        "ringback": lambda: tone(seconds, 440, 480),
        "digit": lambda: tone(seconds, 697, 1209),
        "hum": lambda: tone(seconds, 50, 150),
    }[kind]()
    assert hear(engine, pcm) == Final("", (), "", 0.0)


def test_an_utterance_longer_than_the_window_is_heard_to_its_end(engine: WhisperEngine, demo: list[np.ndarray]) -> None:
    turns = demo_call().turns
    order = [index for index, said in enumerate(turns) if said.party == 1]
    clips = [turn(demo, index) for index in order]
    pcm = np.concatenate([clip for clip, _ in clips])
    assert len(pcm) > 20 * 8000
    pcm = np.concatenate([pcm, pcm])
    final = hear(engine, pcm)
    assert score(" ".join(text for _, text in clips * 2), final.text).share >= 0.8
    starts = [word.start for word in final.words]
    assert starts == sorted(starts)
    assert starts[-1] > len(pcm) / 8000 - 5


def test_nothing_fed_is_nothing_heard(engine: WhisperEngine) -> None:
    utterance = engine.open(Hint(8000))
    assert utterance.partial().text == ""
    assert utterance.finish() == Final("", (), "", 0.0)


def test_a_reset_forgets(engine: WhisperEngine, demo: list[np.ndarray]) -> None:
    utterance = engine.open(Hint(8000))
    utterance.feed(turn(demo, 0)[0])
    utterance.reset()
    assert utterance.finish().text == ""


def test_the_cut_of_a_long_utterance_is_where_it_is_quietest() -> None:
    sound = np.full(16_000 * 3, 0.1, np.float32)
    sound[: 16_000 // 2] = 0.0
    sound[32_000:33_600] = 0.01
    assert whisper.quietest(sound, 16_000) == 32_800


def test_what_repeats_packs_well() -> None:
    assert whisper.packed("thank you " * 30) > whisper.REPETITION
    assert whisper.packed("The person you are calling is not at their host. I will try to locate them.") < 1.5
    assert whisper.packed("") == 0.0


def test_a_folder_without_a_model_is_the_operators(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^speech.model: .* holds no tokenizer.json$"):
        WhisperEngine(EngineOptions(model=str(tmp_path)))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a CTranslate2 Whisper model"):
        WhisperEngine(EngineOptions(model=str(tmp_path)))


async def live(line, clock, *, kill: bool = False) -> list[ev.Transcribed]:
    """The track through the whole service with the real engine; with ``kill`` its worker dies in the middle."""
    speech = Speech(
        SpeechConfig(workers=1, restart_seconds=0.01, partials=False), clock=clock, choice=Choice("whisper")
    )
    task = asyncio.create_task(speech.run())
    await speech.ready.wait()
    if kill:
        pid, plain = speech.pids[0], steps.requests

        def sent(step, pcm):
            steps.requests = plain
            asyncio.get_running_loop().call_later(0.03, os.kill, pid, signal.SIGKILL)
            return plain(step, pcm)

        steps.requests = sent
    speech.listen(line).close(len(line.pcm))
    assert await speech.settled("call", 120)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return line.of(ev.Transcribed)


async def test_the_callers_track_through_a_real_worker_and_the_same_after_kill_9(track, room, demo) -> None:
    clock = room().clock
    whole = await live(track(pcm=demo[0]), clock)
    killed = await live(track(pcm=demo[0]), clock, kill=True)
    spoken = " ".join(said.text for said in demo_call().turns if said.party == 0)
    assert score(spoken, " ".join(event.text for event in whole)).share >= 0.8
    assert [(e.utterance, e.text, e.words) for e in killed] == [(e.utterance, e.text, e.words) for e in whole]
    assert {(e.engine, e.model, e.language) for e in whole} == {("whisper", "tiny.en", "en")}
    assert all(event.took_ms > 0 for event in whole)
