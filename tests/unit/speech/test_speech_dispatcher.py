from __future__ import annotations

import asyncio
import os
import signal

import numpy as np
import pytest

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.call import events as ev
from vcond.speech.workers import pool

CRASH, HANG, RAISE, NOISY, GROW = 901, 902, 903, 906, 907


def restarts(reason: str) -> float:
    return metrics.stt_worker_restarts_total.labels(reason)._value.get()


def texts(track) -> list[str]:
    return [event.text for event in track.of(ev.Transcribed)]


async def test_a_live_track_becomes_utterances_and_then_texts(room, track) -> None:
    house, line = room(), track()
    line.pcm = np.repeat(np.array([0, 5, 6, 0, 7, 0], np.int16), 800)
    listener = house.listen(line)
    listener.advance(2400)
    listener.advance(4000)
    listener.close(4800)
    house.clock.at = line.at(2400 + 8000)
    await house.transcribe("call")
    assert [(u.utterance, u.track, u.start, u.stop) for u in line.of(ev.Utterance)] == [
        (0, 0, 800, 2400),
        (1, 0, 3200, 4000),
    ]
    assert [u.at for u in line.of(ev.Utterance)] == [line.at(2400), line.at(4000)]
    first, second = line.of(ev.Transcribed)
    assert (first.utterance, first.text, first.engine, first.model) == (0, "5 6", "scripted", "whole")
    assert [(w.start, w.stop, w.text, w.confidence) for w in first.words] == [
        (800, 1600, "5", 0.9),
        (1600, 2400, "6", 0.9),
    ]
    assert (first.language, first.confidence, first.lag_ms) == ("en", 0.9, 1000)
    assert (second.text, second.words[0].start) == ("7", 3200)
    assert house.speech.status()["lag"] == second.lag_ms / 1000
    house.clock.at += 60 * 10**9
    assert house.speech.status()["lag"] is None, "that was a minute ago"


async def test_audio_is_read_only_where_it_is_needed_and_only_when_it_is_sent(room, track) -> None:
    house, line = room(), track()
    waiting = line.say(1, 2)
    house.speech.catch_up(line, waiting)
    assert line.reads == []
    await house.transcribe()
    assert line.reads == [(0, 800), (800, 1600)]


async def test_nothing_understood_is_a_text_too(room, track) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(0))
    await house.transcribe()
    assert texts(line) == [""]
    assert line.of(ev.Untranscribed) == []


async def test_calls_take_turns(room, track) -> None:
    house, long, short = room(), track("long"), track("short")
    house.speech.catch_up(long, long.say(1, 2, 3, 4))
    house.speech.catch_up(short, short.say(11, 12))
    await house.transcribe()
    assert house.log("final") == ["1", "11", "2", "12", "3", "4"]


async def test_live_goes_before_what_was_left_over(room, track) -> None:
    house, old, live = room(), track("old"), track("live")
    house.speech.catch_up(old, old.say(1, 2))
    live.pcm = np.repeat(np.array([21, 0, 22, 0], np.int16), 800)
    listener = house.listen(live)
    listener.close(3200)
    cut = asyncio.create_task(house.speech._segmenting.run())
    await live.until(lambda: len(live.of(ev.Utterance)) == 2)
    cut.cancel()
    await house.transcribe()
    assert house.log("final") == ["21", "22", "1", "2"]


