"""Which channels belong together: who is connected with whom, in a bridge, a conference or a queue."""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, Instant
from vcond_freeswitch.calls import Conversation, Leg, Taps
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event


class Groups:
    """The conversations of all legs."""

    def __init__(self, legs: dict[str, Leg], host: AdapterHost, config: Config, taps: Taps) -> None:
        """``legs``: those that are there, as they come and go."""
        self.legs = legs
        self._host = host
        self._config = config
        self._taps = taps
        self._conferences: dict[str, Conversation] = {}

    def begun(self, key: str, since: Instant) -> Conversation:
        """A new conversation, with nobody in it."""
        return Conversation(key, since, self._host, self._config, self._taps)

    def over(self, conversation: Conversation, at: Instant) -> None:
        """Nobody is left in a conversation: forget it."""
        conversation.end(at)
        for relay in conversation.legs:
            self.legs.pop(relay, None)
        for name in [name for name, one in self._conferences.items() if one is conversation]:
            del self._conferences[name]

    def conversations(self) -> list[Conversation]:
        """All that there are."""
        return list({id(leg.conversation): leg.conversation for leg in self.legs.values()}.values())

    def meet(self, one: Leg, two: Leg, at: Instant) -> Conversation:
        """Two legs are connected: they are in one conversation; who stays leaves the one before behind."""
        for leg, other in ((one, two), (two, one)):
            here, there = leg.conversation, other.conversation
            if here is there or not leg.stays or here.left_alone is not None:
                continue
            if any(left.somebody for left in here.legs.values() if left is not leg):
                here.move(leg, there, at)
        return self.join(one.conversation, two.conversation, at)

    def part(self, a: str, b: str, at: Instant) -> None:
        """Two channels are not connected any more."""
        for one, two in ((a, b), (b, a)):
            leg = self.legs.get(one)
            if leg is not None and leg.peer == two:
                leg.peer = self._still_there(leg, two)
                leg.apart = None if leg.peer else at

    def _still_there(self, leg: Leg, gone: str) -> str:
        """Who a leg goes back to without a word: it asked a colleague beside (``att_xfer``, let go with ``*``)."""
        legs = leg.conversation.legs.items()
        return next((name for name, one in legs if one.peer == leg.channel and name != gone), "")

    def join(self, one: Conversation, two: Conversation, at: Instant) -> Conversation:
        """Two conversations are one: the older takes the other in."""
        if one is two:
            return one
        older, newer = (one, two) if one.since <= two.since else (two, one)
        older.absorb(newer, at)
        for name, held in self._conferences.items():
            if held is newer:
                self._conferences[name] = older
        return older

    def custom(self, event: Event, at: Instant) -> None:
        """What a module says of who is with whom."""
        if event.subclass == "conference::maintenance":
            self._conference(event, at)
        elif event.subclass == "callcenter::info":
            self._queue(event, at)

    def _conference(self, event: Event, at: Instant) -> None:
        leg = self.legs.get(event.leg)
        room = event.conference_id or event.conference
        if leg is None or not room:
            return
        if event.action == "add-member":
            leg.conference, leg.app = room, "conference"
            leg.conversation.takes_part(leg, at)
            conversation = self._conferences.get(room)
            inside = [one for one in conversation.legs.values() if one.conference == room] if conversation else []
            if len(inside) == 1 and inside[0] is not leg:
                conversation = self.meet(inside[0], leg, at)
            elif conversation is not None and conversation.legs:
                conversation = self.join(conversation, leg.conversation, at)
            else:
                conversation = leg.conversation
            self._conferences[room] = conversation
            for one in conversation.legs.values():
                one.apart = None if one.conference == room else one.apart
            conversation.settle(at)
            conversation.fact("conference", event.conference, at)
        elif event.action == "del-member":
            leg.conference = ""
            inside = [one for one in leg.conversation.legs.values() if one.conference == room]
            if len(inside) == 1:
                inside[0].partner, inside[0].apart = leg.channel, at
            leg.conversation.settle(at)

    def _queue(self, event: Event, at: Instant) -> None:
        member = self.legs.get(event.cc_member_leg)
        if member is None:
            return
        member.waits = True
        member.conversation.fact("queue", event.cc_queue, at)
        agent = self.legs.get(event.cc_agent_leg)
        if event.cc_action == "bridge-agent-start":
            member.conversation.fact("agent", event.cc_agent, at)
            if agent is not None:
                self.meet(member, agent, at).settle(at)

    def let_go(self, at: Instant) -> None:
        """Who stays and was left behind, as his customer was sent on to a colleague, waits for the next."""
        for conversation in self.conversations():
            leg = conversation.left_for_good(at)
            if leg is not None and leg.apart is not None:
                key = f"{leg.channel} {leg.apart}"
                alone = self.begun(key, leg.apart)
                conversation.leave(leg, alone, leg.apart)
