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

from vcond.sdk.contract import SECOND, ConfigError, Desk, Instant, PeerError, ProtocolError
from vcond_freeswitch import commands
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.client import Connection, NoSuchChannelError, together
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event
from vcond_freeswitch.filetap import FileTap, two_sided
from vcond_freeswitch.guard import mistake
from vcond_freeswitch.leftovers import Leftovers, belongs, foreign, ours
from vcond_freeswitch.recovery import Unread
from vcond_freeswitch.tap import Tap

LOOK: Final = 0.02
"""Seconds between looks at the files: FreeSWITCH writes every 20 ms."""
PAUSE: Final = 0.5
"""Seconds before a tap is started again; each further time in a row waits twice as long."""
LONGEST: Final = 30.0
"""And never longer than that."""
SETTLED: Final = 10 * SECOND
"""How long a tap must have given audio for the next pause to be the shortest again, ns."""
CLEANUP: Final = 3.0
"""Seconds that removing taps may take at the very end."""
MAX_ENDING: Final = 10_000
"""Channels whose last event is awaited."""
MINUTE: Final = 60 * SECOND
"""Between two lines of the same kind in the log, ns."""
REFUSED: Final = "refused"
"""Why a tap is started again that FreeSWITCH did not take."""
MAX_OLD: Final = 1_000
"""Files of starts that were given up and may still come to be."""

_TARGET: Final = re.compile(r"<target>([^<]{1,500})</target>")
_BROKEN: Final = {
    "mod_audio_stream::error": "FreeSWITCH cannot connect to vcond, or lost the connection",
    "mod_audio_stream::disconnect": "the connection from FreeSWITCH is over",
    "mod_audio_fork::connect_failed": "FreeSWITCH cannot connect to vcond",
    "mod_audio_fork::disconnect": "the connection from FreeSWITCH is over",
}
"""What the modules say when no more audio comes of a channel."""


