"""How FreeSWITCH is asked for taps, until they are there or their legs are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from vcond.sdk.contract import AdapterHost, ConfigError, PeerError
from vcond.sdk.mistakes import mistake
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.client import Connection, NoSuchChannelError
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.reports import Reports
from vcond_freeswitch.tap import Tap

MAX_ENDING: Final = 10_000
"""Channels whose last event is awaited."""
REFUSED: Final = "refused"
"""Why a tap is started again that FreeSWITCH did not take."""
STOPPED: Final = "stopped"
"""Why one is that gave audio and gives none: the core has said so."""


async def quietly(line: str, connection: Connection) -> None:
    """A command whose failure changes nothing: the channel is gone, or the tap is."""
    try:
        await connection.background(line)
    except (PeerError, ConfigError):
        return


class Starter:
    """Starts taps, and starts again those that were lost."""

    def __init__(
        self, host: AdapterHost, config: Config, tasks: asyncio.TaskGroup, taps: Mapping[str, Tap], reports: Reports
    ) -> None:
        """``taps``: those that are wanted, by channel, as they come and go."""
        self.ready = False
        """Whether it is known which taps there are already, so that new ones may be started."""
        self.connection: Connection | None = None
        """Set while we are attached."""
        self._host = host
        self._config = config
        self._tasks = tasks
        self._taps = taps
        self._reports = reports
        self._starting: dict[Tap, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        """Channels whose hang-up was told, and whose last event is on the way."""

    def detached(self) -> None:
        """The connection is lost."""
        self.connection, self.ready = None, False
        self._ending.clear()
        self.cancel_all()

    def cancel(self, *taps: Tap) -> None:
        """Start these no more."""
        for tap in taps:
            starting = self._starting.pop(tap, None)
            if starting is not None:
                starting.cancel()

    def cancel_all(self) -> None:
        """Start none any more."""
        self.cancel(*self._starting)

    def send(self, line: str) -> None:
        """Send a command for which nobody waits, while we are attached."""
        if self.connection is not None:
            self._tasks.create_task(quietly(line, self.connection), name="tap-command")

    def ends(self, event: Event) -> None:
        """Every event of a channel that hangs up says why, before the last one does."""
        if event.name == "CHANNEL_HANGUP_COMPLETE":
            self._ending.discard(event.leg)
        elif event.cause and event.leg:
            if len(self._ending) >= MAX_ENDING:
                self._ending.clear()
            self._ending.add(event.leg)

    def _may_begin(self, tap: Tap) -> bool:
        """Whether a tap is wanted, and is not about to be started already."""
        wanted = self._taps.get(tap.leg.channel) is tap and self.lives(tap.leg)
        return wanted and self.ready and tap not in self._starting

    def lives(self, leg: Leg) -> bool:
        """Whether a leg was answered and nothing was told of its end."""
        return leg.up is not None and leg.left is None and leg.channel not in self._ending

    def renew(self, tap: Tap, why: str) -> None:
        """What was set up works no longer: make it anew, for as long as its leg is there."""
        if self._may_begin(tap):
            tap.state.since = None
            self.begin(tap, why=why)

    def doubt(self, tap: Tap, why: str) -> None:
        """A module says that a connection is over, and not which: it may be one that was replaced a while ago.

        One that is there and gives audio is left alone. While its party holds, none can come; the end of that shows it.
        """
        if self._may_begin(tap):
            self.begin(tap, why=why, unless_after=tap.heard)

    def begin(self, tap: Tap, *, why: str = "", unless_after: int | None = None) -> None:
        """Start a tap, in a task; ``why`` = it is not the first time, and waits a while."""
        task = self._tasks.create_task(self._start(tap, why, unless_after), name="tap-start")
        self._starting[tap] = task

        def done(finished: asyncio.Task[None]) -> None:
            if self._starting.get(tap) is finished:
                del self._starting[tap]

        task.add_done_callback(done)

    async def _start(self, tap: Tap, why: str, unless_after: int | None) -> None:
        """Ask FreeSWITCH for a tap, until it is there or the leg is gone. What is left of an earlier one is removed.

        Nothing is done when one is there after the pause, and gave more than ``unless_after`` bytes.
        """
        while True:
            if why:
                await asyncio.sleep(tap.state.pause)
                if unless_after is not None:
                    if tap.is_there([]) and (tap.heard > unless_after or tap.leg.silenced):
                        return
                    tap.state.since = unless_after = None
                tap.state.failures += 1
            connection, leg = self.connection, tap.leg
            if connection is None or self._taps.get(leg.channel) is not tap or not self.lives(leg):
                return
            if tap.asked:
                if why not in {REFUSED, STOPPED}:
                    self._reports.again(tap, why)
                await quietly(tap.stop_command(), connection)
                if self._taps.get(leg.channel) is not tap or not self.lives(leg):
                    return
                tap.again(self._host.clock.now())
            try:
                if leg.bypassed and self._config.pull_media:
                    await connection.background(commands.media(leg.channel))
                    leg.bypassed = False
                tap.asked = True
                await connection.background(tap.start_command())
            except NoSuchChannelError as refusal:
                if why == REFUSED:  # the first time its last event is on the way
                    self._reports.refused(tap, refusal)
                why = REFUSED
            except (PeerError, ConfigError) as refusal:
                why = REFUSED
                self._reports.refused(tap, refusal)
            except Exception as wrong:  # noqa: BLE001 - a mistake with one tap must not cost every other
                why = REFUSED
                mistake(self._host, "starting a tap", wrong)
            else:
                tap.state.since = self._host.clock.now()
                return
