"""Calls written by hand: the events of a journal and its audio, for golden vCons and for the tests of the room.

Each scenario is a function that returns events and audio by track. Times are seconds from the call's zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Cause, Disposition
from vcond.call.events import SpanKind

ZERO = 1_795_424_400 * SECOND
"""2026-11-23T09:00:00Z."""
UUID = "019f155a-5131-80ec-832a-bc92ac6830cd"
RATE = 8000

CALLER = ev.PartyInfo(tel="+15551230001", name="Ada Byron", validation="none", type="person", role="customer")
AGENT = ev.PartyInfo(tel="1001", name="Agent Smith", uuid="agent-1001", type="person", role="agent")
SECOND_AGENT = ev.PartyInfo(sip="1002@pbx.example.com", uuid="agent-1002", type="person", role="agent")


@dataclass
class Script:
    """A journal in the making."""

    seconds: float
    events: list[ev.Event] = field(default_factory=list)
    audio: dict[int, NDArray[np.int16]] = field(default_factory=dict)
    rate: int = RATE
    codec: str = "PCMU"
    _utterances: int = 0

    def at(self, seconds: float) -> Instant:
        return Instant(ZERO + round(seconds * SECOND))

    def add(self, *events: ev.Event) -> None:
        self.events.extend(events)

    def open(self, *, direction: ev.Direction = "inbound", adapter: str = "asterisk") -> None:
        self.add(
            ev.CallOpened(
                at=self.at(0), call=UUID, adapter=adapter, key="1795424400.17", direction=direction,
                recorder="edge-1.pbx.example.com", software="vcond 0.1.0",
            )
        )  # fmt: skip

    def joins(self, party: int, at: float, who: ev.PartyInfo) -> None:
        self.add(ev.PartyJoined(at=self.at(at), party=party, key=f"leg-{party}", who=who))

    def track(self, party: int, at: float) -> int:
        track = sum(isinstance(event, ev.TrackOpened) for event in self.events)
        self.add(ev.TrackOpened(at=self.at(at), track=track, party=party, codec=self.codec, rate=self.rate))
        self.audio[track] = np.zeros(round(self.seconds * self.rate), np.int16)
        return track

    def hears(self, track: int, start: float, stop: float, kind: SpanKind = SpanKind.RECEIVED) -> None:
        """A stretch of a track; a tone of the track's own where it was received."""
        a, b = round(start * self.rate), round(stop * self.rate)
        self.add(ev.Span(at=self.at(stop), track=track, start=a, stop=b, kind=kind))
        if kind is SpanKind.RECEIVED:
            turn = np.arange(a, b) * ((track * 7 + 11) * 20 % 1500 + 200) / self.rate
            # a triangle wave from integers, so that no platform's sine changes a byte
            self.audio[track][a:b] = (np.abs((turn % 1.0) * 4 - 2) * 4000 - 4000).astype(np.int16) & -64

    def says(self, track: int, start: float, text: str, *, each: float = 0.4, engine: str = "vosk") -> float:
        """An utterance with its text, ``each`` seconds a word; returns its end."""
        words = []
        for index, word in enumerate(text.split()):
            begin = start + index * each
            words.append(
                ev.Word(start=round(begin * self.rate), stop=round((begin + each * 0.8) * self.rate), text=word,
                        confidence=round(0.95 - 0.05 * (index % 3), 2))
            )  # fmt: skip
        stop = start + len(words) * each
        self.add(
            ev.Utterance(at=self.at(stop), utterance=self._utterances, track=track,
                         start=round(start * self.rate), stop=round(stop * self.rate)),
            ev.Transcribed(at=self.at(stop + 0.3), utterance=self._utterances, engine=engine,
                           model="vosk-model-small-en-us-0.15", text=text, words=words, language="en-US",
                           confidence=0.9, took_ms=120, lag_ms=300),
        )  # fmt: skip
        self._utterances += 1
        return stop

    def mumbles(self, track: int, start: float, stop: float, reason: str = "") -> None:
        """An utterance without a text, for a reason or because it still waits."""
        self.add(
            ev.Utterance(at=self.at(stop), utterance=self._utterances, track=track,
                         start=round(start * self.rate), stop=round(stop * self.rate))
        )  # fmt: skip
        if reason:
            self.add(ev.Untranscribed(at=self.at(stop), utterance=self._utterances, reason=reason))
        self._utterances += 1

    def leaves(self, party: int, at: float) -> None:
        self.add(ev.PartyLeft(at=self.at(at), party=party, cause=Cause(q850=16)))

    def ends(
        self, at: float, *, cause: Cause | None = None, disposition: Disposition | None = None, by: int | None = None
    ) -> None:
        self.add(ev.CallEnded(at=self.at(at), cause=cause or Cause(q850=16), disposition=disposition, by=by))


