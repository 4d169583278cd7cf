"""The call that a conversation is to the core: when it begins, who is a party of it, how it ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from vcond.sdk.call_events import CallEvents
from vcond.sdk.contract import (
    SECOND,
    AdapterHost,
    Answered,
    Cause,
    Held,
    Instant,
    LiveCall,
    PartyLeft,
    RecordingPaused,
    Warned,
)
from vcond.sdk.filledin import L
from vcond.sdk.selection import Selection, matches
from vcond.sdk.words import take_along, take_from

EXCLUDED: Final = "excluded"
"""Why a call is not recorded: somebody is in it whose calls never are."""
RANG: Final = 8
"""Legs that rang in vain and are named in the record of a call that nobody answered."""
HOLDING: Final = frozenset({"hold", "unhold"})


class RecordedCall(CallEvents[L]):
    """Whether the legs of a conversation are recorded, from when on and until when."""

    def __init__(self, key: str, since: Instant, host: AdapterHost, selecting: Selection) -> None:
        super().__init__()
        self.key = key
        self.since = since
        self.late = False
        """Found alive after a gap: its beginning was not seen."""
        self.lives_on = False
        """The core ended its call, and the PBX did not: it is recorded anew when ``again`` is told so."""
        self.legs: dict[str, L] = {}
        self.refused = ""
        """Why it will never be recorded."""
        self.first: L | None = None
        self.idle = False
        """Only who stays is there, since the last conversation ended: nothing begins until somebody comes."""
        self._host = host
        self._selecting = selecting
        self._forget()

    def _forget(self) -> None:
        """What comes is another call: nothing is known of how it ends."""
        self._rang: list[L] = []
        self._last: L | None = None
        self._hung_up: L | None = None
        self._sent_on = None
        self._facts = {}

    def refuse(self, reason: str, at: Instant) -> None:
        """Record it no more, for ever. What was kept since ``at``, which may be a while ago, is taken back."""
        self.refused = EXCLUDED if reason == EXCLUDED else self.refused or reason
        self.emit(RecordingPaused(at=at, by="platform", reason=reason))
        self._paused.clear()
        for leg in self.legs.values():
            self._stop(leg, at)
            take_along(leg, goes_on=False)
        if self.call is not None:
            self.emit(Warned(at=at, code=reason, text="not recorded from here on, by configuration"))
            self.call.end(at=at, cause=Cause(text=reason))
            self.call = None

    def was_ended(self, at: Instant) -> None:
        """Let go of a call that the core has ended by itself."""
        if self.call is None or self.call.state.ended is None:
            return
        lives_on = self.call.state.cause.cut_off
        for leg in self.legs.values():
            self._stop(leg, at)
            take_along(leg, goes_on=lives_on)
        self.call = None
        if not lives_on:  # else it is recorded ``again``
            self.refuse("ended", at)
            return
        self.lives_on = True
        self._forget()

    def give_up(self, at: Instant, goes_on: LiveCall) -> None:
        """Its call cannot become part of another one (its warning says so): it ends, who is in it joins the other anew."""
        for leg in self.legs.values():
            self._stop(leg, at)
            take_along(leg, goes_on=True)
            leg.came = at
        if self.call is not None:
            _stay_paused(self.call, goes_on, at)
            self.emit(Warned(at=at, code="not-merged", text="the call goes on in another record"))
            self.call.end(at=at, cause=Cause(text="not-merged"))
            self.call = None

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run: who is no longer there has left, who is there stays who he was."""
        self.call = call
        last = call.state.known_until
        self._facts = {(fact.name, ""): fact.value for fact in call.state.facts if fact.party is None}
        for leg in self.legs.values():
            known, leg.found = self._known(call, leg.channel), True
            if known is not None:
                leg.key = known.key
                told = [m.event for m in call.state.history if m.party == known.index and m.event in HOLDING]
                leg.holding = known.here and told[-1:] == ["hold"]
                call.party(known.key, at=at, who=leg.who)
                if leg.created < call.state.opened - SECOND:
                    leg.stays = True  # it was there before the call began
                self._introduce(leg)
        self._tell_pauses(at, at)
        here = {key for leg in self.legs.values() for key in self._keys(leg)}
        for party in call.state.parties:
            if party.here and party.key not in here:
                call.emit(PartyLeft(at=last, party=party.index))

    def take_in(self, other: LiveCall, at: Instant) -> None:
        """Another call of an earlier run is part of its own; one that cannot be ends, and who was in it joins anew."""
        if self.call is None or self.call.merge(other):
            return
        for leg in self.legs.values():
            known = self._known(other, leg.channel)
            if known is not None and not leg.key:
                take_from(leg, other, known)
        _stay_paused(other, self.call, at)
        other.end(at=other.state.known_until, cause=Cause(text="not-merged"))

    def end(self, at: Instant) -> None:
        """Nobody is left in it, or nobody but who stays."""
        self._open(at)
        call = self.call
        if call is None:
            return
        by = self._hung_up.party if self._hung_up is not None else None
        if call.state.answered is None:
            self._close_unanswered(call, at)
        call.end(at=at, cause=self._cause(call), by=by.index if by is not None else None)
        self.call = None

    def _close_unanswered(self, call: LiveCall, at: Instant) -> None:
        """Nobody answered: a machine did, perhaps. Those who rang in vain are named."""
        spoke = self._machine()
        if spoke is not None:
            self.emit(Answered(at=spoke.up or at))
            self.fact("answered_by", self._machine_word(spoke), at)
        for leg in self._rang:
            if not leg.key and leg.left is not None:
                self._join(leg, leg.created)
                party = leg.party
                if party is not None:
                    call.emit(PartyLeft(at=leg.left, party=party.index, cause=leg.cause))

    def _cause(self, call: LiveCall) -> Cause:
        ender = self._hung_up or self._last
        if ender is None or call.state.answered is not None:
            return ender.cause if ender is not None else Cause()
        codes = next((leg.cause for leg in reversed(self._rang) if leg.cause.q850), ender.cause)
        return Cause(q850=codes.q850, sip=codes.sip, text=self._word(codes))

    def _open(self, at: Instant) -> None:
        first = self.first
        if self.call is not None or self.refused or self.idle or self.lives_on or first is None or not self._may_open():
            return
        legs = [*self.legs.values(), *self._rang, *([self._last] if self._last else [])]
        legs = [leg for leg in legs if leg.somebody]
        begun = self.late or len(legs) > 1 or not self.legs or any(leg.up is not None for leg in legs)
        if not begun or not self._included(first, legs):
            return
        if len(self._host.open_calls()) >= self._selecting.max_calls:
            self.refuse("limit", at)
            self._host.dropped("call", "limit")
            self._host.log.error(
                "call not recorded: max_calls reached", max_calls=self._selecting.max_calls,
                hint="raise max_calls of this adapter if the machine has room for more",
            )  # fmt: skip
            return
        way = self._way(first, [leg for leg in legs if leg is not first])
        since = at if self.late else Instant(max(first.created, first.came))
        self.call = self._host.call(self.key, at=since, direction=way)
        self._opened(first, at)

    def _included(self, first: L, legs: Iterable[L]) -> bool:
        which = self._selecting
        begins = matches(which.include_contexts, first.context) and not matches(which.exclude_contexts, first.context)
        return begins and any(matches(which.include, leg.name) for leg in legs)

    def _opened(self, first: L, at: Instant) -> None:
        if self.call is not None:
            self._tell_pauses(self.call.state.opened, at)
        self.fact("dialled", first.dialled, at)
        for name, value in self._variables:
            self.fact(f"variable.{name}", value, at)
        if self.late:
            self.emit(Warned(at=at, code="joined-late", text="the call was there before capture began"))
        if first.left is not None and not first.key:
            self._join(first, first.created)

    def _gone(self, leg: L, at: Instant, cause: Cause) -> None:
        """A leg's party is not there any more."""
        self.unhold(leg, at)
        self._stop(leg, at)
        party = leg.party
        if party is not None and party.here:
            self.emit(PartyLeft(at=at, party=party.index, cause=cause))

    def _join(self, leg: L, at: Instant) -> None:
        assert self.call is not None
        leg.key = self._party_key(leg)
        index = self.call.party(leg.key, at=at, who=leg.who)
        self._joined(leg, index, at)
        self._introduce(leg)
        if leg.holding:
            self.emit(Held(at=at, party=index))  # since before, in another call perhaps
        if leg is not self.first:
            self._hung_up = None  # it went on with somebody new
        if self._sent_on is not None and leg.up is not None:
            if index != self._sent_on.transferor:  # else his own call came back to him: it was transferred to nobody
                self.emit(structs.replace(self._sent_on, target=index))
            self._sent_on = None


def _stay_paused(before: LiveCall, after: LiveCall, at: Instant) -> None:
    """What paused a call that is given up pauses the one that goes on. That of a rule is for the rule of that call to say."""
    for pause in before.state.pauses:
        if pause.stop is None and pause.by != "rule":
            after.emit(RecordingPaused(at=at, by=pause.by, reason=pause.reason, until=pause.until))
