"""What begins like speech and turns out to be music: shown, perhaps, and never written down."""

from __future__ import annotations

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.media.detect.segmenter import Begun, Dropped, Ended


class Turncoat:
    """A segmenter that finds speech at once, and takes it back after half a second; then one utterance."""

    def __init__(self) -> None:
        self.said = 0

    def feed(self, start: int, pcm: np.ndarray) -> list:
        end, out = start + len(pcm), []
        for at, event in ((0, Begun(0)), (4000, Dropped(0)), (6000, Begun(6000)), (8000, Ended(6000, 8000))):
            if self.said <= at < end:
                out.append(event)
        self.said = end
        return out

    def close(self) -> list:
        return []


@pytest.mark.parametrize("engine", ["Scripted", "Streaming"])
async def test_what_was_taken_back_gets_no_number_and_no_text(room, track, engine: str) -> None:
    house = room(engine)
    line = track(pcm=np.full(12_000, 5, np.int16))
    listener = house.speech.listen(line)
    listener.segmenter = Turncoat()
    async with house.running() as speech:
        for upto in range(800, 12_001, 800):
            listener.advance(upto)
            await house_turn(speech)
        listener.close(12_000)
        assert await speech.settled("", 60)
    (utterance,) = line.of(ev.Utterance)
    assert (utterance.start, utterance.stop) == (6000, 8000)
    (said,) = line.of(ev.Transcribed)
    assert said.utterance == utterance.utterance
    assert line.of(ev.Untranscribed) == []


async def house_turn(speech) -> None:
    """Let listeners and workers do what they can do now."""
    import asyncio

    for _ in range(20):
        await asyncio.sleep(0)
