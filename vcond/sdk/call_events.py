"""What happens in a conversation, told to the core: who a party is, holds, transfers, facts."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from vcond.sdk.contract import (
    CallAttribute,
    Consent,
    Dtmf,
    Event,
    Held,
    Instant,
    LiveCall,
    PartyDescribed,
    PartyInfo,
    RecordingPaused,
    RecordingResumed,
    Retrieved,
    Transferred,
    is_consent,
    is_pause,
    pause_said,
)
from vcond.sdk.filledin import FilledIn, L
from vcond.sdk.selection import clean
from vcond.sdk.words import Origin, bounded, brought, doubt, is_new, of, pause_is_new

MOST_VARIABLES: Final = 100
"""Values of variables that one call keeps."""
MOST_PAUSED: Final = 16
"""Channels of a conversation that pause a call that has not begun."""


class CallEvents(FilledIn[L]):
    """The events of a conversation's call, each told once; nothing is told while it is not recorded."""

    def __init__(self) -> None:
        self.call: LiveCall | None = None
        self._sent_on: Transferred | None = None
        """A blind transfer that has not reached anybody yet."""
        self._facts: dict[tuple[str, str], str] = {}
        self._variables: list[tuple[str, str]] = []
        self._paused: dict[str, RecordingPaused] = {}
        """Pauses that were said before the call began, by the channels that said so."""

    @property
    def _takes_words(self) -> bool:
        """Whether there is a call to tell what was said of consent and of pauses; one that the core has ended takes nothing."""
        return self.call is not None and self.call.state.ended is None

    def emit(self, event: Event) -> None:
        """Tell the core, when it is recorded."""
        if self.call is not None:
            self.call.emit(event)

    def describe(self, leg: L, who: PartyInfo, at: Instant) -> None:
        """Who a party is, which may be more than was known."""
        if who == leg.who:
            return
        leg.who = who
        party = leg.party
        if party is not None:
            self.emit(PartyDescribed(at=at, party=party.index, who=who))

    def hold(self, leg: L, at: Instant) -> None:
        """A party put the others on hold."""
        party = leg.party
        if party is not None and not leg.holding:
            self.emit(Held(at=at, party=party.index))
        leg.holding = True

    def unhold(self, leg: L, at: Instant) -> None:
        """A party took the others back."""
        party = leg.party
        if leg.holding and party is not None:
            self.emit(Retrieved(at=at, party=party.index))
        leg.holding = False

    def fact(self, name: str, value: str, at: Instant, leg: L | None = None) -> None:
        """Keep what only the PBX knows, once."""
        party = leg.party.index if leg is not None and leg.party is not None else None
        where = (name, leg.key if leg is not None else "")
        if value and self.call is not None and self._facts.get(where) != value:
            self._facts[where] = value
            self.emit(CallAttribute(at=at, name=name, value=clean(value), party=party))

    def variable(self, name: str, value: str, at: Instant, leg: L | None = None, *, origin: Origin = "event") -> None:
        """A channel variable that the operator wants in the record: a fact of the call, when it is one.

        What it says of consent is of the party whose channel it is, as soon as it is one. What it says of a pause is told each time
        that it changes, and when it is set: also one that was said before.
        """
        said = (name, clean(value))
        if leg is not None and is_pause(name):
            pause = pause_said(said[1], at)
            if pause_is_new(leg, *said, origin, ends=isinstance(pause, RecordingResumed)):
                self._paused_by(leg.channel, pause)
            return
        if leg is not None and is_consent(name):
            if is_new(leg, *said, origin):
                self._say(leg, CallAttribute(at=at, name=f"variable.{name}", value=said[1]))
            return
        if said[1] and said not in self._variables and len(self._variables) < MOST_VARIABLES:
            self._variables.append(said)
            self.fact(f"variable.{name}", value, at)

    def _paused_by(self, channel: str, said: RecordingPaused | RecordingResumed) -> None:
        if isinstance(said, RecordingPaused):
            self.pause(channel, said)
        else:
            self.resume(said.at)

    def pressed(self, leg: L, key: Dtmf) -> None:
        """A key. Of who is asked for consent before others are connected to him it may be the answer: it waits for him."""
        if leg.party is not None:
            self.emit(structs.replace(key, party=leg.party.index))
        elif leg.asked:
            leg.said = bounded([*leg.said, key])

    def consent(self, leg: L, said: Consent) -> None:
        """What an event said of consent: of the party whose channel it is of, as soon as it is one."""
        self._say(leg, said)

    def pause(self, channel: str, event: RecordingPaused) -> None:
        """A channel has the recording paused: of the call that it is in, or will be as long as it is there."""
        known = self._paused.get(channel)
        if self._takes_words:
            self.emit(event)
        elif known is not None or len(self._paused) < MOST_PAUSED:
            longer = known is None or (known.until is not None and (event.until is None or event.until > known.until))
            self._paused[channel] = event if longer or known is None else known

    def resume(self, at: Instant) -> None:
        """The PBX lets recording go on, also of a call that has not begun."""
        self._paused.clear()
        self.emit(RecordingResumed(at=at, by="platform"))

    def forget_pause(self, channel: str) -> RecordingPaused | None:
        """A channel is gone, and with it what it said of a call that has not begun: this, where it did."""
        return self._paused.pop(channel, None)

    def take_pause(self, before: CallEvents[L], old: str, channel: str, at: Instant) -> None:
        """What a channel said of a call that has not begun is said by another one, which stands for it."""
        event = before.forget_pause(old)
        if event is not None:
            self.pause(channel, structs.replace(event, at=max(event.at, at)))

    def consented(self, leg: L) -> None:
        """Tell what was said of a leg's consent, when it is a party."""
        if self.call is None or not self._takes_words or leg.party is None:
            return
        said, leg.said = leg.said, []
        for one in said:
            at = Instant(max(one.at, self.call.state.opened))  # who stays may have said it long before this call
            if isinstance(one, CallAttribute):
                self.fact(one.name, one.value, at, leg)
            else:
                self.emit(structs.replace(one, at=at, party=leg.party.index))

    def _say(self, leg: L, word: CallAttribute | Consent) -> None:
        leg.said = bounded([*leg.said, word])
        self.consented(leg)

    def _tell_pauses(self, since: Instant, now: Instant) -> None:
        """The call is there: it is paused as was said before, from ``since`` on at the earliest, but by what is over ``now``."""
        for event in self._paused.values() if self.call is not None else ():
            at = Instant(max(event.at, since))
            if event.until is None or event.until > now:
                self.emit(structs.replace(event, at=at))
        if self.call is not None:
            self._paused.clear()

    def _introduce(self, leg: L) -> None:
        """A leg has become a party of the call, which is told what it had said."""
        before = of(self.call, leg)
        doubt(leg)
        self.consented(leg)
        brought(leg, before)

    def transferred(self, event: Transferred, *, rings: bool = False) -> None:
        """A party handed the conversation on. Whom a blind one, or one whose target ``rings``, reaches is told later."""
        self.emit(event)
        open_end = (event.kind == "blind" or rings) and event.outcome == "success" and event.target is None
        self._sent_on = event if open_end else None

    def reached(self, moved: L, leg: L) -> None:
        """Who was sent on is connected with somebody who was here before: fetched from where he was parked."""
        sent, one, two = self._sent_on, moved.party, leg.party
        if sent is not None and one is not None and two is not None and sent.transferee == one.index:
            self.emit(structs.replace(sent, target=two.index))
            self._sent_on = None
