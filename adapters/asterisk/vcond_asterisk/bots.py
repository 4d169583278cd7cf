"""Media of other applications: by it a voice bot hears and speaks, and shares a bridge with whom it talks to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import structs

from vcond_asterisk import wire
from vcond_asterisk.parties import MEDIA
from vcond_asterisk.wire import Channel

MOST: Final = 4_000
"""Media channels that are known at the same time."""


class Bots:
    """Media channels that are not ours, and those of them that are parties."""

    def __init__(self) -> None:
        self.parties: set[str] = set()
        """Ids of those that share a bridge with a party, and so are one."""
        self._known: OrderedDict[str, Channel] = OrderedDict()

    def see(self, channel: Channel) -> None:
        """Take a snapshot of a channel that is not ours and is there."""
        if channel.technology in MEDIA:
            self._known[channel.id] = channel
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def forget(self, channel: str) -> None:
        """It is gone."""
        self._known.pop(channel, None)
        self.parties.discard(channel)

    def meet(self, members: AbstractSet[str], linkedid: str) -> list[Channel]:
        """Those of a bridge's members that become parties now, in the conversation of that linkedid."""
        new = sorted((members & self._known.keys()) - self.parties)
        self.parties.update(new)
        known = [self._known[one] for one in new]
        return [structs.replace(one, channelvars={**one.channelvars, wire.LINKEDID: linkedid}) for one in known]
