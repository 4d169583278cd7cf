from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.speech.config import Match, Route, SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.multi_model import Speeches, speech_of
from vcond.speech.routes import configurations


class Clock:
    def now(self) -> Instant:
        return Instant(1_795_339_662_000_000_000)


@pytest.fixture
def config(tmp_path: Path, room) -> SpeechConfig:
    """English by one model; German, and numbers, by another."""
    for name in ("english", "german"):
        (tmp_path / name).mkdir()
    german = {"engine": "speech_engines:Forking", "model": str(tmp_path / "german")}
    return SpeechConfig(
        engine="speech_engines:Scripted", model=str(tmp_path / "english"), workers=1, language="en", nice=0,
        restart_seconds=0.01, vocabulary=["yes"],
        routes=[
            Route(match=Match(dialled="0800*"), language="de", vocabulary=[], workers=2, **german),
            Route(match=Match(adapter="webrtc"), language="en-GB"),
            Route(match=Match(adapter="twilio"), vocabulary=["ja"], **german),
        ],
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(speech: Speech | Speeches) -> AsyncIterator[None]:
    task = asyncio.create_task(speech.run())
    try:
        await speech.ready.wait()
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def log(folder: Path, word: str) -> list[str]:
    lines = (folder / "log").read_text().splitlines()
    return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]


def test_each_model_is_loaded_once_as_its_first_route_says(config: SpeechConfig) -> None:
    first, second = configurations(config)
    assert first == msgspec.structs.replace(config, routes=config.routes[1:2])
    assert second.routes == [config.routes[0], config.routes[2]], "so it knows that some have a vocabulary"
    assert (second.model, second.language, second.vocabulary, second.workers) == (
        config.routes[0].model, "de", [], 2,
    )  # fmt: skip
    assert second.nice == config.nice
    assert configurations(SpeechConfig(routes=config.routes[1:2])) == [SpeechConfig(routes=config.routes[1:2])]


def test_without_a_second_model_speech_is_what_it_always_was(config: SpeechConfig) -> None:
    assert isinstance(speech_of(config, clock=Clock()), Speeches)
    assert isinstance(speech_of(SpeechConfig(engine="none", routes=config.routes[1:2]), clock=Clock()), Speech)


async def test_every_track_is_heard_by_the_model_that_is_for_it(
    config: SpeechConfig, track, marks, tmp_path: Path
) -> None:
    speech = speech_of(config, clock=Clock())
    assert isinstance(speech, Speeches)
    english, german, late = track("one"), track("two"), track("three")
    english.model, german.model, late.model = 0, 1, 1
    german.vocabulary = ()
    async with running(speech):
        for line, value in ((english, 5), (german, 6)):
            line.pcm = np.repeat(np.array([value, 0], np.int16), 1600)
            listener = speech.listen(line)
            listener.segmenter = marks()
            listener.close(3200)
        speech.catch_up(late, late.say(7))
        assert await speech.settled("", 60)
        status = speech.status()
        assert (status["waiting"], status["engine"]) == (0, "speech_engines:Scripted")
        assert status["lag"] == max(model["lag"] for model in status["models"])
        assert [model["engine"] for model in status["models"]] == [config.engine, config.routes[0].engine]
    assert [line.of(ev.Transcribed)[0].text for line in (english, german, late)] == ["5", "6", "7"]
    assert log(tmp_path / "english", "hint") == ["8000 en yes"]
    assert sorted(log(tmp_path / "german", "hint")) == ["8000 de ", "8000 de "]
    assert len(log(tmp_path / "german", "load")) == 1


async def test_a_model_that_cannot_be_loaded_keeps_nobody_else_from_being_heard(
    config: SpeechConfig, track, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = msgspec.structs.replace(config.routes[0], engine="speech_engines:Broken")
    speech = speech_of(msgspec.structs.replace(config, routes=[broken]), clock=Clock())
    english, german = track("one"), track("two")
    english.model, german.model = 0, 1
    died = asyncio.Event()
    monkeypatch.setattr(speech._of[1]._pool, "_died", lambda *_: died.set())
    async with running(speech):
        speech.catch_up(english, english.say(5))
        speech.catch_up(german, german.say(6))
        assert await speech.settled("one", 60)
        assert not await speech.settled("two", 0)
        assert not await speech.settled("", 0)
        assert REGISTRY.get_sample_value("vcond_stt_backlog_utterances") == 1
        await died.wait()
        assert "glue it" in speech.trouble
        assert speech.forget("two") == 1
        assert await speech.settled("", 60)
    assert english.of(ev.Transcribed)[0].text == "5"
