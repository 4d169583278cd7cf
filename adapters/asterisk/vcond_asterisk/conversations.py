"""Which conversation a channel belongs to: by its linkedid, and by whom it met. Nothing waits."""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, Instant
from vcond_asterisk.calls import Conversation, Taps
from vcond_asterisk.config import Config
from vcond_asterisk.wiring import Wiring


class Conversations:
    """All conversations of one Asterisk, by every linkedid that they had."""

    def __init__(self, host: AdapterHost, config: Config, taps: Taps, wiring: Wiring) -> None:
        self._host = host
        self._config = config
        self._taps = taps
        self._wiring = wiring
        self._by_id: dict[str, Conversation] = {}

    def all(self) -> list[Conversation]:
        """Those that go on, each once."""
        return list(dict.fromkeys(self._by_id.values()))

    def named(self, linkedid: str) -> Conversation | None:
        """That of a linkedid."""
        return self._by_id.get(linkedid)

    def of(self, channel: str, linkedid: str, at: Instant, *, late: bool) -> Conversation:
        """That of a channel: by its linkedid, which may have changed; empty: the one that it is in already."""
        before = self._wiring.conversation(channel)
        linkedid = linkedid or (before.key if before is not None else channel)
        found = self._by_id.get(linkedid)
        if before is not None and found is None:
            found = self.survivor(before)
            found.ids.add(linkedid)
            self._by_id[linkedid] = found
        elif before is not None and found is not None:
            found = self.join(before, found, at)
        if found is None:
            found = Conversation(linkedid, at, self._host, self._config, self._taps, self._wiring.legs)
            found.late = found.waiting = found.handed_on.unseen = late
            self._by_id[linkedid] = found
        return found

    def survivor(self, conversation: Conversation) -> Conversation:
        """The conversation that one became part of, or itself."""
        return self._by_id.get(conversation.key, conversation)

    def join(self, one: Conversation, two: Conversation, at: Instant) -> Conversation:
        """Make two conversations one: the older stays."""
        one, two = self.survivor(one), self.survivor(two)
        if one is two:
            return one
        old, new = (one, two) if (one.since, one.key) <= (two.since, two.key) else (two, one)
        old.absorb(new, at)
        for linkedid in new.ids:
            self._by_id[linkedid] = old
        for half in new.locals:
            self._wiring.locals[half] = self._wiring.locals[half]._replace(conversation=old)
        return old

    def close(self, conversation: Conversation, at: Instant) -> None:
        """End it when nothing more can come."""
        if not conversation.over:
            return
        conversation.end(at)
        for linkedid in conversation.ids:
            self._by_id.pop(linkedid, None)
        for half in conversation.locals:
            self._wiring.locals.pop(half, None)
