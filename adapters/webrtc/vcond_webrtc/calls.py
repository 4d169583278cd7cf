"""Publishers to calls: one call a call word, one party a publisher. No sockets; timers of the running loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from vcond.sdk.contract import (
    SECOND,
    AdapterHost,
    Answered,
    CallAttribute,
    Cause,
    Consent,
    Instant,
    LiveCall,
    PartyInfo,
    PartyLeft,
    Purpose,
    Warned,
)
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig

HUNG_UP: Final = Cause(q850=16, text="hung-up")
LOST: Final = Cause(text="publisher-lost")


class Publisher(Protocol):
    """Who holds a place in a call."""

    def supersede(self) -> None:
        """The same party publishes anew: this one is over."""


@dataclass(slots=True, eq=False)
class Conversation:
    """A call and who publishes into it now."""

    key: str
    call: LiveCall
    here: dict[str, Publisher] = field(default_factory=dict)
    """By party key."""
    memberships: dict[str, Membership] = field(default_factory=dict)
    """Of those who are here."""
    left: Instant = Instant(0)  # noqa: RUF009 - a plain int
    """When the latest one went."""
    timer: asyncio.TimerHandle | None = None
    """Until it is over because nobody came back."""
    missing: asyncio.TimerHandle | None = None
    """Until those of an earlier run who did not come back have left."""


@dataclass(slots=True)
class Membership:
    """One publisher's membership."""

    conversation: Conversation
    key: str
    party: int
    """Another one when the core cut the call off and it goes on as a new one."""