async def test_partials_are_decoded_anew_each_second_when_nothing_waits(room, track) -> None:
    house, line = room(), track()
    line.pcm = np.repeat(np.array([1, 2, 3, 0], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        for upto in (8000, 16000):
            listener.advance(upto)
            await line.until(lambda upto=upto: bool(line.partials) and line.partials[-1][1] == upto)
        listener.close(32000)
        assert await speech.settled("call", 60)
    assert line.partials[:2] == [(0, 8000, "1"), (0, 16000, "1 2")]
    assert texts(line) == ["1 2 3"]
    assert house.log("reset")[:2] == ["1", "1 2"]


async def test_no_partials_when_they_are_switched_off(room, track) -> None:
    house, line = room(partials=False), track()
    line.pcm = np.repeat(np.array([1, 2, 0], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(16000)
        listener.close(24000)
        assert await speech.settled("call", 60)
    assert (line.partials, house.log("partial"), texts(line)) == ([], [], ["1 2"])


@pytest.mark.parametrize("engine", ["Scripted", "Streaming"])
async def test_a_machine_that_is_short_gives_up_words_then_texts_and_makes_them_up(room, track, engine) -> None:
    house, plain, late = room(engine), track("plain"), track("late")
    for line in (plain, late):
        line.pcm = np.repeat(np.array([1, 2, 0], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        speech.at_most("finals")
        listener = house.listen(plain)
        listener.advance(16000)
        listener.close(24000)
        assert await speech.settled("plain", 60)
        assert (plain.partials, texts(plain)) == ([], ["1 2"])
        speech.at_most("deferred")
        listener = house.listen(late)
        listener.advance(16000)
        listener.close(24000)
        await late.until(lambda: bool(late.of(ev.Utterance)))
        assert not await speech.settled("late", 0.5), "a worker has nothing else to do, and leaves it"
        assert speech.deferred[0] == 1
        assert (late.partials, texts(late), late.of(ev.Untranscribed)) == ([], [], [])
        speech.at_most("live")
        assert await speech.settled("late", 60)
    assert texts(late) == ["1 2"]


async def test_a_streaming_engine_is_fed_while_it_is_spoken_and_only_once(room, track) -> None:
    house, line = room("Streaming"), track()
    line.pcm = np.repeat(np.array([1, 2, 3, 0], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        for upto in (4000, 16000):
            listener.advance(upto)
            await line.until(lambda upto=upto: bool(line.partials) and line.partials[-1][1] == upto)
        listener.close(32000)
        assert await speech.settled("call", 60)
    assert line.partials == [(0, 4000, "1"), (0, 16000, "1 2")]
    assert len({text for _, _, text in line.partials}) == 2, "what did not change is not shown again"
    assert house.log("fed") == ["4000", "12000", "8000"]
    assert texts(line) == ["1 2 3"]


async def test_a_cut_that_lies_before_what_was_fed_gives_no_word_twice(room, track) -> None:
    house, line = room("Streaming"), track()
    line.pcm = np.repeat(np.array([1, 2], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(16000)
        await line.until(lambda: bool(line.partials))
        speech._utterances.ended(listener, 0, 8000)
        speech._utterances.begun(listener, 8000)
        listener.segmenter.start = 8000
        listener.close(16000)
        assert await speech.settled("call", 60)
    assert texts(line) == ["1", "2"]
    assert house.log("reset") == ["1 2"]


async def test_kill_9_in_the_middle_of_an_utterance_costs_nothing_but_time(room, track, tmp_path) -> None:
    house, line = room(), track()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    house.speech.catch_up(line, line.say(1, HANG, 3))
    before = restarts("crash")
    async with house.running() as speech:
        pid = int(await asyncio.to_thread(fifo.read_text))
        os.kill(pid, signal.SIGKILL)
        assert await speech.settled("call", 60)
    assert texts(line) == ["1", str(HANG), "3"]
    assert restarts("crash") == before + 1


async def test_kill_9_of_an_idle_worker_is_noticed(room, track) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(1))
    before = restarts("crash")
    async with house.running() as speech:
        assert await speech.settled("call", 60)
        speech.ready.clear()
        os.kill(speech.pids[0], signal.SIGKILL)
        await speech.ready.wait()
        speech.catch_up(line, line.say(2))
        assert await speech.settled("call", 60)
    assert texts(line) == ["1", "2"]
    assert restarts("crash") == before + 1


@pytest.mark.usefixtures("slow_machine")
async def test_kill_9_while_a_streaming_utterance_is_open(room, track) -> None:
    house, line = room("Streaming"), track()
    line.pcm = np.repeat(np.array([1, 2, 3, 0], np.int16), 8000)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(8000)
        await line.until(lambda: len(line.partials) == 1)
        os.kill(speech.pids[0], signal.SIGKILL)
        listener.advance(16000)
        await line.until(lambda: len(line.partials) == 2 or line.of(ev.SpeechState))  # a slow machine gives up partials
        listener.close(32000)
        assert await speech.settled("call", 60)
    assert texts(line) == ["1 2 3"]
    assert [(u.start, u.stop) for u in line.of(ev.Utterance)] == [(0, 24000)]


async def test_a_worker_that_hangs_is_killed_and_the_utterance_done_again(room, track, tmp_path) -> None:
    house, line = room(step_seconds=1.0), track()
    (tmp_path / "fifo").write_text("")
    house.speech.catch_up(line, line.say(HANG))
    before = restarts("hang")
    await house.transcribe()
    assert texts(line) == [str(HANG)]
    assert restarts("hang") == before + 1


async def test_an_utterance_that_kills_three_workers_gets_no_text_and_the_next_does(room, track) -> None:
    house, line, other = room(), track("bad"), track("good")
    house.speech.catch_up(line, line.say(CRASH))
    house.speech.catch_up(other, other.say(5))
    await house.transcribe()
    assert [(u.utterance, u.reason) for u in line.of(ev.Untranscribed)] == [(0, "engine-failed")]
    assert texts(line) == []
    assert texts(other) == ["5"]
    assert house.log("crash") == [""] * 3


async def test_an_engine_that_raises_costs_the_utterance_and_not_the_worker(room, track) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(RAISE, 5))
    async with house.running() as speech:
        await speech.ready.wait()
        pids = dict(speech.pids)
        assert await speech.settled("call", 60)
        assert speech.pids == pids
    assert [(u.utterance, u.reason) for u in line.of(ev.Untranscribed)] == [(0, "engine-failed")]
    assert texts(line) == ["5"]


async def test_a_streaming_utterance_that_fails_while_it_is_spoken_says_so_at_its_end(room, track) -> None:
    house, line = room("Streaming"), track()
    line.pcm = np.repeat(np.array([RAISE, 0], np.int16), 8000)
    failures = house.calls(house.speech._pool._work, "failed")
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(4000)
        for _ in range(3):
            await failures.get()
        listener.close(16000)
        assert await speech.settled("call", 60)
    assert [(u.utterance, u.reason) for u in line.of(ev.Untranscribed)] == [(0, "engine-failed")]
    assert [(u.start, u.stop) for u in line.of(ev.Utterance)] == [(0, 8000)]


async def test_without_an_engine_utterances_are_kept_and_say_that_there_was_none(room, track) -> None:
    house, line = room(""), track()
    line.pcm = np.repeat(np.array([5, 0], np.int16), 800)
    async with house.running() as speech:
        await speech.ready.wait()
        house.listen(line).close(1600)
        assert await speech.settled("call", 60)
    assert [type(event).__name__ for event in line.events] == ["Utterance", "Untranscribed"]
    assert line.of(ev.Untranscribed)[0].reason == "no-engine"


async def test_a_language_that_the_engine_does_not_speak_is_not_guessed_at(room, track) -> None:
    house, german, swiss, english = room(), track("de"), track("ch"), track("en")
    german.language, english.language = "de-CH", "en-GB"
    for line in (german, english):
        house.speech.catch_up(line, line.say(1))
    async with house.running() as speech:
        assert await speech.settled("", 60)
        swiss.language = "de-CH"
        speech.catch_up(swiss, swiss.say(1))
        assert await speech.settled("", 60)
    assert [line.of(ev.Untranscribed)[0].reason for line in (german, swiss)] == ["language", "language"]
    assert texts(english) == ["1"]


async def test_every_utterance_is_heard_as_its_call_wants_it_when_it_begins(room, track) -> None:
    house, line = room("Streaming", language="en", vocabulary=["yes", "no"]), track()
    line.pcm = np.repeat(np.array([5, 0, 6, 0, 7, 0], np.int16), 1600)
    async with house.running() as speech:
        await speech.ready.wait()
        listener = house.listen(line)
        listener.advance(1600)
        await line.until(lambda: line.partials)
        line.language, line.vocabulary = "de", ("ja", "nein")
        listener.advance(6400)
        await line.until(lambda: len(line.of(ev.Transcribed)) == 2)
        line.vocabulary = ()
        listener.close(9600)
        assert await speech.settled("call", 60)
    assert house.log("hint") == ["8000 en yes,no", "8000 de ja,nein", "8000 de "]
    assert texts(line) == ["5", "6", "7"]


async def test_a_queue_of_one_call_is_bounded(room, track) -> None:
    house, line = room(max_utterances=2), track()
    house.speech.catch_up(line, line.say(1, 2, 3))
    await house.transcribe()
    assert texts(line) == ["1", "2"]
    assert [(u.utterance, u.reason) for u in line.of(ev.Untranscribed)] == [(2, "too-many")]


async def test_settled_waits_for_one_call_and_gives_up_in_time(room, track) -> None:
    house, open_line, done = room(), track("open"), track("done")
    house.listen(open_line)
    house.speech.catch_up(done, done.say(1))
    assert await house.speech.settled("nobody", 0)
    assert not await house.speech.settled("done", 0)
    async with house.running() as speech:
        assert await speech.settled("done", 60)
        assert not await speech.settled("open", 0)
        assert not await speech.settled("", 0)


async def test_a_call_that_is_forgotten_is_not_transcribed(room, track, tmp_path) -> None:
    house, gone, kept = room(), track("gone"), track("kept")
    os.mkfifo(tmp_path / "fifo")
    house.speech.catch_up(gone, gone.say(HANG, 2, 3))
    house.speech.catch_up(kept, kept.say(5))
    house.listen(gone)
    async with house.running() as speech:
        pid = int(await asyncio.to_thread((tmp_path / "fifo").read_text))
        assert speech.forget("gone") == 2
        os.kill(pid, signal.SIGKILL)
        assert await speech.settled("", 60)
    assert gone.events == []
    assert texts(kept) == ["5"]


async def test_forgetting_closes_what_a_streaming_worker_has_open(room, track) -> None:
    house, gone, kept = room("Streaming", streams=1), track("gone"), track("kept")
    gone.pcm = np.full(8000, 1, np.int16)
    async with house.running() as speech:
        await speech.ready.wait()
        house.listen(gone).advance(8000)
        await gone.until(lambda: bool(gone.partials))
        speech.forget("gone")
        speech.catch_up(kept, kept.say(5))
        assert await speech.settled("", 60)
    assert house.log("reset") == ["1"]
    assert (gone.events, texts(kept)) == ([], ["5"])


async def test_a_worker_that_grew_too_large_is_replaced(room, track) -> None:
    house, line = room(memory_mb=100), track()
    house.speech.catch_up(line, line.say(GROW, GROW, GROW, 5))
    before = restarts("memory")
    await house.transcribe()
    assert texts(line) == [str(GROW)] * 3 + ["5"]
    assert restarts("memory") > before


async def test_audio_that_cannot_be_read_back_is_said_and_holds_nothing_up(room, track) -> None:
    house, bad, good = room(), track("bad"), track("good")

    def broken(start: int, stop: int) -> np.ndarray:
        raise StorageError("disk gone")

    waiting = bad.say(1)
    bad.read = broken
    house.speech.catch_up(bad, waiting)
    house.speech.catch_up(good, good.say(2))
    await house.transcribe()
    assert [u.reason for u in bad.of(ev.Untranscribed)] == ["audio-unreadable"]
    assert texts(good) == ["2"]


async def test_an_engine_that_cannot_be_loaded_says_why_and_what_to_do(room, track) -> None:
    house, line = room("Broken"), track()
    house.speech.catch_up(line, line.say(1))
    deaths = house.calls(house.speech._pool, "_died")
    async with house.running() as speech:
        await deaths.get()
        await deaths.get()
        assert speech.trouble == "speech.model: the model is cracked; glue it"
        assert not speech.ready.is_set()
        assert not await speech.settled("call", 0)


async def test_workers_that_always_die_are_said_to_be_trouble(room, track, monkeypatch) -> None:
    monkeypatch.setattr(pool, "WORRYING_PAUSE", 0.02)
    house = room("DiesAtStart")
    deaths = house.calls(house.speech._pool, "_died")
    async with house.running() as speech:
        await deaths.get()
        assert speech.trouble == ""
        await deaths.get()
        assert "keep crashing (start)" in speech.trouble


async def test_a_rate_that_cannot_be_listened_to_is_said_in_the_record(room, track) -> None:
    house, line = room(), track()
    line.rate = 96_000
    line.pcm = np.ones(11025, np.int16)
    async with house.running() as speech:
        listener = speech.listen(line)
        listener.advance(5000)
        listener.close(11025)
        assert await speech.settled("call", 60)
    assert [event.code for event in line.of(ev.Warned)] == ["not-transcribed"]


async def test_nothing_said_reaches_a_log(room, track, capfd) -> None:
    house, line = room(), track()
    house.speech.catch_up(line, line.say(RAISE, NOISY, 12345))
    await house.transcribe()
    out = "".join(capfd.readouterr())
    assert "engine.py" in out
    assert "secret" not in out
    assert "12345" not in out
    assert "what was said" not in out


async def test_workers_are_gone_when_it_stops(room, track) -> None:
    house, line = room(workers=2), track()
    house.speech.catch_up(line, line.say(1, 2))
    async with house.running() as speech:
        assert await speech.settled("call", 60)
        pids = list(speech.pids.values())
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
