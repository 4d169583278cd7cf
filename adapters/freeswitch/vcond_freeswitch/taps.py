"""Taps: how FreeSWITCH is made to send what a party says, one tap a leg, and what is cleaned up behind them.

The rules that measuring FreeSWITCH 1.10.12 gave, each with a test:

- A leg that was not answered is never tapped: a tap on a ringing callee ends the call of both (488).
- Nor is one whose end was told: FreeSWITCH is taking it down.
- Taps are started as background jobs: a start that hangs must not stop the event socket.
- A tap says +OK and may still deliver nothing (bypassed media): only audio is proof of audio.
- A tap may end while its leg lives (a script that stops all recordings, a full disk, a network between that forgot the
  connection): it is made again, with pauses that grow, for as long as the leg lives.
- Taps outlive our connection and our process: they are found again by ``uuid_buglist``, and removed when we leave.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from vcond.sdk.contract import SECOND, AdapterHost, ConfigError, Instant, LiveCall, PeerError, ProtocolError
from vcond.sdk.mistakes import mistake
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.client import Connection, NoSuchChannelError, together
from vcond_freeswitch.config import Config
from vcond_freeswitch.filetap import FileTap, two_sided
from vcond_freeswitch.leftovers import Leftovers, foreign, ours
from vcond_freeswitch.recovery import Unread
from vcond_freeswitch.reports import Reports
from vcond_freeswitch.starting import STOPPED, Starter, quietly
from vcond_freeswitch.tap import Tap

LOOK: Final = 0.02
"""Seconds between looks at the files: FreeSWITCH writes every 20 ms."""
SETTLED: Final = 10 * SECOND
"""How long a tap must have given audio for the next pause to be the shortest again, ns."""
CLEANUP: Final = 3.0
"""Seconds that removing taps may take at the very end."""
MAX_OLD: Final = 1_000
"""Files of starts that were given up and may still come to be."""

_TARGET: Final = re.compile(r"<target>([^<]{1,500})</target>")


class TapManager:
    """All taps of one FreeSWITCH."""

    def __init__(self, host: AdapterHost, config: Config, tasks: asyncio.TaskGroup) -> None:
        self.host = host
        self.config = config
        self.kind = ""
        """How parties are listened to now: ``file``, ``stream``, ``fork``, ``none``; empty before it is known."""
        self.make: Mapping[str, TapMaker] = {"file": _file_tap}
        self.leftovers = Leftovers(host, Path(config.directory))
        self.busy = asyncio.Event()
        """Set while there are taps to look at."""
        self._taps: dict[str, Tap] = {}
        self.reports = Reports(host, config)
        self.starter = Starter(host, config, tasks, self._taps, self.reports)
        self._old: deque[str] = deque(maxlen=MAX_OLD)
        """Files of ours that are no longer read."""

    @property
    def taps(self) -> Mapping[str, Tap]:
        """By the channel that is listened to."""
        return self._taps

    def start(self, leg: Leg, *, both: bool = False) -> None:
        """Listen to a leg; nothing happens when it is listened to already."""
        if leg.up is None:
            raise ProtocolError("a leg that was not answered must never be tapped")
        maker = self.make.get(self.kind)
        if (
            not self.starter.ready
            or maker is None
            or leg.channel in self._taps
            or not leg.key
            or not self.starter.lives(leg)
        ):
            return
        if leg.stereo and self.kind != "file":
            self.reports.two_channels(leg)
            return
        tap = maker(leg, self, both)
        self._keep(tap)
        self.starter.begin(tap)

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer. A leg that is gone has no tap any more; one that lives on loses it."""
        tap = self._taps.pop(leg.channel, None)
        if tap is None:
            return
        self.starter.cancel(tap)
        tap.close(at)
        if leg.left is None:
            self.starter.send(tap.stop_command())

    def renamed(self, old: str, new: str) -> None:
        """A channel has another id now."""
        tap = self._taps.pop(old, None)
        if tap is not None and new:
            self._taps[new] = tap

    def renew(self, tap: Tap, why: str) -> None:
        """What was set up works no longer: make it anew, for as long as its leg is there."""
        self.starter.renew(tap, why)

    def look(self, now: Instant) -> None:
        """Take what came of all taps."""
        for tap in list(self._taps.values()):
            try:
                tap.look(now)
            except Exception as why:  # noqa: BLE001 - a mistake of ours with one tap must not cost the others
                mistake(self.host, "ending a tap", why)
                self._taps.pop(tap.leg.channel, None)

    def complain(self, now: Instant) -> None:
        """Once a second: start again what never gave anything, and tell of it; of what had worked the core says it."""
        self.leftovers.tidy(now)
        for tap in list(self._taps.values()):
            if tap.state.since is None or not self.starter.ready:
                continue
            if tap.leg.silenced:
                tap.state.since = now  # it is awaited from the end of that
            elif tap.state.works(now, SETTLED):
                tap.state.failures = 0
            elif not tap.heard and tap.state.stalled(now, self.config.no_audio_seconds):
                self.reports.nothing(tap, now)
                if not tap.leg.bypassed:
                    self.renew(tap, "no audio arrives")

    def again(self, call: LiveCall, party: int) -> bool:
        """Start the taps of a party anew whose audio has stopped; not while it holds, or its media bypasses the switch."""
        now, patience = self.host.clock.now(), self.config.stall_seconds
        stopped = [
            tap
            for tap in self._taps.values()
            if _is_of(tap.leg, call, party)
            and tap.heard
            and tap.state.stalled(now, patience)
            and not (tap.leg.silenced or tap.leg.bypassed)
        ]
        for tap in stopped:
            self.renew(tap, STOPPED)
        return bool(stopped) and self.starter.ready

    async def adopt(self, connection: Connection, legs: Iterable[Leg], unread: Mapping[str, Unread]) -> None:
        """After a connect: find out which of our taps are still there. Those that are not are made anew.

        ``unread`` is what an earlier run did not read, by channel.
        """
        self.starter.connection = connection
        up = [leg for leg in legs if leg.up is not None]
        bugs = await together(*(_bugs(connection, leg) for leg in up))
        self.starter.ready = True
        used: set[Path] = set()
        for leg, listed in zip(up, bugs, strict=True):
            if listed is None:
                continue
            used.update(map(Path, listed))
            tap = self._taps.get(leg.channel)
            if tap is not None:
                if not tap.is_there(listed):
                    self.renew(tap, "it had ended when the event socket was connected again")
                elif tap.state.since is None:  # its start was cut off, and was done
                    tap.state.since = self.host.clock.now()
                continue
            for target in [target for target in listed if ours(Path(target), self.config.directory)]:
                if not self._take_up(leg, Path(target), unread.get(leg.channel)) and not foreign(Path(target)):
                    await quietly(commands.record_stop(leg.channel, target), connection)
                    self.leftovers.add(Path(target))
        if self.kind == "file" and None not in bugs:
            self.leftovers.sweep(used | {tap.path for tap in self._taps.values() if isinstance(tap, FileTap)})
        for leg in up:
            if leg.channel not in self._taps and leg.left is None:
                leg.conversation.settle(self.host.clock.now())

    def _take_up(self, leg: Leg, path: Path, unread: Unread | None) -> bool:
        """Go on with a tap of an earlier run."""
        if leg.channel in self._taps or self.kind != "file" or not leg.key:
            return False
        found = FileTap(leg, self, both=two_sided(path), path=path)
        if not found.resume(unread.span if unread is not None else None):
            return False
        found.state.since, found.asked = self.host.clock.now(), True
        self._keep(found)
        return True

    def detached(self) -> None:
        """The connection is lost; taps go on by themselves."""
        self.starter.detached()

    async def close(self) -> None:
        """Remove every tap from the switch; tracks stay open for the core to close."""
        connection, taps = self.starter.connection, list(self._taps.values())
        self.starter.cancel_all()
        now = self.host.clock.now()
        self.look(now)
        if connection is not None and taps:
            removals = [asyncio.ensure_future(quietly(tap.stop_command(), connection)) for tap in taps]
            _, late = await asyncio.wait(removals, timeout=CLEANUP)
            for removal in late:
                removal.cancel()
            if late:
                await asyncio.wait(late)
                self.host.log.error("taps left on FreeSWITCH; the next start finds them", taps=len(late))
        for tap in taps:
            tap.close(self.host.clock.now(), leave=connection is None)
        self._taps.clear()

    def trouble(self, tap: Tap, why: OSError) -> None:
        """A file of audio cannot be read."""
        self.reports.unreadable(tap, why)

    def spent(self, path: Path) -> None:
        """A file was read to its end."""
        self._old.append(str(path))
        self.leftovers.add(path)
        if self.leftovers:
            self.busy.set()

    def was_spent(self, target: str) -> bool:
        """Whether a file was read to its end not long ago."""
        return target in self._old

    def _keep(self, tap: Tap) -> None:
        self._taps[tap.leg.channel] = tap
        self.busy.set()


def _is_of(leg: Leg, call: LiveCall, party: int) -> bool:
    return leg.conversation.call is call and leg.party is not None and leg.party.index == party


async def _bugs(connection: Connection, leg: Leg) -> list[str] | None:
    """Where the taps of a leg write to; None when FreeSWITCH did not say: what is there is then left as it is."""
    try:
        return _TARGET.findall(await connection.background(commands.buglist(leg.channel)))
    except NoSuchChannelError:
        return []
    except (PeerError, ConfigError):
        return None


class TapMaker(Protocol):
    """Makes a tap of one kind."""

    def __call__(self, leg: Leg, manager: TapManager, both: bool, /) -> Tap:
        """A tap that is not started yet."""


def _file_tap(leg: Leg, manager: TapManager, both: bool, /) -> Tap:
    return FileTap(leg, manager, both=both)
