"""What adapters of PBXs have in common: legs, and conversations above them, told to the core as it happens.

A conversation lives above its legs. It begins with the first one and ends when the last one is gone; transfers, queues
and parking change nothing about it. Everything here is told with the moment it happened and waits for nothing. What a
PBX calls things, and which of its events mean what, stays with its adapter: it derives a ``Leg`` and a ``Conversation``
of its own and fills in the methods that raise nothing and know nothing here.

Imports the contract only, as adapters do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from vcond.sdk.contract import (
    SECOND,
    Answered,
    Cause,
    Desk,
    Event,
    Fact,
    Held,
    Instant,
    LiveCall,
    PartyDescribed,
    PartyLeft,
    Paused,
    Resumed,
    Transferred,
    Warned,
    Who,
)
from vcond.sdk.filledin import FilledIn, L
from vcond.sdk.leg import Leg
from vcond.sdk.selection import Selecting, clean, matches

EXCLUDED: Final = "excluded"
"""Why a call is not recorded: somebody is in it whose calls never are."""
SUPERVISOR: Final = "supervisor"
"""Why a call is not recorded: all who are in it only listen in on others."""
RANG: Final = 8
"""Legs that rang in vain and are named in the record of a call that nobody answered."""
MOST_VARIABLES: Final = 100
"""Values of variables that one call keeps."""
HOLDING: Final = frozenset({"hold", "unhold"})
PARTING: Final = Instant(2 * SECOND)
"""Who stays may hang up so much later than the PBX ended the other side for it: then both left."""
ALONE: Final = Instant(300 * SECOND)
"""Who stays was alone for longer: that is no beginning of what comes."""


class Conversation(FilledIn[L]):
    """All legs that belong together, and the call that they are to the core once it is recorded."""

    def __init__(self, key: str, since: Instant, desk: Desk, selecting: Selecting) -> None:
        self.key = key
        self.since = since
        self.late = False
        """Found alive after a gap: its beginning was not seen."""
        self.lives_on = False
        """The core ended its call, and the PBX did not: it is recorded anew when ``again`` is told so."""
        self.legs: dict[str, L] = {}
        self.call: LiveCall | None = None
        self.refused = ""
        """Why it will never be recorded."""
        self.first: L | None = None
        self.idle = False
        """Only who stays is there, since the last conversation ended: nothing begins until somebody comes."""
        self.left_alone: Instant | None = None
        """When only who stays was left. He may be hanging up, too."""
        self.had = 0
        """Legs that it ever had."""
        self._rang: list[L] = []
        self._last: L | None = None
        self._hung_up: L | None = None
        self._failure = ""
        """Why it reached nobody, in the PBX's word."""
        self._sent_on: Transferred | None = None
        """A blind transfer that has not reached anybody yet."""
        self._facts: dict[tuple[str, str], str] = {}
        self._variables: list[tuple[str, str]] = []
        self._desk = desk
        self._selecting = selecting

    # Legs come and go.

    def add(self, leg: L, since: Instant | None = None) -> None:
        """A leg belongs to it from now on, or perhaps ``since`` then already: nobody watched."""
        if self.left_alone is not None:
            self.begin_anew(leg.created)
        self.idle = False
        leg.conversation = self
        self.legs[leg.channel] = leg
        if leg.relay:
            return
        self.had += 1
        self.first = self.first or leg
        self.look_at(leg, leg.created if since is None else since)

    def look_at(self, leg: L, since: Instant) -> None:
        """Whether a leg, as it is called ``since`` then, may be in a recorded call; to be asked whenever that changes."""
        if matches(self._selecting.exclude, leg.name):
            self.refuse(EXCLUDED, since)

    def remove(self, leg: L, at: Instant, cause: Cause) -> None:
        """A leg is gone."""
        self.legs.pop(leg.channel, None)
        leg.left, leg.cause = at, cause
        if leg.relay:
            return
        self._last = leg
        if leg.up is None and leg is not self.first:
            self._rang.append(leg)
            del self._rang[:-RANG]
        self._gone(leg, at, cause)
        if len([other for other in self.legs.values() if other.key]) > 1:
            self._hung_up = None  # it goes on without whoever hung up
        left = [one for one in self.legs.values() if one.somebody]
        if len(left) == 1 and left[0].stays and not self.idle:
            self._only_stays(left[0], leg, at)

    def _only_stays(self, stays: L, last: L, at: Instant) -> None:
        """The last of the other side is gone, and who stays is there: the conversation is over, unless he is going too."""
        if last.put_down or self._hung_up is stays:
            self.left_alone = at
            self._stop(stays, at)
        else:
            self.begin_anew(at)

    def begin_anew(self, at: Instant) -> None:
        """The conversation is over, and its one leg stays for the next."""
        (stays,) = [leg for leg in self.legs.values() if leg.somebody]
        until = self.left_alone or at
        self._stop(stays, until)
        self.end(until)
        stays.key, stays.came = "", until
        self.key, self.since, self.late, self.refused = f"{stays.channel} {until}", until, False, ""
        self.first, stays.stays, self.lives_on = stays, True, False
        self.idle, self.left_alone, self.had = True, None, 1
        self._rang, self._last, self._hung_up, self._failure, self._sent_on = [], None, None, "", None
        self._facts, self._variables = {}, []
        self.look_at(stays, until)

    def _gone(self, leg: L, at: Instant, cause: Cause) -> None:
        """A leg's party is not there any more."""
        self.unhold(leg, at)
        self._stop(leg, at)
        party = leg.party
        if party is not None and party.here:
            self.emit(PartyLeft(at=at, party=party.index, cause=cause))

    def settle(self, at: Instant) -> None:
        """Do what is due: open the call, let parties join, listen to them, say that it is answered."""
        if self.idle and self.first is not None and not self._may_stay(self.first):
            self.idle = False  # who was left goes on to a machine
        self._open(at)
        if self.call is None or self.left_alone is not None:
            return
        for leg in list(self.legs.values()):
            if not leg.somebody:
                continue
            if not leg.key and (leg.up is not None or leg is self.first):
                self._join(leg, Instant(max(leg.up or leg.created, leg.came, self.call.state.opened)))
            if leg.up is not None:
                self._listen(leg)
        if self.call.state.answered is None and sum(map(self._talking, self.legs.values())) > 1:
            self.emit(Answered(at=at))

    @property
    def over(self) -> bool:
        """Whether nothing more can come."""
        return not any(not leg.relay for leg in self.legs.values())

    # What parties do.

    def describe(self, leg: L, who: Who, at: Instant) -> None:
        """Who a party is, which may be more than was known."""
        if who == leg.who:
            return
        leg.who = who
        party = leg.party
        if party is not None:
            self.emit(PartyDescribed(at=at, party=party.index, who=who))

    def listens_in(self, leg: L, at: Instant) -> None:
        """A leg only listens in on others (``eavesdrop``, ``ChanSpy``): it is no party, unless that is wanted."""
        if leg.listens_in or self._selecting.record_supervisors:
            return
        if self.left_alone is not None:
            self.begin_anew(at)  # his last conversation is over, and recorded
        leg.listens_in = True
        self._gone(leg, at, Cause())
        leg.key = ""
        if not any(other.somebody for other in self.legs.values()):
            self.refuse(SUPERVISOR, at)

    def takes_part(self, leg: L, at: Instant) -> None:
        """Who only listened in is connected with others now: a supervisor who takes a call over, or has one of his own."""
        if leg.listens_in:
            leg.listens_in, leg.came = False, at

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
            self.emit(Resumed(at=at, party=party.index))
        leg.holding = False

    def fact(self, name: str, value: str, at: Instant, leg: L | None = None) -> None:
        """Keep what only the PBX knows, once."""
        party = leg.party.index if leg is not None and leg.party is not None else None
        where = (name, leg.key if leg is not None else "")
        if value and self.call is not None and self._facts.get(where) != value:
            self._facts[where] = value
            self.emit(Fact(at=at, name=name, value=clean(value), party=party))

    def variable(self, name: str, value: str, at: Instant) -> None:
        """A channel variable that the operator wants in the record: a fact of the call, when it is one."""
        said = (name, clean(value))
        if said[1] and said not in self._variables and len(self._variables) < MOST_VARIABLES:
            self._variables.append(said)
            self.fact(f"variable.{name}", value, at)

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

    def emit(self, event: Event) -> None:
        """Tell the core, when it is recorded."""
        if self.call is not None:
            self.call.emit(event)

    # Beginning and end.

    def refuse(self, reason: str, at: Instant) -> None:
        """Record it no more, for ever. What was kept since ``at``, which may be a while ago, is taken back."""
        self.refused = EXCLUDED if reason == EXCLUDED else self.refused or reason
        self.emit(Paused(at=at, by="platform", reason=reason))
        for leg in self.legs.values():
            self._stop(leg, at)
            leg.key = ""
        if self.call is not None:
            self.emit(Warned(at=at, code=reason, text="not recorded from here on, by configuration"))
            self.call.end(at=at, cause=Cause(text=reason))
            self.call = None

    def look(self, at: Instant) -> None:
        """Stop listening when the core has ended the call by itself; let go of who stays alone."""
        self.was_ended(at)
        if self.left_alone is not None and at - self.left_alone > PARTING and self.legs:
            self.begin_anew(at)

    def was_ended(self, at: Instant) -> None:
        """Let go of a call that the core has ended by itself."""
        if self.call is None or self.call.state.ended is None:
            return
        lives_on, self.call = self.call.state.cause.cut_off, None
        if not lives_on:  # else it is recorded ``again``
            self.refuse("ended", at)
            return
        self.lives_on = True
        for leg in self.legs.values():
            self._stop(leg, at)
            leg.key = ""
        self._rang, self._last, self._hung_up, self._sent_on, self._facts = [], None, None, None, {}

    def again(self, at: Instant) -> None:
        """The PBX is attached, and this is what it has: record from now on what the core had ended."""
        if not self.lives_on:
            return
        self.lives_on = False
        if self.first is None or self.first.channel not in self.legs:
            self.first = next(iter(self.legs.values()), None)
        late, self.late = self.late, True
        self.settle(at)
        self.late = late

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
        if len(self._desk.open_calls()) >= self._selecting.max_calls:
            self.refuse("limit", at)
            self._desk.dropped("call", "limit")
            self._desk.log.error("call not recorded: max_calls reached", max_calls=self._selecting.max_calls)
            return
        way = self._way(first, [leg for leg in legs if leg is not first])
        since = at if self.late else Instant(max(first.created, first.came))
        self.call = self._desk.call(self.key, at=since, direction=way)
        self._opened(first, at)

    def _included(self, first: L, legs: Iterable[L]) -> bool:
        which = self._selecting
        begins = matches(which.include_contexts, first.context) and not matches(which.exclude_contexts, first.context)
        return begins and any(matches(which.include, leg.name) for leg in legs)

    def _opened(self, first: L, at: Instant) -> None:
        self.fact("dialled", first.dialled, at)
        for name, value in self._variables:
            self.fact(f"variable.{name}", value, at)
        if self.late:
            self.emit(Warned(at=at, code="joined-late", text="the call was there before capture began"))
        if first.left is not None and not first.key:
            self._join(first, first.created)

    def adopt(self, call: LiveCall, at: Instant) -> None:
        """Go on with a call of an earlier run: who is no longer there has left, who is there stays who he was."""
        self.call = call
        last = call.state.known_until
        self._facts = {(fact.name, ""): fact.value for fact in call.state.facts if fact.party is None}
        for leg in self.legs.values():
            known = self._known(call, leg.channel)
            if known is not None:
                leg.key = known.key
                told = [m.event for m in call.state.history if m.party == known.index and m.event in HOLDING]
                leg.holding = known.here and told[-1:] == ["hold"]
                call.party(known.key, at=at, who=leg.who)
                if leg.created < call.state.opened - SECOND:
                    leg.stays = True  # it was there before the call began
        here = {key for leg in self.legs.values() for key in self._keys(leg)}
        for party in call.state.parties:
            if party.here and party.key not in here:
                call.emit(PartyLeft(at=last, party=party.index))

    def absorb(self, other: Conversation[L], at: Instant | None = None) -> None:
        """Another conversation turned out to be part of this one, at ``at`` or when the younger began."""
        met = max(self.since, other.since) if at is None else at
        for side in (self, other):
            side.was_ended(met)  # what is over takes nothing in, and ends nobody else's
        self._who_stays(other, met)
        if EXCLUDED in {self.refused, other.refused}:
            for side in (self, other):
                side.refuse(EXCLUDED, met)
        if self.idle or (self.refused == SUPERVISOR and other.refused != EXCLUDED):
            self.first, self.key, self.since, self.late = other.first, other.key, other.since, other.late
            self.refused = other.refused
        self.lives_on = self.lives_on and other.call is None
        if self.call is None:
            self.call = other.call
        elif other.call is not None and not self.call.merge(other.call):
            other.give_up(met)
        self.idle = False
        self.had += other.had
        self.first = self.first or other.first
        self._rang = (self._rang + other._rang)[-RANG:]
        for leg in [*self.legs.values(), *other.legs.values()]:
            if leg.up is not None and not leg.key:
                leg.came = Instant(max(leg.came, met))
        for leg in other.legs.values():
            leg.conversation = self
            self.legs[leg.channel] = leg
        for name, value in other._variables:
            self.variable(name, value, met)
        other.call = None
        other.legs = {}

    def _who_stays(self, other: Conversation[L], at: Instant) -> None:
        """Who of two that meet may stay for the next: he was there first, alone, and waited for nobody."""
        sides = (self, other)
        for side in sides:
            if side.left_alone is not None:
                side.begin_anew(at)
        if any(side.idle for side in sides):
            return
        lone = [leg for side in sides if side.had == 1 for leg in side.legs.values() if leg.somebody]
        first = min((leg for leg in lone if leg.up is not None and self._may_stay(leg)), key=_up, default=None)
        if first is not None:
            first.stays = True
            side = self if first.channel in self.legs else other
            if side.call is not None and at - side.since > ALONE:
                side.begin_anew(at)

    def move(self, leg: L, to: Conversation[L], at: Instant) -> None:
        """Who stays goes to another conversation while this one goes on without him."""
        holds = leg.holding
        self._gone(leg, at, Cause())
        del self.legs[leg.channel]
        leg.key, leg.came, leg.holding = "", at, holds
        to.add(leg)

    def leave(self, leg: L, alone: Conversation[L], at: Instant) -> None:
        """Who stays was left by the others, who go on without him: he waits for the next, ``alone``."""
        self.move(leg, alone, at)
        alone.first, alone.idle = leg, True

    def give_up(self, at: Instant) -> None:
        """Its call cannot become part of another one (its warning says so): it ends, who is in it joins the other anew."""
        for leg in self.legs.values():
            self._stop(leg, at)
            leg.key, leg.came = "", at
        if self.call is not None:
            self.emit(Warned(at=at, code="not-merged", text="the call goes on in another record"))
            self.call.end(at=at, cause=Cause(text="not-merged"))
            self.call = None

    def _join(self, leg: L, at: Instant) -> None:
        assert self.call is not None
        leg.key = self._party_key(leg)
        index = self.call.party(leg.key, at=at, who=leg.who)
        self._joined(leg, index, at)
        if leg.holding:
            self.emit(Held(at=at, party=index))  # since before, in another call perhaps
        if leg is not self.first:
            self._hung_up = None  # it went on with somebody new
        if self._sent_on is not None and leg.up is not None:
            if index != self._sent_on.transferor:  # else his own call came back to him: it was transferred to nobody
                self.emit(structs.replace(self._sent_on, target=index))
            self._sent_on = None


def _up(leg: Leg) -> tuple[bool, Instant]:
    """Our own people first, then who was there first."""
    return leg.inside is False, leg.up or leg.created