def two(seconds: float = 4.0) -> Script:
    """Two parties, answered after 0.5 s, a track each from then on."""
    script = Script(seconds)
    script.open()
    script.joins(0, 0, CALLER)
    script.add(ev.CallAttribute(at=script.at(0), name="sip_call_id", value="a84b4c76e66710@pc33.example.com", party=0))
    script.add(ev.CallAttribute(at=script.at(0), name="speech_engine", value="vosk"))
    script.add(ev.CallAttribute(at=script.at(0), name="speech_model", value="vosk-model-small-en-us-0.15"))
    script.joins(1, 0.2, AGENT)
    script.add(ev.Answered(at=script.at(0.5)))
    script.track(0, 0.5)
    script.track(1, 0.5)
    return script


def finish(script: Script, parties: Iterable[int]) -> Script:
    for party in parties:
        script.leaves(party, script.seconds)
    script.ends(script.seconds, by=0)
    return script


def plain() -> Script:
    script = two()
    for track in (0, 1):
        script.hears(track, 0.5, 4.0)
    script.says(0, 0.8, "hello is this support")
    script.says(1, 2.5, "yes how can i help", each=0.2)
    script.add(ev.CallAttribute(at=script.at(0), name="linkedid", value="1795424400.17"))
    script.add(ev.CallAttribute(at=script.at(0), name="queue", value="support"))
    script.add(ev.CallAttribute(at=script.at(0), name="channel", value="PJSIP/1001-00000001", party=1))
    script.add(ev.Tagged(at=script.at(3), name="campaign", value="autumn"))
    return finish(script, (0, 1))


def hold() -> Script:
    script = two(5.0)
    script.hears(0, 0.5, 5.0)
    script.hears(1, 0.5, 2.0)
    script.add(ev.Held(at=script.at(2), party=1))
    script.hears(1, 2.0, 3.5, SpanKind.HELD)
    script.add(ev.Retrieved(at=script.at(3.5), party=1))
    script.hears(1, 3.5, 5.0)
    script.says(1, 0.7, "one moment")
    script.says(1, 3.6, "thank you")
    return finish(script, (0, 1))


def dtmf() -> Script:
    script = two()
    for track in (0, 1):
        script.hears(track, 0.5, 4.0)
    script.add(ev.Dtmf(at=script.at(1.5), party=0, button="5", ms=120))
    script.add(ev.Dtmf(at=script.at(2.0), party=0, button="#", ms=80))
    return finish(script, (0, 1))


def blind_transfer() -> Script:
    script = two(6.0)
    script.hears(0, 0.5, 6.0)
    script.hears(1, 0.5, 2.5)
    script.says(0, 0.8, "sales please")
    script.joins(2, 2.6, SECOND_AGENT)
    script.add(ev.Transferred(at=script.at(2.5), kind="blind", transferor=1, transferee=0, target=2))
    script.leaves(1, 2.5)
    track = script.track(2, 3.0)
    script.hears(track, 3.0, 6.0)
    script.says(track, 3.2, "sales speaking")
    return finish(script, (0, 2))


def attended_transfer() -> Script:
    script = two(7.0)
    script.hears(0, 0.5, 7.0)
    script.hears(1, 0.5, 4.0)
    script.add(ev.Held(at=script.at(2), party=1))
    script.joins(2, 2.2, SECOND_AGENT)
    track = script.track(2, 2.5)
    script.hears(track, 2.5, 7.0)
    script.says(1, 2.6, "a caller for you", each=0.2)
    script.add(ev.Transferred(at=script.at(4), kind="attended", transferor=1, transferee=0, target=2))
    script.leaves(1, 4.0)
    script.says(track, 4.5, "hello there")
    return finish(script, (0, 2))


def failed_transfer() -> Script:
    script = two()
    for track in (0, 1):
        script.hears(track, 0.5, 4.0)
    script.add(ev.Transferred(at=script.at(2), kind="blind", transferor=1, transferee=0, outcome="failed", to="1999"))
    return finish(script, (0, 1))


