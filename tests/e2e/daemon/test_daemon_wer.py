"""The words of real people through the whole live path: Twilio's sockets, the journal, the listeners, workers, the vCon."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import wer
from daemon_kit import TOKEN, House
from wer_kit import Scripted, prompts, scripted

from vcond.demo.player import play
from vcond.speech.engine import EngineOptions, Hint
from vcond.speech.engines import whisper
from vcond.testing.needs import needs

SPEED = 2
"""How many times faster than people speak the calls are played; the daemon's clock runs as fast."""
SENTENCES, CALLS = 104, 8
MOST = 0.08
"""Of all words."""
WORSE = 0.01
"""How much more of them may be wrong than when the engine is handed each sentence by itself."""

NO_PROMPTS = prompts.available()
needs(
    all(importlib.util.find_spec(name) for name in ("ctranslate2", "tokenizers", whisper.PACKAGED)),
    "the extra 'embedded' is not installed",
)
pytestmark = pytest.mark.speech


@pytest.fixture(scope="module")
def calls() -> list[Scripted]:
    needs(not NO_PROMPTS, NO_PROMPTS)
    return scripted(SENTENCES, CALLS)


@pytest.mark.timeout(400)
async def test_the_live_path_understands_as_much_as_the_engine_alone(tmp_path: Path, calls: list[Scripted]):
    house = House(tmp_path, engine="whisper")
    house.speech = "partials = false"
    house.command_line = (sys.executable, "-m", "vcond", "run", "--clock-speed", str(SPEED), "--config")
    house.record = "transcript_deadline = 3600"
    async with house.running() as vcond:
        url = f"{vcond.base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(play(url, call.recording, speed=SPEED, progress=lambda _: None))
        documents = await vcond.delivered(CALLS)
    by_caller = {document["parties"][0]["name"]: document for document in documents}
    live = []
    for call in calls:
        heard = _texts(by_caller[call.recording.parties[0].name])
        live += [(call.text(party), heard[party]) for party in (0, 1)]
    alone = _alone(calls)
    there, here = wer.share(live), wer.share(alone)
    words = sum(len(wer.normal(said)) for said, _ in live)
    print(f"{SENTENCES} sentences, {words} words: live {there:.2%} wrong, engine alone {here:.2%}")
    assert here <= MOST
    assert there <= MOST
    assert there <= here + WORSE


def _texts(document: dict[str, Any]) -> list[str]:
    """What each of two parties said, in order."""
    body = next(a["body"] for a in document["analysis"] if a["type"] == "wtf_transcription")
    segments = sorted(body["segments"], key=lambda segment: segment["start"])
    return [" ".join(one["text"] for one in segments if one["speaker"] == party) for party in (0, 1)]


def _alone(calls: list[Scripted]) -> list[tuple[str, str]]:
    engine = whisper.WhisperEngine(EngineOptions(threads=2))
    out = []
    for call in calls:
        for one in call.spoken:
            utterance = engine.open(Hint(prompts.RATE))
            utterance.feed(call.clip(one))
            out.append((one.prompt.text, utterance.finish().text))
    return out