class CallTracker:
    """Opens a call with its first publisher, ends it when the last one hung up or did not come back in time."""

    def __init__(self, host: AdapterHost, config: WebRtcConfig) -> None:
        self._host = host
        self._config = config
        self._calls: dict[str, Conversation] = {}
        self._closed = False
        for call in host.open_calls():  # an earlier ``run`` of this process was cut off; its publishers are gone
            conversation = self._calls[call.key] = Conversation(call.key, call, left=host.clock.now())
            self._await_return(conversation)

    def close(self) -> None:
        """The adapter goes: calls are left as they are, for the core to end or for the next run to take up."""
        self._closed = True
        for conversation in self._calls.values():
            _stop(conversation)
        self._calls.clear()

    def full(self, claims: Claims) -> bool:
        """Whether a call has as many publishers as it may have; one who comes again takes no new membership."""
        conversation = self._calls.get(claims.call)
        return (
            conversation is not None
            and claims.party not in conversation.here
            and len(conversation.here) >= self._config.max_parties
        )

    def join(self, publisher: Publisher, session: str, claims: Claims, *, at: Instant) -> Membership | None:
        """Somebody publishes: the call goes on, or begins. The same party's earlier session is over.

        None when the call takes no more parties, those who left counted.
        """
        key = claims.call or session
        conversation = self._calls.get(key)
        if conversation is not None and not self.goes_on(conversation, at=at):
            _stop(conversation)
            conversation = None  # the core ended it; who is still there goes on into nothing
        if conversation is None:
            conversation = self._calls[key] = Conversation(key, self._host.call(key, at=at))
        party_key = claims.party or session
        party = conversation.call.party(party_key, at=at, who=claims.who)
        if party < 0:
            return None
        if conversation.timer is not None:
            conversation.timer.cancel()
            conversation.timer = None
        earlier = conversation.here.get(party_key)
        if earlier is not None:
            earlier.supersede()
        conversation.here[party_key] = publisher
        if len(conversation.here) == 1 and _absent(conversation):
            loop = asyncio.get_running_loop()
            conversation.missing = loop.call_later(self._config.grace, self._give_up_missing, conversation, at)
        self._host.log.info("publisher joined", call=conversation.call.uuid, publishers=len(conversation.here))
        membership = conversation.memberships[party_key] = Membership(conversation, party_key, party)
        return membership

    def goes_on(self, conversation: Conversation, *, at: Instant) -> bool:
        """Whether the call takes anything. One that the core cut off goes on as a new call, with who publishes into it."""
        state = conversation.call.state
        if state.ended is None:
            return True
        if not (state.cause.cut_off and conversation.here):
            return False
        _stop(conversation)
        conversation.call = call = self._host.call(conversation.key, at=at, direction=state.direction)
        self._host.log.info("recording continues in a new call", call=call.uuid, before=state.uuid)
        for key in conversation.here:
            membership, before = conversation.memberships[key], state.party_by_key(key)
            membership.party = call.party(key, at=at, who=before.told if before is not None else PartyInfo())
            for fact in state.facts:
                if before is not None and fact.party == before.index:
                    call.emit(CallAttribute(at=at, name=fact.name, value=fact.value, party=membership.party))
        call.emit(Warned(at=at, code="joined-late", text="the call was there before capture began"))
        return True

    def heard(self, membership: Membership, *, at: Instant) -> None:
        """First audio of a publisher. The first of a call answers it: what is published is a conversation."""
        call = membership.conversation.call
        if call.state.answered is None:
            call.emit(Answered(at=at))

    def consent(self, membership: Membership, text: str, purposes: tuple[Purpose, ...], agreed: Instant) -> None:
        """What the person agreed to, what that is good for, and when. The first word of a party counts: a reload asks again."""
        call = membership.conversation.call
        if ("consent", membership.party) in {(fact.name, fact.party) for fact in call.state.facts}:
            return
        moment = datetime.fromtimestamp(agreed / SECOND, UTC).isoformat(timespec="milliseconds")
        for name, value in (("consent", text), ("consent.at", moment)):
            call.emit(CallAttribute(at=agreed, name=name, value=value, party=membership.party))
        said = {"text": text}
        call.emit(
            Consent(at=agreed, party=membership.party, state="granted", how="page", evidence=said, purposes=purposes)
        )

    def leave(self, membership: Membership, publisher: Publisher, *, at: Instant, lost: bool) -> None:
        """A publisher is over: it hung up, or it was lost."""
        conversation = membership.conversation
        if conversation.here.get(membership.key) is not publisher:
            return  # the same party publishes by another session by now
        del conversation.here[membership.key], conversation.memberships[membership.key]
        if self._closed:
            return
        conversation.left = max(conversation.left, at)
        call = conversation.call
        call.emit(PartyLeft(at=at, party=membership.party, cause=LOST if lost else HUNG_UP))
        self._host.log.info("publisher left", call=call.uuid, lost=lost, publishers=len(conversation.here))
        if conversation.here:
            return
        if lost and self._config.grace > 0:
            self._await_return(conversation)
        else:
            self._end(conversation, lost=lost, by=membership.party)

    def _await_return(self, conversation: Conversation) -> None:
        loop = asyncio.get_running_loop()
        conversation.timer = loop.call_later(self._config.grace, self._give_up, conversation)

    def _give_up(self, conversation: Conversation) -> None:
        self._end(conversation, lost=True)

    def _give_up_missing(self, conversation: Conversation, at: Instant) -> None:
        """Who was there before a restart and is not back now has left; nobody saw when."""
        conversation.missing = None
        for party in _absent(conversation):
            conversation.call.emit(PartyLeft(at=at, party=party, cause=LOST))

    def _end(self, conversation: Conversation, *, lost: bool, by: int | None = None) -> None:
        _stop(conversation)
        if self._calls.get(conversation.key) is conversation:
            del self._calls[conversation.key]
        at, call = conversation.left, conversation.call
        if call.state.ended is not None:
            return  # the core ended it
        if lost:
            call.emit(Warned(at=at, code="publisher-lost", text="the last publisher went without hanging up"))
        call.end(at=at, cause=LOST if lost else HUNG_UP, by=None if lost else by)


def _absent(conversation: Conversation) -> list[int]:
    """Parties who are in the call by its record and do not publish."""
    return [
        party.index for party in conversation.call.state.parties if party.here and party.key not in conversation.here
    ]


def _stop(conversation: Conversation) -> None:
    for timer in (conversation.timer, conversation.missing):
        if timer is not None:
            timer.cancel()
    conversation.timer = conversation.missing = None