def conference() -> Script:
    script = two(5.0)
    script.hears(0, 0.5, 5.0)
    script.hears(1, 0.5, 5.0)
    script.joins(2, 1.0, ev.PartyInfo(tel="+15551230003", type="person"))
    script.hears(script.track(2, 1.0), 1.0, 5.0)
    script.joins(3, 2.0, ev.PartyInfo(tel="anonymous"))
    script.hears(script.track(3, 2.0), 2.0, 4.0)
    script.add(ev.Muted(at=script.at(2.5), party=2), ev.Unmuted(at=script.at(3.5), party=2))
    script.leaves(3, 4.0)
    script.says(0, 0.7, "welcome all")
    script.says(2, 1.2, "hi")
    script.says(3, 2.1, "good morning")
    return finish(script, (0, 1, 2))


def _attempt(cause: Cause, disposition: Disposition | None, seconds: float = 18.0) -> Script:
    script = Script(seconds)
    script.open()
    script.joins(0, 0, CALLER)
    script.joins(1, 0.4, AGENT)
    script.ends(seconds, cause=cause, disposition=disposition)
    return script


def no_answer() -> Script:
    return _attempt(Cause(q850=19, text="NOANSWER"), Disposition.NO_ANSWER)


def busy() -> Script:
    return _attempt(Cause(q850=17, sip=486), None, 1.2)


def cancelled() -> Script:
    return _attempt(Cause(q850=16, sip=487, text="CANCEL"), None, 6.0)


def congestion() -> Script:
    return _attempt(Cause(q850=34), None, 0.3)


def failed() -> Script:
    return _attempt(Cause(q850=1), None, 0.2)


def voicemail() -> Script:
    return _attempt(Cause(q850=16), Disposition.VOICEMAIL_NO_MESSAGE, 25.0)


def loss() -> Script:
    script = two()
    script.hears(0, 0.5, 4.0)
    script.hears(1, 0.5, 1.5)
    script.hears(1, 1.5, 1.74, SpanKind.LOST)
    script.hears(1, 1.74, 4.0)
    script.says(0, 0.8, "can you hear me")
    script.mumbles(1, 1.8, 2.4, "deadline")
    script.add(ev.Warned(at=script.at(1.8), code="loss", text="packets lost on a leg"))
    return finish(script, (0, 1))


def crash() -> Script:
    script = two(6.0)
    for track in (0, 1):
        script.hears(track, 0.5, 2.0)
    script.says(0, 0.8, "before the crash", each=0.3)
    script.add(ev.Interrupted(at=script.at(2), reason="crash"), ev.Recovered(at=script.at(4)))
    for party in (0, 1):
        script.hears(script.track(party, 4.0), 4.0, 6.0)
    script.says(2, 4.2, "after it")
    return finish(script, (0, 1))


def pause() -> Script:
    script = two(6.0)
    for track in (0, 1):
        script.hears(track, 0.5, 6.0)
    script.add(ev.Dtmf(at=script.at(1.0), party=0, button="1", ms=100))
    script.says(0, 1.2, "my card number is four one one one", each=0.3)
    script.add(ev.RecordingPaused(at=script.at(2.4), reason="payment", by="agent"))
    script.add(ev.Dtmf(at=script.at(3.0), party=0, button="4", ms=100))
    script.add(ev.RecordingResumed(at=script.at(4.5), by="agent"))
    script.says(1, 4.8, "thank you")
    return finish(script, (0, 1))


def no_audio() -> Script:
    script = Script(3.0)
    script.open()
    script.joins(0, 0, CALLER)
    script.joins(1, 0.4, AGENT)
    script.add(ev.Answered(at=script.at(1)))
    script.add(ev.Warned(at=script.at(3), code="no-audio"))
    script.audio.clear()
    return finish(script, (0, 1))


def nobody_spoke() -> Script:
    script = two(3.0)
    for track in (0, 1):
        script.hears(track, 0.5, 3.0, SpanKind.SILENT)
    return finish(script, (0, 1))


SCENARIOS: dict[str, Callable[[], Script]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        plain, hold, dtmf, blind_transfer, attended_transfer, failed_transfer, conference, no_answer, busy, cancelled,
        congestion, failed, voicemail, loss, crash, pause, no_audio, nobody_spoke,
    )
}  # fmt: skip
