"""What adapters of PBXs have in common: legs, and conversations above them, told to the core as it happens.

A conversation lives above its legs. It begins with the first one and ends when the last one is gone; transfers, queues
and parking change nothing about it. Everything here is told with the moment it happened and waits for nothing. What a
PBX calls things, and which of its events mean what, stays with its adapter: it derives a ``Leg`` and a ``Conversation``
of its own and fills in the methods that raise nothing and know nothing here.

Imports the contract only, as adapters do.
"""

from __future__ import annotations

from typing import Final

from vcond.sdk.call_events import MOST_PAUSED
from vcond.sdk.contract import SECOND, AdapterHost, Answered, Cause, Instant
from vcond.sdk.filledin import L
from vcond.sdk.leg import Leg
from vcond.sdk.recorded_call import EXCLUDED, RANG, RecordedCall
from vcond.sdk.selection import Selection, matches
from vcond.sdk.words import remember, take_along

SUPERVISOR: Final = "supervisor"
"""Why a call is not recorded: all who are in it only listen in on others."""
PARTING: Final = Instant(2 * SECOND)
"""Who stays may hang up so much later than the PBX ended the other side for it: then both left."""
ALONE: Final = Instant(300 * SECOND)
"""Who stays was alone for longer: that is no beginning of what comes."""


class Conversation(RecordedCall[L]):
    """All legs that belong together, and the call that they are to the core once it is recorded."""

    def __init__(self, key: str, since: Instant, host: AdapterHost, selecting: Selection) -> None:
        super().__init__(key, since, host, selecting)
        self.left_alone: Instant | None = None
        """When only who stays was left. He may be hanging up, too."""
        self.had = 0
        """Legs that it ever had."""
        self._failure = ""
        """Why it reached nobody, in the PBX's word."""

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
        if self.had == 1:
            remember(self.legs.values())
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
        self.forget_pause(leg.channel)
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

    def listens_in(self, leg: L, at: Instant) -> None:
        """A leg only listens in on others (``eavesdrop``, ``ChanSpy``): it is no party, unless that is wanted."""
        if leg.listens_in or self._selecting.record_supervisors:
            return
        if self.left_alone is not None:
            self.begin_anew(at)  # his last conversation is over, and recorded
        leg.listens_in = True
        self._gone(leg, at, Cause())
        take_along(leg, goes_on=False)
        if not any(other.somebody for other in self.legs.values()):
            self.refuse(SUPERVISOR, at)

    def takes_part(self, leg: L, at: Instant) -> None:
        """Who only listened in is connected with others now: a supervisor who takes a call over, or has one of his own."""
        if leg.listens_in:
            leg.listens_in, leg.came = False, at

    # Who stays from one conversation to the next.

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
        call = self.call
        self.end(until)
        take_along(stays, goes_on=False, call=call)
        self.key, self.since, self.late, self.refused = f"{stays.channel} {until}", until, False, ""
        self.first, stays.stays, stays.came, self.lives_on = stays, True, until, False
        self.idle, self.left_alone, self.had = True, None, 1
        self._failure, self._variables, self._paused = "", [], {}
        self._forget()
        self.look_at(stays, until)

    def _who_stays(self, other: Conversation[L], at: Instant) -> None:
        """Who of two that meet may stay for the next: he was there first, alone, and waited for nobody."""
        sides = (self, other)
        for side in sides:
            if side.left_alone is not None:
                side.begin_anew(at)
        if any(side.idle for side in sides):
            return
        lone = [leg for side in sides if side.had == 1 for leg in side.legs.values() if leg.somebody]
        remember(lone)
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
        take_along(leg, goes_on=False)
        self.forget_pause(leg.channel)
        del self.legs[leg.channel]
        leg.came, leg.holding = at, holds
        to.add(leg)

    def leave(self, leg: L, alone: Conversation[L], at: Instant) -> None:
        """Who stays was left by the others, who go on without him: he waits for the next, ``alone``."""
        self.move(leg, alone, at)
        alone.first, alone.idle = leg, True

    # What is found out later.

    def look(self, at: Instant) -> None:
        """Stop listening when the core has ended the call by itself; let go of who stays alone."""
        self.was_ended(at)
        if self.left_alone is not None and at - self.left_alone > PARTING and self.legs:
            self.begin_anew(at)

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
            other.give_up(met, self.call)
        self._paused = dict([*self._paused.items(), *other._paused.items()][:MOST_PAUSED])
        self._tell_pauses(met, met)
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


def _up(leg: Leg) -> tuple[bool, Instant]:
    """Our own people first, then who was there first."""
    return leg.inside is False, leg.up or leg.created
