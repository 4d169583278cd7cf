"""A redacted recording is transcribed once more: what is still heard is found, what was not looked at is not called clean."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from redaction_kit import RATE, Knows, recording, vcon, voice, words, wtf

from vcond.base.time import EPOCH
from vcond.call.events import Transcribed, Untranscribed, Utterance, Word
from vcond.publish.second_look import SecondLook
from vcond.redaction.redact import redact

SPOKEN = "my number is 4532 0151 1283 0366 thanks a lot"
CARD = Knows({"card": "4532 0151 1283 0366"})


class Speech:
    """Hears in each utterance what it is told, where there is sound; by second of its beginning."""

    def __init__(
        self, hears: dict[int, list[tuple[str, float, float]]], *, settles: bool = True, fails: bool = False
    ) -> None:
        self.hears, self.settles, self.fails = hears, settles, fails
        self.ready = asyncio.Event()
        self.asked: list[tuple[str, int, str, list[Utterance]]] = []
        self.sources: list[Any] = []
        self.forgotten: list[str] = []

    def catch_up(self, source: Any, utterances: Any) -> None:
        self.asked.append((source.call, source.track, source.language, list(utterances)))
        self.sources.append((source, list(utterances)))

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - as speech has it
        for source, utterances in self.sources:
            for one in utterances:
                pcm = source.read(one.start, one.stop)
                assert len(pcm) == one.stop - one.start
                if self.fails:
                    source.emit(Untranscribed(at=EPOCH, utterance=one.utterance, reason="too-many"))
                    continue
                heard = [
                    word for word in self.hears.get(source.track, [])
                    if one.start <= word[1] * RATE < one.stop
                    and np.any(source.read(round(word[1] * RATE), round(word[2] * RATE)))
                ]  # fmt: skip
                made = [
                    Word(start=round(a * RATE), stop=round(b * RATE), text=text, confidence=0.9) for text, a, b in heard
                ]
                source.emit(
                    Transcribed(
                        at=EPOCH,
                        utterance=one.utterance,
                        engine="e",
                        model="m",
                        text=" ".join(w.text for w in made),
                        words=made,
                    )
                )
        return self.settles

    def forget(self, call: str) -> int:
        self.forgotten.append(call)
        return 0


def call(heard: str = SPOKEN) -> dict[str, Any]:
    said = wtf((1, words(1.0, "what is your card number please")), (0, words(5.0, heard)))
    return vcon(dialog=[recording([voice(20, 1), voice(20, 2)])], analysis=[said])


async def test_what_was_silenced_is_not_heard_again():
    made = redact(call(), [CARD])
    speech = Speech({0: words(5.0, SPOKEN)})
    assert await SecondLook(speech, [CARD])(made) == []
    names = {asked[0] for asked in speech.asked}
    assert names == set(speech.forgotten) == {f"second-look-{made.document['uuid']}"}
    assert [asked[2] for asked in speech.asked] == ["en-US", "en-US"]
    (only,) = speech.asked[0][3]
    assert (only.start, only.stop) == (round(4.5 * RATE), int((8.92 + 0.05 + 0.5) * RATE))


async def test_what_the_first_engine_heard_wrong_is_found_and_goes():
    made = redact(call("my number is for free and too thanks a lot"), [CARD])
    speech = Speech({0: words(5.0, SPOKEN)})
    (place,) = await SecondLook(speech, [CARD])(made) or []
    assert (place.kind, place.dialog, place.party) == ("card", 0, 0)
    assert place.start < 6.2
    assert place.end > 7.72
    again = redact(call("my number is for free and too thanks a lot"), [CARD], also=[place])
    assert await SecondLook(Speech({0: words(5.0, SPOKEN)}), [CARD])(again) == []
    assert again.document["analysis"][0]["body"]["segments"][1]["text"].count("__REDACTED_CARD__") == 1
    assert again.report["redactions"][0]["kind"] == "card"


async def test_without_time_or_without_every_text_it_did_not_look():
    made = redact(call(), [CARD])
    late = Speech({}, settles=False)
    look = SecondLook(late, [CARD])
    assert await look(made) is None
    assert late.forgotten
    asked = len(late.asked)
    assert await look(made) is None
    assert len(late.asked) == asked, "who had no time for one has none for the next, and deliveries must not queue up"
    assert await SecondLook(Speech({}, fails=True), [CARD])(made) is None


async def test_long_turns_are_looked_at_in_parts_that_overlap():
    long = wtf((0, words(1.0, " ".join(["and"] * 130))))
    made = redact(vcon(dialog=[recording([voice(60, 1), voice(60, 2)])], analysis=[long]), [CARD])
    speech = Speech({})
    assert await SecondLook(speech, [CARD])(made) == []
    parts = [(one.start / RATE, one.stop / RATE) for one in speech.asked[0][3]]
    assert parts[0] == (0.5, 20.5)
    assert parts[1][0] == 18.5
    assert all(b - a <= 20.0 for a, b in parts)
    assert parts[-1][1] > 53


async def test_without_sound_there_is_nothing_to_look_at():
    speech = Speech({})
    assert await SecondLook(speech, [CARD])(redact(vcon(dialog=[]), [CARD])) == []
    assert speech.asked == []
