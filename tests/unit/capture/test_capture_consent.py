"""What of a party without consent is on the disk: nothing, in whatever file, plain or encrypted.

What is looked for is white noise of a seed of its own. Where it must not be its correlation peak is at most 0.06; the same
search on what was recorded finds it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vcond.call import events as ev
from vcond.call.state import fold
from vcond.journal import Store
from vcond.policy.consent import Terms
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.testing.sounds import find

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "peers" / "sounds"))
from heard import GONE, marker, peak, stored

RATE = 8000


def kept(journal, file: str) -> np.ndarray:
    """All samples of a file."""
    return journal.read(file, 0, max(journal.length(file), 4 * RATE))


class Talk:
    """A call of two parties, each of whom says noise of a seed of its own."""

    def __init__(self, house, terms: Terms | None) -> None:
        self.house, self.terms, self.seconds = house, terms, 0.0
        house.registry.terms_of_call = lambda _: self.terms
        self.call = house.host.call("k", at=house.now(0))
        self.noise = [marker(1, 12), marker(2, 12)]
        self.tracks = []
        for key in ("a", "b"):
            party = self.call.party(key, at=house.at(0), who=ev.PartyInfo(name=key.upper()))
            self.tracks.append(self.call.track(party, at=house.at(0), codec=Codec.L16, rate=RATE, clock=ArrivalClock()))

    def speak(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            first = round(self.seconds * RATE)
            self.seconds = round(self.seconds + 0.02, 2)
            now = self.house.now(self.seconds)
            for track, noise in zip(self.tracks, self.noise, strict=True):
                track.write(noise[first : first + 160].astype("<i2").tobytes(), arrived=now)
            self.house.registry.tick(now)

    def say(self, party: int, state: str, **more) -> None:
        self.call.emit(ev.Consent(at=self.house.at(self.seconds), party=party, state=state, how="operator", **more))

    async def on_disk(self) -> list[float]:
        """How well each voice is found in what the journal gives, and in the files where they are not encrypted."""
        await self.call.journal.flush()
        raw = b"" if self.house.disk.__class__.__name__ == "EncryptedFiles" else stored(self.house.root)
        found = []
        for index, noise in enumerate(self.noise):
            said = noise[: round(min(self.seconds, 4) * RATE)]
            read = [kept(self.call.journal, track.file).tobytes() for track in self.call.state.tracks]
            found.append(max(peak(said, blob) for blob in (*read, raw, b"")))
            assert index < 2
        return found


async def test_without_a_rule_the_search_finds_everybody(house):
    talk = Talk(house, None)
    talk.speak(4)
    assert min(await talk.on_disk()) > 0.9


@pytest.mark.parametrize("until", ["nothing", "buffer"])
async def test_of_a_party_that_did_not_agree_nothing_is_on_the_disk_nor_told_to_speech(house, until):
    talk = Talk(house, Terms(mode="ask", until_granted=until))
    talk.say(1, "granted")
    talk.speak(4)
    first, second = await talk.on_disk()
    assert first <= GONE
    assert second > 0.9
    assert {listener.source.party for listener in house.speech.listeners} == {1}
    talk.call.end(at=house.at(4))
    first, second = await talk.on_disk()
    assert first <= GONE


async def test_what_was_buffered_is_as_if_it_had_been_recorded_and_is_heard_by_speech(house):
    talk = Talk(house, Terms(mode="ask", until_granted="buffer"))
    talk.say(1, "granted")
    talk.speak(4)
    assert (await talk.on_disk())[0] <= GONE
    talk.say(0, "granted")
    talk.speak(1)
    talk.call.end(at=house.at(5))
    assert min(await talk.on_disk()) > 0.9
    begun = {listener.source.party: (listener.start, listener.upto) for listener in house.speech.listeners}
    assert begun[0] == begun[1]
    states = [{kind.value for _, _, kind in track.spans} for track in talk.call.state.tracks]
    assert states == [{"received"}, {"received"}]


@pytest.mark.parametrize(
    "terms", [None, Terms(mode="ask", until_granted="keep"), Terms(mode="announce", until_granted="keep")]
)
async def test_a_refusal_takes_what_was_kept_off_the_disk(house, terms):
    talk = Talk(house, terms)
    talk.speak(3)
    await talk.call.journal.flush()
    talk.call.emit(ev.Dtmf(at=house.at(3), party=0, button="7"))
    track = talk.call.state.tracks[0]
    number = talk.call.next_utterance()
    talk.tracks[0].emit(ev.Utterance(at=house.at(3), utterance=number, track=0, start=0, stop=2 * RATE))
    said = ev.Transcribed(at=house.at(3), utterance=number, engine="e", model="m", text="zanzibar secret")
    talk.tracks[0].emit(said)
    waiting = talk.call.next_utterance()
    talk.tracks[0].emit(ev.Utterance(at=house.at(3), utterance=waiting, track=0, start=2 * RATE, stop=3 * RATE))
    talk.say(0, "denied")
    talk.speak(1)
    first, second = await talk.on_disk()
    assert first <= GONE
    assert second > 0.9
    assert 0 in house.speech.forgotten
    assert b"zanzibar" not in stored(house.root)
    assert talk.call.state.speech[number].transcript is None
    assert {speech.failed for speech in talk.call.state.speech.values()} == {"no-consent"}
    talk.tracks[0].emit(ev.Transcribed(at=house.at(4), utterance=waiting, engine="e", model="m", text="zanzibar again"))
    assert talk.call.state.speech[waiting].transcript is None
    assert not any(moment.button == "7" for moment in talk.call.state.history)
    talk.call.end(at=house.at(4))
    assert track.file == "0.pcm"
    await talk.call.journal.flush()
    assert fold(talk.call.journal.events) == talk.call.state
    await house.store.close()
    again = Store(house.root, files=house.disk)
    (journal,) = again.recover()
    assert fold(journal.events) == talk.call.state
    assert not journal.damage
    await again.close()


async def test_a_refusal_before_anything_was_written_leaves_a_log_that_can_be_read(house):
    """The old log is in hand, or waits, when another takes its place."""
    talk = Talk(house, None)
    for round_ in range(20):
        talk.call.emit(ev.Dtmf(at=house.at(0), party=0, button="4"))
        talk.call.emit(ev.Tagged(at=house.at(0), name=f"t{round_}", value="x" * round_ * 50))
        talk.say(0, "denied")
        talk.call.emit(ev.Tagged(at=house.at(0), name="after", value=str(round_)))
        talk.say(0, "granted")
        if round_ % 3 == 0:
            await talk.call.journal.flush()
    await house.store.close()
    again = Store(house.root, files=house.disk)
    (journal,) = again.recover()
    assert not journal.damage
    assert [ev.encode(event) for event in journal.events] == [ev.encode(event) for event in talk.call.journal.events]
    assert fold(journal.events) == talk.call.state
    await again.close()


async def test_what_was_agreed_to_again_after_a_refusal_is_recorded_from_then_on(house):
    talk = Talk(house, None)
    talk.speak(2)
    talk.say(0, "denied")
    talk.speak(2)
    talk.say(0, "granted")
    talk.speak(4)
    await talk.call.journal.flush()
    pcm = kept(talk.call.journal, "0.pcm")
    assert not pcm[: 4 * RATE - 200].any()
    assert find(talk.noise[0][4 * RATE : 8 * RATE], pcm)[0] > 0.9


async def test_texts_alone_may_be_refused_and_reach_no_listener(house):
    talk = Talk(house, Terms(mode="ask", purposes=("transcription",)))
    talk.say(1, "granted")
    talk.speak(4)
    assert min(await talk.on_disk()) > 0.9
    assert {listener.source.party for listener in house.speech.listeners} == {1}
    talk.say(0, "granted")
    talk.speak(1)
    starts = [listener.start for listener in house.speech.listeners if listener.source.party == 0]
    assert starts
    assert starts[0] >= 4 * RATE - 400


async def test_a_restart_keeps_the_rule_and_what_everybody_said_and_has_lost_the_buffer(house):
    talk = Talk(house, Terms(mode="ask", until_granted="buffer"))
    talk.say(1, "granted")
    talk.speak(3)
    house.registry.interrupt_all("stop")
    await house.store.close()
    house.open()
    house.registry.terms_of_call = lambda _: talk.terms
    for journal in house.store.recover():
        house.registry.recovery.take_back(journal, house.at(3))
    call = house.host.call("k", at=house.now(3))
    assert [call.state.consents.state_of(party, "recording") for party in (0, 1)] == ["unknown", "granted"]
    call.emit(ev.Consent(at=house.at(3), party=0, state="granted"))
    call.end(at=house.now(4))
    await call.journal.flush()
    assert not kept(call.journal, "0.pcm").any()


async def test_a_refusal_reaches_what_an_earlier_run_wrote(house):
    talk = Talk(house, None)
    talk.speak(3)
    await talk.call.journal.flush()
    house.registry.interrupt_all("stop")
    await house.store.close()
    house.open()
    for journal in house.store.recover():
        house.registry.recovery.take_back(journal, house.at(3))
    talk.call = house.host.call("k", at=house.now(3))
    talk.call.emit(ev.Consent(at=house.at(3), party=0, state="denied"))
    first, second = await talk.on_disk()
    assert first <= GONE
    assert second > 0.9


async def test_words_are_consent_with_their_place(house):
    talk = Talk(
        house,
        Terms(mode="ask", until_granted="keep", words_granted={"en": ("yes you may",)}, words_denied={"en": ("no",)}),
    )
    talk.speak(4)
    for track, text in enumerate(("Yes, you may.", "no thanks")):
        number = talk.call.next_utterance()
        heard = ev.Utterance(at=house.at(4), utterance=number, track=track, start=2 * RATE, stop=3 * RATE)
        talk.tracks[track].emit(heard)
        said = ev.Transcribed(at=house.at(4), utterance=number, engine="e", model="m", text=text, language="en")
        talk.tracks[track].emit(said)
    found = [(one.party, one.state, one.how, one.at) for one in talk.call.state.consents.said]
    assert found == [(0, "granted", "words", house.at(2)), (1, "denied", "words", house.at(2))]
    first, second = await talk.on_disk()
    assert first > 0.9
    assert second <= GONE


async def test_a_refusal_takes_what_was_compressed_of_the_call(house):
    talk = Talk(house, None)
    talk.speak(1)
    await talk.call.journal.flush()
    talk.call.journal.pieces.put("one", b"compressed")
    assert talk.call.journal.pieces.get("one") == b"compressed"
    being_made = talk.call.journal.pieces.until_erased()
    talk.say(0, "denied")
    await talk.call.journal.flush()
    assert talk.call.journal.pieces.get("one") is None
    being_made.put("two", b"compressed, of what was read before")
    assert talk.call.journal.pieces.get("two") is None
    talk.call.journal.pieces.until_erased().put("three", b"compressed since")
    assert talk.call.journal.pieces.get("three") == b"compressed since"


async def test_what_is_buffered_of_all_calls_is_bounded_and_beyond_it_nothing_more_is_kept(house, capsys):
    talk = Talk(house, Terms(mode="ask", until_granted="buffer"))
    room = house.registry.undecided
    room.most = 50 * (320 + 300)  # a second of one voice
    talk.speak(3)
    assert 0 < room.used <= room.most
    assert capsys.readouterr().out.count("the memory for audio that waits for consent is full") == 1
    for party in (0, 1):
        talk.say(party, "granted")
    assert room.used == 0
    await talk.call.journal.flush()
    read = [kept(talk.call.journal, track.file) for track in talk.call.state.tracks]
    held = [int(np.count_nonzero(one)) / RATE for one in read]
    assert 0.5 < sum(held) <= 1.02
    for noise, one in zip(talk.noise, read, strict=True):  # what is there is the latest, in its place
        last = np.flatnonzero(one)
        assert not len(last) or np.array_equal(one[last[0] : 3 * RATE], noise[last[0] : 3 * RATE])
    spans = talk.call.state.consents.withheld(0, "recording")
    assert spans, "the record says from when on there is any"


async def test_a_call_whose_parties_never_agreed_gives_its_room_back_when_it_ends(house):
    talk = Talk(house, Terms(mode="ask", until_granted="buffer"))
    talk.speak(1)
    assert house.registry.undecided.used > 0
    talk.call.end(at=house.at(1))
    assert house.registry.undecided.used == 0
