"""Taps: how FreeSWITCH is made to send what a party says, one tap a leg, and what is cleaned up behind them.

The rules that measuring FreeSWITCH 1.10.12 gave, each with a test:

- A leg that was not answered is never tapped: a tap on a ringing callee ends the call of both (488).
- Nor is one whose end was told: FreeSWITCH is taking it down.
- Taps are started as background jobs: a start that hangs must not stop the event socket.
- A tap says +OK and may still deliver nothing (bypassed media): only audio is proof of audio.
- Taps outlive our connection and our process: they are found again by ``uuid_buglist``, and removed when we leave.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from vcond.adapter import SECOND, ConfigError, Desk, Instant, PeerError, ProtocolError, SpanKind, Track
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.client import Connection, NoSuchChannelError, together
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.filetap import Follower

LOOK: Final = 0.02
"""Seconds between looks at the files: FreeSWITCH writes every 20 ms."""
TRIES: Final = 5
"""Starts of one tap that may fail before it is given up."""
PAUSE: Final = 0.5
"""Seconds before the second start; each further one waits twice as long."""
CLEANUP: Final = 3.0
"""Seconds that removing taps may take at the very end."""
NATIVE: Final = 8000
"""Samples a second that ``variable_record_samples`` counts when the event names no rate of the codec."""
MAX_ENDING: Final = 10_000
"""Channels whose last event is awaited."""

_TARGET: Final = re.compile(r"<target>([^<]{1,500})</target>")


class Tap(Protocol):
    """Listens to one leg, in one of the ways there are."""

    leg: Leg
    heard: int
    """Bytes of audio that came."""
    since: Instant | None
    """When FreeSWITCH was asked."""
    complained: bool
    masked: bool
    """Whether the switch was told to send silence, because recording is paused."""

    def start_command(self) -> str:
        """What starts it."""

    def stop_command(self) -> str:
        """What removes it."""

    def mask_command(self, *, on: bool) -> str:
        """What makes it send silence, or audio again; empty when there is no such thing."""

    def is_there(self, bugs: str) -> bool:
        """Whether it is among the taps of its channel, as ``uuid_buglist`` tells them."""

    def look(self, now: Instant) -> None:
        """Take what came since the last look."""

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """No more: take what is left, close its tracks, let go of whatever it holds.

        ``leave`` = the switch still sends, and nobody could tell it to stop: the next run takes it up.
        """


class Nobody:
    """Takes what is not to be kept."""

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """Forget it."""

    def absent(self, since: Instant, until: Instant, kind: SpanKind) -> None:
        """Forget it."""

    def close(self, *, at: Instant) -> None:
        """Nothing to close."""


class FileTap:
    """FreeSWITCH writes to a file here: works on a stock switch, needs the same machine."""

    def __init__(self, leg: Leg, crew: TapCrew, *, both: bool, path: Path | None = None) -> None:
        self.leg = leg
        self.id = uuid4().hex[:12]
        self.path = path or Path(crew.config.directory) / f"{crew.prefix}{leg.channel}-{self.id}.r16"
        self.heard = 0
        self.since: Instant | None = None
        self.complained = False
        self.masked = False
        self.told: int | None = None
        """Bytes that FreeSWITCH says it wrote."""
        self._both = both
        self._crew = crew
        self._follower = Follower(self.path, crew.config.rate, both=both)
        self._tracks: tuple[Track, Track | None] | None = None

    def start_command(self) -> str:
        """What starts it."""
        return commands.record_start(self.leg.channel, str(self.path), self._crew.config.rate, self.id, both=self._both)

    def stop_command(self) -> str:
        """What removes it."""
        return commands.record_stop(self.leg.channel, str(self.path))

    def mask_command(self, *, on: bool) -> str:
        """What makes it send silence, or audio again."""
        return commands.record_mask(self.leg.channel, str(self.path), on=on)

    def is_there(self, bugs: str) -> bool:
        """Whether it is among the taps of its channel."""
        return str(self.path) in _TARGET.findall(bugs)

    def resume(self, unread: int) -> bool:
        """Go on with a file of an earlier run, of which ``unread`` ns were not read. False when it cannot be read."""
        try:
            there = self._follower.open()
        except OSError:
            return False
        if there:
            missing = unread * self._crew.config.rate // SECOND * (4 if self._both else 2)
            self._follower.skip_to(self._follower.size - missing)
        return there

    def look(self, now: Instant) -> None:
        """Read what is new."""
        try:
            if self._follower.open() and self._follower.size > self._follower.read:
                track, other = self._open(now)
                if track is not None:
                    self.heard += self._follower.pump(now, track, other)
        except OSError as why:
            self._crew.trouble(self, why)

    def wrote(self, event: Event) -> None:
        """RECORD_STOP: how much FreeSWITCH wrote, counted at the codec's rate."""
        rate = number(event.read_rate) or NATIVE
        samples = number(event.record_samples)
        if samples:
            self.told = samples * self._crew.config.rate // rate * (4 if self._both else 2)

    def close(self, at: Instant, *, leave: bool = False) -> None:
        """Read to the end and compare with what FreeSWITCH says it wrote; remove the file."""
        try:
            if self._follower.open() and self._follower.size > self._follower.read:
                track, other = self._open(at)
                if track is not None:
                    self.heard += self._follower.finish(at, track, other)
        except OSError as why:
            self._crew.trouble(self, why)
        for track in self._tracks or ():
            if track is not None:
                track.close(at=at)
        if self.told is not None and self.told > self._follower.read:
            missing = (self.told - self._follower.read) * 1000 // (self._crew.config.rate * (4 if self._both else 2))
            if missing >= 20:
                self._crew.desk.dropped("frame", "not-written", missing // 20)
                self.leg.warn(at, "audio-missing", "the switch wrote less audio of a party than it says")
        self._follower.close(remove=not leave)

    def _open(self, now: Instant) -> tuple[Track | None, Track | None]:
        if self._tracks is None:
            rate = self._crew.config.rate
            track = self.leg.open_track(now, rate)
            if track is None:
                return None, None
            self._tracks = (track, self.leg.open_system_track(now, rate) if self._both else None)
        track, system = self._tracks
        if system is not None and self.leg.talking and not isinstance(system, Nobody):
            # It hears people now, who have tracks of their own.
            system.close(at=now)
            self.leg.system_left(now)
            self._tracks = (track, Nobody())
        return self._tracks


class TapCrew:
    """All taps of one FreeSWITCH."""

    def __init__(self, desk: Desk, config: Config, tasks: asyncio.TaskGroup) -> None:
        self.desk = desk
        self.config = config
        self.prefix = "vcond-"
        self.kind = ""
        """How parties are listened to now: ``file``, ``stream``, ``fork``, ``none``; empty before it is known."""
        self.ready = False
        """Whether it is known which taps there are already, so that new ones may be started."""
        self.connection: Connection | None = None
        """Set while we are attached."""
        self.make: Mapping[str, TapMaker] = {"file": _file_tap}
        self._tasks = tasks
        self._taps: dict[str, Tap] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        """Channels whose hang-up was told, and whose last event is on the way."""
        self._swept = False
        self.busy = asyncio.Event()
        """Set while there are taps to look at."""

    @property
    def taps(self) -> Mapping[str, Tap]:
        """By the channel that is listened to."""
        return self._taps

    # What conversations ask for.

    def start(self, leg: Leg, *, both: bool = False) -> None:
        """Listen to a leg; nothing happens when it is listened to already."""
        if leg.up is None:
            raise ProtocolError("a leg that was not answered must never be tapped")
        maker = self.make.get(self.kind)
        if not self.ready or maker is None or leg.channel in self._taps or not leg.key or not self._lives(leg):
            return
        tap = maker(leg, self, both)
        self._keep(tap)
        self._begin(tap)

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer. A leg that is gone has no tap any more; one that lives on loses it."""
        tap = self._taps.pop(leg.channel, None)
        if tap is None:
            return
        starting = self._starting.pop(leg.channel, None)
        if starting is not None:
            starting.cancel()
        tap.close(at)
        if leg.left is None and self.connection is not None:
            self._tasks.create_task(self._remove(tap, self.connection), name="tap-removal")

    # What the adapter tells.

    def event(self, event: Event, at: Instant) -> None:
        """What FreeSWITCH says of taps."""
        self._ends(event)
        if event.name == "CHANNEL_UUID":
            tap = self._taps.pop(event.old_leg, None)
            if tap is not None and event.leg:
                self._taps[event.leg] = tap
            return
        tap = self._taps.get(event.leg)
        if event.name == "RECORD_STOP":
            if isinstance(tap, FileTap) and event.record_path == str(tap.path):
                tap.wrote(event)
        elif event.name == "MEDIA_BUG_START":
            self._moved(event, at)
        elif event.name == "MEDIA_BUG_STOP" and isinstance(tap, FileTap) and event.bug_target == str(tap.path):
            tap.look(at)

    def _ends(self, event: Event) -> None:
        """Every event of a channel that hangs up says why, before the last one does."""
        if event.name == "CHANNEL_HANGUP_COMPLETE":
            self._ending.discard(event.leg)
        elif event.cause and event.leg:
            if len(self._ending) >= MAX_ENDING:
                self._ending.clear()
            self._ending.add(event.leg)

    def _moved(self, event: Event, at: Instant) -> None:
        """A tap of ours that FreeSWITCH moved to another leg (``recording_follow_transfer``) is taken off that one."""
        for channel, tap in list(self._taps.items()):
            if isinstance(tap, FileTap) and event.bug_target == str(tap.path) and channel != event.leg:
                self.desk.dropped("tap", "moved")
                self.desk.log.warning(
                    "the switch moved a tap to another channel; it is made anew",
                    channel=channel,
                    fix="recording_follow_transfer must not be set on calls that vcond records",
                )
                stray, uuid = tap.path, event.leg
                del self._taps[channel]
                tap.close(at)
                if self.connection is not None:
                    self._tasks.create_task(self._quietly(commands.record_stop(uuid, str(stray)), self.connection))
                if self._lives(tap.leg):
                    self.start(tap.leg)

    def look(self, now: Instant) -> None:
        """Take what came of all taps."""
        for tap in list(self._taps.values()):
            tap.look(now)
            call = tap.leg.conversation.call
            if call is not None and tap.masked != call.state.paused and tap.since is not None:
                self._mask(tap, on=call.state.paused)

    def renew(self, tap: Tap) -> None:
        """What was set up works no longer: make it anew, if its leg is still there."""
        if self._taps.get(tap.leg.channel) is tap and tap.leg.channel not in self._starting:
            tap.since = None
            self._begin(tap, again=True)

    def complain(self, now: Instant) -> None:
        """Once a second: tell of legs of whom nothing comes."""
        patience = int(self.config.no_audio_seconds * SECOND)
        for tap in self._taps.values():
            if tap.heard or tap.complained or tap.since is None or tap.leg.holding or now - tap.since < patience:
                continue
            tap.complained = True
            self.desk.dropped("tap", "no-audio")
            text = "no audio of this party arrives from the switch"
            fix = "is the directory writable for FreeSWITCH, and the same one here? run: vcond check"
            if tap.leg.bypassed:
                text = "the media of this call bypasses the switch: there is nothing to listen to"
                fix = "bypass_media = false in the dialplan or profile, or adapters.freeswitch.pull_media = true"
            tap.leg.warn(now, "no-audio", text)
            self.desk.log.warning("nothing heard of a party", channel=tap.leg.channel, what=text, fix=fix)

    async def adopt(self, connection: Connection, legs: Iterable[Leg], unread: int) -> None:
        """After a connect: find out which of our taps are still there. Those that are not are made anew.

        ``unread`` is how long nobody read them, ns; it counts for taps of an earlier run only.
        """
        self.connection = connection
        up = [leg for leg in legs if leg.up is not None]
        bugs = await together(*(self._bugs(connection, leg) for leg in up))
        for leg, listed in zip(up, bugs, strict=True):
            tap = self._taps.get(leg.channel)
            if tap is not None:
                if leg.channel not in self._starting and not tap.is_there(listed):
                    self._begin(tap)
                continue
            mine = [target for target in _TARGET.findall(listed) if self._is_ours(target)]
            if mine and self.kind == "file" and leg.key:
                found = FileTap(leg, self, both=False, path=Path(mine[0]))
                if found.resume(unread):
                    found.since = self.desk.clock.now()
                    self._keep(found)
                    mine = mine[1:]
            for target in mine:
                await self._quietly(commands.record_stop(leg.channel, target), connection)
        self._sweep()
        self.ready = True
        for leg in up:
            if leg.channel not in self._taps and leg.left is None:
                leg.conversation.settle(self.desk.clock.now())

    def _sweep(self) -> None:
        """Remove files of an earlier run that nobody writes to any more, once."""
        if self._swept or self.kind != "file":
            return
        self._swept = True
        used = {tap.path for tap in self._taps.values() if isinstance(tap, FileTap)}
        try:
            stale = [path for path in Path(self.config.directory).glob(f"{self.prefix}*.r16") if path not in used]
            for path in stale:
                path.unlink(missing_ok=True)
        except OSError as why:
            self.desk.log.warning("files of an earlier run cannot be removed", error=why.strerror)

    def detached(self) -> None:
        """The connection is lost; taps go on by themselves."""
        self.connection, self.ready = None, False
        self._ending.clear()
        for starting in self._starting.values():
            starting.cancel()
        self._starting.clear()

    async def close(self) -> None:
        """Remove every tap from the switch; tracks stay open for the core to close."""
        connection, taps = self.connection, list(self._taps.values())
        for starting in self._starting.values():
            starting.cancel()
        now = self.desk.clock.now()
        self.look(now)
        if connection is not None and taps:
            removals = [asyncio.ensure_future(self._quietly(tap.stop_command(), connection)) for tap in taps]
            _, late = await asyncio.wait(removals, timeout=CLEANUP)
            for removal in late:
                removal.cancel()
            if late:
                await asyncio.wait(late)
                self.desk.log.error("taps were left on the switch; the next start finds them", taps=len(late))
        for tap in taps:
            tap.close(self.desk.clock.now(), leave=connection is None)
        self._taps.clear()

    def trouble(self, tap: Tap, why: OSError) -> None:
        """A file of audio cannot be read."""
        self.desk.dropped("tap", "unreadable")
        if not tap.complained:
            tap.complained = True
            tap.leg.warn(self.desk.clock.now(), "no-audio", "the audio of this party cannot be read")
            self.desk.log.error(
                "the audio that FreeSWITCH writes cannot be read",
                error=why.strerror or type(why).__name__,
                directory=self.config.directory,
                fix="vcond must be in FreeSWITCH's group, see the README; run: vcond check",
            )

    # Inside.

    def _keep(self, tap: Tap) -> None:
        self._taps[tap.leg.channel] = tap
        self.busy.set()

    def _lives(self, leg: Leg) -> bool:
        """Whether a leg was answered and nothing was told of its end."""
        return leg.up is not None and leg.left is None and leg.channel not in self._ending

    def _is_ours(self, target: str) -> bool:
        path = Path(target)
        return path.parent == Path(self.config.directory) and path.name.startswith(self.prefix)

    def _mask(self, tap: Tap, *, on: bool) -> None:
        """What is not to be kept need not leave the switch either."""
        tap.masked = on
        line = tap.mask_command(on=on)
        if line and self.connection is not None:
            self._tasks.create_task(self._quietly(line, self.connection), name="tap-mask")

    def _begin(self, tap: Tap, *, again: bool = False) -> None:
        channel = tap.leg.channel
        task = self._tasks.create_task(self._start(tap, again=again), name="tap-start")
        self._starting[channel] = task

        def done(finished: asyncio.Task[None]) -> None:
            if self._starting.get(channel) is finished:
                del self._starting[channel]

        task.add_done_callback(done)

    async def _start(self, tap: Tap, *, again: bool) -> None:
        """Ask FreeSWITCH for a tap, a few times if need be. What is left of an earlier one is removed first."""
        for tries in range(1 if again else 0, TRIES + 1):
            if tries:
                await asyncio.sleep(PAUSE * 2 ** (tries - 1))
            connection, leg = self.connection, tap.leg
            if connection is None or self._taps.get(leg.channel) is not tap or not self._lives(leg):
                return
            if tries:
                await self._quietly(tap.stop_command(), connection)
            try:
                if leg.bypassed and self.config.pull_media:
                    await connection.background(commands.media(leg.channel))
                    leg.bypassed = False
                await connection.background(tap.start_command())
            except NoSuchChannelError:
                return  # its last event is on the way
            except (PeerError, ConfigError) as why:
                if tries == TRIES:
                    self._failed(tap, why)
            else:
                tap.since = self.desk.clock.now()
                return

    def _failed(self, tap: Tap, why: Exception) -> None:
        tap.complained = True
        self.desk.dropped("tap", "refused")
        tap.leg.warn(self.desk.clock.now(), "tap-failed", "this party could not be listened to")
        self.desk.log.error(
            "cannot listen to a channel", channel=tap.leg.channel, tap=self.kind, why=str(why), fix="run: vcond check"
        )

    async def _bugs(self, connection: Connection, leg: Leg) -> str:
        try:
            return await connection.background(commands.buglist(leg.channel))
        except (PeerError, ConfigError):
            return ""

    async def _remove(self, tap: Tap, connection: Connection) -> None:
        await self._quietly(tap.stop_command(), connection)

    async def _quietly(self, line: str, connection: Connection) -> None:
        """A command whose failure changes nothing: the channel is gone, or the tap is."""
        try:
            await connection.background(line)
        except (PeerError, ConfigError):
            return


class TapMaker(Protocol):
    """Makes a tap of one kind."""

    def __call__(self, leg: Leg, crew: TapCrew, both: bool, /) -> Tap:
        """A tap that is not started yet."""


def _file_tap(leg: Leg, crew: TapCrew, both: bool, /) -> Tap:
    return FileTap(leg, crew, both=both)
