"""One attachment: looks into the rooms again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from vcond.sdk.contract import AdapterHost, Instant, ProtocolError
from vcond.sdk.mistakes import mistake
from vcond_webrtc.janus.client import Janus, together
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.rooms import RoomTracker
from vcond_webrtc.janus.taps import TapManager
from vcond_webrtc.janus.wire import NO_SUCH_ROOM, Id, JanusError, Participant

SWEEP: Final = 2.0
"""Seconds between two looks at the forwards of each room in which somebody publishes."""
LIST: Final = 2.0
"""Seconds between two lists of rooms when the rooms to record are named."""
A_ROOM: Final = 0.004
"""Seconds that one more room of Janus puts between two lists when all are recorded: its list is long then."""
OLDEST: Final = 1000
"""1.0.0: before it, forwards and publishers had no streams."""


class Watch:
    """Serves one connection until it is lost."""

    def __init__(
        self, config: JanusConfig, host: AdapterHost, janus: Janus, tracker: RoomTracker, manager: TapManager
    ) -> None:
        self._config = config
        self._host = host
        self._janus = janus
        self._tracker = tracker
        self._manager = manager
        self._now = asyncio.get_running_loop().time
        self._rooms: list[Id] = []
        self._list_at = self._sweep_at = 0.0
        self._complained: set[Id] = set()
        self._mistaken: set[Id] = set()

    async def serve(self) -> NoReturn:
        """Raises PeerError or ConfigError when the connection is of no use any more."""
        info = await self._janus.info()
        if info.version < OLDEST:
            raise ProtocolError(
                f"Janus {info.version_string or 'of unknown version'} is too old: 1.0 or newer is needed"
            )
        self._manager.attach(self._janus)
        first = True
        while True:
            began = self._now()
            await self._round()
            if first:
                first = False
                self._host.attached(True, f"Janus {info.version_string}")
                self._host.log.info("attached to Janus", version=info.version_string, rooms=len(self._rooms))
            await asyncio.sleep(max(0.01, began + self._config.poll - self._now()))

    async def _round(self) -> None:
        if self._now() >= self._list_at:
            await self._list()
        looks = await together(*(self._look(room) for room in self._rooms))
        looks += [(room, [], self._host.clock.now()) for room in self._tracker.rooms.keys() - set(self._rooms)]
        for room, people, at in looks:
            try:
                self._tracker.look(room, people, at)
            except Exception as why:  # noqa: BLE001 - a mistake with one room must not cost all the others
                if room not in self._mistaken:
                    self._mistaken.add(room)
                    mistake(self._host, "a room", why)
        self._tracker.round_ends(self._host.clock.now())
        if self._now() >= self._sweep_at:
            self._sweep_at = self._now() + SWEEP
            await self._sweep(self._manager.stray | self._tracker.rooms.keys())
        elif self._manager.stray:
            await self._sweep(set(self._manager.stray))

    async def _list(self) -> None:
        """Which rooms to look into: the named ones that there are, or all in which somebody is."""
        rooms = await self._janus.rooms()
        if self._config.rooms:
            wanted = {str(room) for room in self._config.rooms}
            self._rooms = [room.room for room in rooms if str(room.room) in wanted]
            self._list_at = self._now() + LIST
        else:
            self._rooms = [room.room for room in rooms if room.num_participants]
            self._list_at = self._now() + len(rooms) * A_ROOM

    async def _look(self, room: Id) -> tuple[Id, Sequence[Participant], Instant]:
        try:
            people = await self._janus.participants(room)
        except JanusError as why:
            if why.code != NO_SUCH_ROOM:
                raise
            people = []
            self._rooms = [other for other in self._rooms if other != room]
        return room, people, self._host.clock.now()

    async def _sweep(self, rooms: Iterable[Id]) -> None:
        removed = sum(await together(*(self._sweep_room(room) for room in rooms)))
        if removed:
            self._host.log.info("unused RTP forwards removed from Janus", count=removed)

    async def _sweep_room(self, room: Id) -> int:
        try:
            return await self._manager.sweep(self._janus, room)
        except JanusError as why:
            self._complain(room, why)
            return 0

    def _complain(self, room: Id, why: JanusError) -> None:
        """Once a room and connection."""
        if why.code != NO_SUCH_ROOM and room not in self._complained:
            self._complained.add(room)
            self._host.log.warning("cannot list the RTP forwards of a room", error=str(why), hint="run: vcond check")