class TapCrew:
    """All taps of one FreeSWITCH."""

    def __init__(self, desk: Desk, config: Config, tasks: asyncio.TaskGroup) -> None:
        self.desk = desk
        self.config = config
        self.kind = ""
        """How parties are listened to now: ``file``, ``stream``, ``fork``, ``none``; empty before it is known."""
        self.ready = False
        """Whether it is known which taps there are already, so that new ones may be started."""
        self.connection: Connection | None = None
        """Set while we are attached."""
        self.make: Mapping[str, TapMaker] = {"file": _file_tap}
        self.leftovers = Leftovers(desk, Path(config.directory))
        self.busy = asyncio.Event()
        """Set while there are taps to look at."""
        self._tasks = tasks
        self._taps: dict[str, Tap] = {}
        self._starting: dict[Tap, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        """Channels whose hang-up was told, and whose last event is on the way."""
        self._said: dict[str, Instant] = {}
        self._old: deque[str] = deque(maxlen=MAX_OLD)
        """Files of ours that are no longer read."""

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
        if leg.stereo and self.kind != "file":
            self._two_channels(leg)
            return
        tap = maker(leg, self, both)
        self._keep(tap)
        self._begin(tap)

    def _two_channels(self, leg: Leg) -> None:
        """The modules send half of each frame of a codec with two channels (read in their source): better nothing."""
        if not leg.unheard:
            leg.unheard = True
            self.desk.dropped("tap", "two-channels")
            leg.warn(
                self.desk.clock.now(), "no-audio", "this party's codec has two channels, which the tap cannot send"
            )
            self._seldom(
                "a party is not listened to: its codec has two channels, and the module sends only half of that",
                channel=leg.channel, fix='offer opus@48000h@20i@1c (codec-prefs), or tap = "file" beside FreeSWITCH',
            )  # fmt: skip

    def stop(self, leg: Leg, at: Instant) -> None:
        """Listen no longer. A leg that is gone has no tap any more; one that lives on loses it."""
        tap = self._taps.pop(leg.channel, None)
        if tap is None:
            return
        starting = self._starting.pop(tap, None)
        if starting is not None:
            starting.cancel()
        tap.close(at)
        if leg.left is None and self.connection is not None:
            self._send(tap.stop_command(), self.connection)

    # What the adapter tells.

    def event(self, event: Event, at: Instant) -> None:
        """What FreeSWITCH says of taps."""
        self._ends(event)
        if event.name == "CHANNEL_UUID":
            tap = self._taps.pop(event.old_leg, None)
            if tap is not None and event.leg:
                self._taps[event.leg] = tap
        elif event.name == "RECORD_START":
            self._stray(event.leg, event.record_path)
        elif event.name == "RECORD_STOP":
            tap = self._taps.get(event.leg)
            if isinstance(tap, FileTap) and event.record_path == str(tap.path):
                tap.wrote(event)
                tap.look(at)
                self.renew(tap, "the switch stopped it")
        elif event.name == "MEDIA_BUG_START":
            self._moved(event, at)
            self._stray(event.leg, event.bug_target)
        elif event.name == "MEDIA_BUG_STOP":
            tap = self._taps.get(event.leg)
            if isinstance(tap, FileTap) and event.bug_target == str(tap.path):
                tap.look(at)
                self.renew(tap, "the switch stopped it")
        elif event.name == "CUSTOM":
            self._module(event)

    def _module(self, event: Event) -> None:
        """What a module says of its connection."""
        tap = self._taps.get(event.leg)
        if tap is None or isinstance(tap, FileTap):
            return
        if event.subclass in _BROKEN:
            if not tap.is_there([]) and event.subclass.endswith("::disconnect"):
                return  # what was there is known to be over, and what comes was not there yet
            self._doubt(tap, _BROKEN[event.subclass])
        elif event.subclass == "mod_audio_fork::buffer_overrun":
            self.desk.dropped("frame", "overrun")
            self._once(tap, "audio-missing", "the switch could not send all audio of a party in time")

    def _ends(self, event: Event) -> None:
        """Every event of a channel that hangs up says why, before the last one does."""
        if event.name == "CHANNEL_HANGUP_COMPLETE":
            self._ending.discard(event.leg)
        elif event.cause and event.leg:
            if len(self._ending) >= MAX_ENDING:
                self._ending.clear()
            self._ending.add(event.leg)

    def _moved(self, event: Event, at: Instant) -> None:
        """A tap of ours that FreeSWITCH moved to another leg (``recording_follow_transfer``) is made anew on its own."""
        for channel, tap in list(self._taps.items()):
            if isinstance(tap, FileTap) and event.bug_target == str(tap.path) and channel != event.leg:
                self.desk.dropped("tap", "moved")
                self.desk.log.warning(
                    "the switch moved a tap to another channel; it is made anew",
                    channel=channel,
                    fix="recording_follow_transfer must not be set on calls that vcond records",
                )
                self.stop(tap.leg, at)
                if self._lives(tap.leg):
                    self.start(tap.leg)

    def _stray(self, channel: str, target: str) -> None:
        """A tap of ours that is where it does not belong, or came when it was given up, is taken off."""
        path = Path(target)
        if self.connection is None or not ours(path, self.config.directory):
            return
        tap = self._taps.get(channel)
        if isinstance(tap, FileTap) and tap.path == path:
            return
        if target in self._old or not belongs(path, channel):
            self._send(commands.record_stop(channel, target), self.connection)
            self.leftovers.add(path)

    def look(self, now: Instant) -> None:
        """Take what came of all taps."""
        for tap in list(self._taps.values()):
            try:
                tap.look(now)
            except Exception as why:  # noqa: BLE001 - a mistake of ours with one tap must not cost the others
                mistake(self.desk, "a tap was given up", why)
                self._taps.pop(tap.leg.channel, None)

    def renew(self, tap: Tap, why: str) -> None:
        """What was set up works no longer: make it anew, for as long as its leg is there."""
        if self._taps.get(tap.leg.channel) is tap and tap not in self._starting and self.ready and self._lives(tap.leg):
            tap.since = None
            self._begin(tap, why=why)

    def _doubt(self, tap: Tap, why: str) -> None:
        """A module says that a connection is over, and not which: it may be one that was replaced a while ago.

        One that is there and gives audio is left alone. While its party holds, none can come; the end of that shows it.
        """
        if self._taps.get(tap.leg.channel) is tap and tap not in self._starting and self.ready and self._lives(tap.leg):
            self._begin(tap, why=why, unless_after=tap.heard)

    def complain(self, now: Instant) -> None:
        """Once a second: start again what gives nothing, and tell of legs of whom nothing comes."""
        self.leftovers.tidy(now)
        for tap in list(self._taps.values()):
            if tap.since is None or not self.ready:
                continue
            if tap.leg.silenced:
                tap.since = now  # it is awaited from the end of that
                continue
            came = tap.last is not None and tap.last >= tap.since
            seconds = self.config.stall_seconds if tap.heard else self.config.no_audio_seconds
            if now - max(tap.since, tap.last or tap.since) < seconds * SECOND:
                if came and now - tap.since > SETTLED:
                    tap.failures = 0
                continue
            if not tap.heard:
                self._nothing(tap, now)
            if not tap.leg.bypassed:
                self.renew(tap, "it gives no audio")

    def _nothing(self, tap: Tap, now: Instant) -> None:
        """Tell, once, that nothing was ever heard of a party."""
        if tap.complained:
            return
        tap.complained = True
        self.desk.dropped("tap", "no-audio")
        text, fix = "no audio of this party arrives from the switch", tap.hint
        if tap.leg.bypassed:
            text = "the media of this call bypasses the switch: there is nothing to listen to"
            fix = "bypass_media = false in the dialplan or profile, or adapters.freeswitch.pull_media = true"
        tap.leg.warn(now, "no-audio", text)
        self.desk.log.warning("nothing heard of a party", channel=tap.leg.channel, what=text, fix=fix)

    async def adopt(self, connection: Connection, legs: Iterable[Leg], unread: Mapping[str, Unread]) -> None:
        """After a connect: find out which of our taps are still there. Those that are not are made anew.

        ``unread`` is what an earlier run did not read, by channel.
        """
        self.connection = connection
        up = [leg for leg in legs if leg.up is not None]
        bugs = await together(*(self._bugs(connection, leg) for leg in up))
        self.ready = True
        used: set[Path] = set()
        for leg, listed in zip(up, bugs, strict=True):
            if listed is None:
                continue
            used.update(map(Path, listed))
            tap = self._taps.get(leg.channel)
            if tap is not None:
                if not tap.is_there(listed):
                    self.renew(tap, "it was gone when the event socket was back")
                elif tap.since is None:  # its start was cut off, and was done
                    tap.since = self.desk.clock.now()
                continue
            for target in [target for target in listed if ours(Path(target), self.config.directory)]:
                if not self._take_up(leg, Path(target), unread.get(leg.channel)) and not foreign(Path(target)):
                    await self._quietly(commands.record_stop(leg.channel, target), connection)
                    self.leftovers.add(Path(target))
        if self.kind == "file" and None not in bugs:
            self.leftovers.sweep(used | {tap.path for tap in self._taps.values() if isinstance(tap, FileTap)})
        for leg in up:
            if leg.channel not in self._taps and leg.left is None:
                leg.conversation.settle(self.desk.clock.now())

    def _take_up(self, leg: Leg, path: Path, unread: Unread | None) -> bool:
        """Go on with a tap of an earlier run."""
        if leg.channel in self._taps or self.kind != "file" or not leg.key:
            return False
        found = FileTap(leg, self, both=two_sided(path), path=path)
        if not found.resume(unread.span if unread is not None else None):
            return False
        found.since, found.asked = self.desk.clock.now(), True
        self._keep(found)
        return True

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

    def spent(self, path: Path) -> None:
        """A file was read to its end."""
        self._old.append(str(path))
        self.leftovers.add(path)
        if self.leftovers:
            self.busy.set()

    # Inside.

    def _keep(self, tap: Tap) -> None:
        self._taps[tap.leg.channel] = tap
        self.busy.set()

    def _lives(self, leg: Leg) -> bool:
        """Whether a leg was answered and nothing was told of its end."""
        return leg.up is not None and leg.left is None and leg.channel not in self._ending

    def _begin(self, tap: Tap, *, why: str = "", unless_after: int | None = None) -> None:
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
                await asyncio.sleep(min(PAUSE * 2.0 ** min(tap.failures, 10), LONGEST))
                if unless_after is not None:
                    if tap.is_there([]) and (tap.heard > unless_after or tap.leg.silenced):
                        return
                    tap.since = unless_after = None
                tap.failures += 1
            connection, leg = self.connection, tap.leg
            if connection is None or self._taps.get(leg.channel) is not tap or not self._lives(leg):
                return
            if tap.asked:
                if why != REFUSED:
                    self._tell(tap, why)
                await self._quietly(tap.stop_command(), connection)
                if self._taps.get(leg.channel) is not tap or not self._lives(leg):
                    return
                tap.again(self.desk.clock.now())
            try:
                if leg.bypassed and self.config.pull_media:
                    await connection.background(commands.media(leg.channel))
                    leg.bypassed = False
                tap.asked = True
                await connection.background(tap.start_command())
            except NoSuchChannelError as refusal:
                if why == REFUSED:  # the first time its last event is on the way
                    self._refused(tap, refusal)
                why = REFUSED
            except (PeerError, ConfigError) as refusal:
                why = REFUSED
                self._refused(tap, refusal)
            else:
                tap.since = self.desk.clock.now()
                return

    def _tell(self, tap: Tap, why: str) -> None:
        """A tap that worked is started again."""
        self.desk.dropped("tap", "again")
        if tap.heard:
            self._once(tap, "audio-stopped", "the audio of a party stopped coming; it was asked for again")
        self._seldom("a tap is started again", channel=tap.leg.channel, why=why, fix=tap.hint)

    def _refused(self, tap: Tap, why: Exception) -> None:
        self.desk.dropped("tap", "refused")
        self._once(tap, "tap-failed", "this party could not be listened to for a while")
        self._seldom(
            "cannot listen to a channel; it is tried again as long as the channel is there",
            channel=tap.leg.channel, tap=self.kind, why=str(why), fix=f"{tap.hint}; run: vcond check",
        )  # fmt: skip

    def _once(self, tap: Tap, code: str, text: str) -> None:
        """A warning in the record; more of the same say nothing."""
        if code not in tap.warned:
            tap.warned.add(code)
            tap.leg.warn(self.desk.clock.now(), code, text)

    def _seldom(self, text: str, **more: str) -> None:
        """A line in the log, once a minute: what is wrong with one tap is often wrong with all."""
        now = self.desk.clock.now()
        if now - self._said.get(text, Instant(now - MINUTE)) >= MINUTE:
            self._said[text] = now
            self.desk.log.error(text, **more)

    async def _bugs(self, connection: Connection, leg: Leg) -> list[str] | None:
        """Where the taps of a leg write to; None when FreeSWITCH did not say: what is there is then left as it is."""
        try:
            return _TARGET.findall(await connection.background(commands.buglist(leg.channel)))
        except NoSuchChannelError:
            return []
        except (PeerError, ConfigError):
            return None

    def _send(self, line: str, connection: Connection) -> None:
        self._tasks.create_task(self._quietly(line, connection), name="tap-command")

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
