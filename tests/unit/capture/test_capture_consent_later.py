"""Refusals that come when the call is over or after a restart, and a vcond that was killed between the word and its deed."""

from __future__ import annotations

import numpy as np
from test_capture_consent import GONE, RATE, Talk, kept

from vcond.call import events as ev
from vcond.policy.consent import Terms


def spoken(talk: Talk, track: int, text: str) -> None:
    number = talk.call.next_utterance()
    at = talk.house.at(talk.seconds)
    talk.tracks[track].emit(ev.Utterance(at=at, utterance=number, track=track, start=2 * RATE, stop=3 * RATE))
    talk.numbers = number
    said = ev.Transcribed(at=at, utterance=number, engine="e", model="m", text=text, language="en")
    talk.later = lambda: talk.tracks[track].emit(said)


async def test_a_refusal_in_words_counts_when_it_is_read_after_the_call(house):
    talk = Talk(house, Terms(mode="ask", until_granted="keep", words_denied={"en": ("no recording",)}))
    talk.speak(4)
    spoken(talk, 0, "please, no recording")
    talk.call.end(at=house.at(4))
    talk.later()
    first, second = await talk.on_disk()
    assert talk.call.state.consents.state_of(0, "recording") == "denied"
    assert first <= GONE
    assert second > 0.9
    assert b"please" not in b"".join(file.read_bytes() for file in house.root.rglob("*") if file.is_file())
    assert not any("please" in text for one in talk.call.state.consents.said for text in one.evidence.values())


async def reopened(talk: Talk) -> None:
    """It was killed, and is there again."""
    house = talk.house
    await house.store.close()
    house.open()
    house.registry.terms_of_call = lambda _: talk.terms
    for journal in house.store.recover():
        call = house.registry.recovery.take_back(journal, house.at(talk.seconds))
    talk.call = call


async def test_what_a_kill_left_of_who_had_refused_goes_at_the_next_start(house):
    talk = Talk(house, None)
    talk.speak(4)
    talk.call.journal.erase = lambda _: None  # killed before
    talk.call.journal.rewrite = lambda _: None
    spoken(talk, 0, "my secret")
    talk.later()
    talk.say(0, "denied")
    await reopened(talk)
    first, second = await talk.on_disk()
    assert first <= GONE
    assert second > 0.9
    assert not any(isinstance(event, ev.Transcribed) for event in talk.call.journal.events)
    assert {listener.source.party for listener in house.speech.listeners[-2:]} == {1}


async def test_after_a_restart_nobody_listens_to_what_may_not_be_transcribed(house):
    talk = Talk(house, Terms(mode="ask", purposes=("transcription",)))
    talk.say(1, "granted")
    talk.speak(4)
    old = list(house.speech.listeners)
    await reopened(talk)
    assert kept(talk.call.journal, "0.pcm").any()
    new = [listener for listener in house.speech.listeners if listener not in old]
    assert {listener.source.party for listener in new} == {1}


async def test_a_refusal_after_a_restart_forgets_what_waits_of_the_earlier_run(house):
    talk = Talk(house, None)
    talk.speak(4)
    await reopened(talk)
    forgotten = []
    house.registry.speech.forget_track = lambda source: forgotten.append(source.party) or 0
    talk.call = house.host.call("k", at=house.now(talk.seconds))
    talk.say(0, "denied")
    assert set(forgotten) == {0}


async def test_a_withdrawal_that_is_told_minutes_late_takes_out_all_since_its_moment(house):
    talk = Talk(house, None)
    talk.noise = [np.ones(100 * RATE, np.int16)] * 2
    talk.speak(90)
    spoken(talk, 0, "after the withdrawal")
    talk.later()
    talk.call.emit(ev.Consent(at=house.at(1.5), party=0, state="withdrawn"))
    await talk.call.journal.flush()
    assert not talk.call.journal.read("0.pcm", round(1.6 * RATE), 90 * RATE).any()
    assert talk.call.journal.read("0.pcm", 0, RATE).any()
    assert talk.call.journal.read("1.pcm", 89 * RATE, 90 * RATE).any()
    assert not any(isinstance(event, ev.Transcribed) for event in talk.call.journal.events)
