"""What is connected with what: legs, bridges, and the Local channels between them, which are followed to who is behind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from vcond_asterisk.calls import Conversation, Leg
from vcond_asterisk.wire import Bridge, Channel

HOPS: Final = 6
"""Local channels in a row that are followed."""
REMEMBERED: Final = 4_000
"""Channels that are gone, whose last events may still come."""


class LocalEnd(NamedTuple):
    """One half of a Local channel."""

    name: str
    conversation: Conversation
    by: str = ""
    """The channel that dialled it."""
    answered: bool = False
    """That Dial said so."""


class Wiring:
    """All legs, Local channels and bridges of one Asterisk."""

    def __init__(self, own: Callable[[str], bool]) -> None:
        """``own``: whether an id is one of our own helpers."""
        self._own = own
        self.legs: dict[str, Leg] = {}
        self.locals: dict[str, LocalEnd] = {}
        self.bridges: dict[str, set[str]] = {}
        """Members of mixing bridges that are not ours."""
        self._gone: OrderedDict[str, None] = OrderedDict()

    def knows(self, channel: str) -> bool:
        """Whether a channel is there, or was and is gone."""
        return channel in self.legs or channel in self.locals or channel in self._gone

    def conversation(self, channel: str) -> Conversation | None:
        """That of a leg or a Local channel."""
        there = self.legs.get(channel) or self.locals.get(channel)
        return there.conversation if there is not None else None

    def is_gone(self, channel: str) -> bool:
        """Whether a channel was there; what still comes of it is late."""
        return channel in self._gone

    def came(self, channel: str) -> None:
        """A channel was created, perhaps with the id of one that is gone."""
        self._gone.pop(channel, None)

    def went(self, channel: str) -> None:
        """A channel is gone: it is in no bridge."""
        self._gone[channel] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        for members in self.bridges.values():
            members.discard(channel)

    def bridged(self, bridge: Bridge) -> None:
        """Who is in a bridge now."""
        if bridge.bridge_type != "mixing" or self._own(bridge.id):
            return
        before, now = self.bridges.get(bridge.id, set()), set(bridge.channels) - self._gone.keys()
        self.bridges[bridge.id] = now
        for channel in before - now:
            leg = self.legs.get(channel)
            if leg is not None and leg.bridge == bridge.id:
                leg.bridge = ""
        for channel in now:
            leg = self.legs.get(channel)
            if leg is not None:
                leg.bridge = bridge.id

    def behind(self, channel: Channel | None, not_these: Iterable[str]) -> Leg | None:
        """The party behind a channel: itself, or whom a chain of Local channels leads to."""
        seen, here = set(not_these), channel.id if channel is not None else ""
        for _ in range(HOPS):
            if here in self.legs and here not in seen:
                return self.legs[here]
            half = self.locals.get(here)
            if half is None:
                return None
            seen.add(here)
            twin = self._twin(half.name)
            seen.add(twin)
            bridge = next((members for members in self.bridges.values() if twin in members), set())
            here = next(iter(sorted(bridge - seen, key=lambda member: member not in self.legs)), "")
        return None

    def _twin(self, name: str) -> str:
        """The other half of a Local channel: ``Local/201@pbx-in-00000000;1`` and ``;2``."""
        other = name[:-1] + ("2" if name.endswith("1") else "1")
        return next((channel for channel, half in self.locals.items() if half.name == other), "")

    def took(self, leg: Leg) -> bool:
        """Whether a leg that is up is in the conversation: not while it is asked whether it takes the call.

        Who was called is when his Dial says that he answered, or he meets somebody. Behind Local channels this holds
        for each of them: it is the last one that is asked, and he who hears it.
        """
        if not leg.called:
            return True
        return self._reached(leg.channel, leg.bridge, leg.by, HOPS, answered=leg.answered)

    def _reached(self, channel: str, bridge: str, by: str, hops: int, *, answered: bool) -> bool:
        others = self.bridges.get(bridge, set()) - {channel} if bridge else set()
        if any(other in self.legs for other in others):
            return True
        ends = [self.locals[other] for other in others if other in self.locals]
        if ends:
            return any(self._far_end(end, hops) for end in ends)
        if bridge and channel in self.legs and not (answered and by in self.locals):
            return True
        dialler = self.locals.get(by)
        return answered and (dialler is None or self._far_end(dialler, hops))

    def _far_end(self, end: LocalEnd, hops: int) -> bool:
        """Whether the other half of a Local channel reached somebody."""
        twin = self._twin(end.name)
        half = self.locals.get(twin)
        if half is None or hops == 0:
            return True
        bridge = next((bridge for bridge, members in self.bridges.items() if twin in members), "")
        return self._reached(twin, bridge, half.by, hops - 1, answered=half.answered)
