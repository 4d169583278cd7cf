"""All calls of the daemon: who opens them, who keeps them going, what happens when they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from vcond import __version__
from vcond.base import metrics
from vcond.base.errors import AmbiguousError, StorageError
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Cause
from vcond.call.ids import Minter
from vcond.call.interruption import interrupted
from vcond.call.recorder import Standing
from vcond.call.state import Call, fold
from vcond.capture.clock import SteadyClock
from vcond.capture.disk import FreeSpace
from vcond.capture.live_call import CoreCall
from vcond.capture.live_feed import Bus, Line
from vcond.capture.live_track import CoreTrack
from vcond.capture.no_journal import CallStore, NoJournal
from vcond.config.schema import DaemonConfig
from vcond.journal import CallJournal, Store
from vcond.media.codecs import Codec
from vcond.speech.routes import Wishes

if TYPE_CHECKING:
    from vcond.speech.dispatcher import Ear

log = structlog.get_logger()

PATIENCE = 300.0
"""Seconds that calls of an earlier run wait for a system that is not attached, if the grace is shorter."""
STILL_PAUSED = 3600.0
"""Seconds after a call was cut off in which another one of its key goes on with it."""
MOST_PAUSED = 1000
"""Calls that were cut off while paused, and are remembered."""
LARGEST_SKEW = SECOND
"""A wall clock this far from ours is taken over as soon as no call is open."""


SEVERAL = "several calls begin with this: give more of the id"


class Listener(Protocol):
    """What the office uses of ``vcond.speech.dispatcher.Speech``."""

    def listen(self, source: CoreTrack, start: int = 0) -> Ear:
        """An ear for a track, from a position on."""
        ...

    def catch_up(self, source: CoreTrack, utterances: Sequence[ev.Utterance]) -> None:
        """Transcribe what an earlier run left without text."""
        ...


class Office:
    """Keeps every call by adapter and key. Runs in the event loop; nothing here waits."""

    def __init__(
        self,
        config: DaemonConfig,
        *,
        store: Store,
        speech: Listener,
        clock: SteadyClock,
        bus: Bus,
        finish: Callable[[CoreCall, CallJournal], None],
        discard: Callable[[CallJournal], None],
        facts: Callable[[], Mapping[str, str]] = dict,
        wishes: Callable[[Call], Wishes] = lambda _: Wishes(),
        free_space: Callable[[Path], int] | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.speech = speech
        self.clock = clock
        self.bus = bus
        self._finish = finish
        self._discard = discard
        self._facts = facts
        self.wishes = wishes
        self._free_space = free_space or FreeSpace()
        self._host = config.host
        self._minter = Minter(self._host, seed=clock.now() & 0x7FFFFFFF)
        self._live: dict[tuple[str, str], CoreCall] = {}
        self._unfinished: dict[tuple[str, str], CoreCall] = {}
        self._began = clock.now()
        self._cut_paused: dict[tuple[str, str], tuple[Instant, list[Standing]]] = {}
        """Of calls that were cut off while recording was paused: when, and by whom. The call that follows is paused, too."""
        self._attached: dict[str, tuple[bool, Instant, str]] = {}
        self.disk_low = ""

    # For the desks.

    def call(self, adapter: str, key: str, at: Instant, direction: ev.Direction) -> CoreCall:
        """The live call of that key: open, unfinished, or new."""
        key = key.encode("utf-8", "replace").decode()[:256]
        found = self._live.get((adapter, key))
        if found is not None:
            return found
        left = self._unfinished.pop((adapter, key), None)
        if left is not None:
            left.record(ev.Recovered(at=self.clock.now()))
            log.info("call taken up again", call=left.uuid, adapter=adapter)
            return self._keep(left)
        return self._keep(self._open(adapter, key, at, direction))

    def open_calls(self, adapter: str) -> Sequence[CoreCall]:
        """Calls that go on."""
        return [call for (name, _), call in self._live.items() if name == adapter]

    def unfinished(self, adapter: str) -> Sequence[CoreCall]:
        """Calls of an earlier run without an end."""
        return [call for (name, _), call in self._unfinished.items() if name == adapter]

    def attached(self, adapter: str, ok: bool, detail: str) -> None:
        """What an adapter says of its system."""
        before = self._attached.get(adapter)
        if before is None or (before[0], before[2]) != (ok, detail):
            level = log.info if ok else log.warning
            level("system attached" if ok else "system not attached", adapter=adapter, detail=detail)
            since = before[1] if before is not None and before[0] is ok else self.clock.now()
            self._attached[adapter] = (ok, since, detail)
        metrics.adapter_connected.labels(adapter).set(ok)

    # For calls.

    def call_ended(self, call: CoreCall) -> None:
        """An end was said; the record is made."""
        self._forget(call)
        outcome = "answered" if call.state.disposition is None else call.state.disposition.value
        metrics.calls_total.labels(call.state.adapter, outcome).inc()
        for track in call.state.tracks:
            for start, stop, kind in track.spans:
                metrics.media_seconds_total.labels(call.state.adapter, kind.value).inc((stop - start) / track.rate)
        if call.not_recorded:
            log.warning("call ended, and was not recorded", call=call.uuid, why=call.not_recorded)
        log.info("call ended", call=call.uuid, adapter=call.state.adapter, outcome=outcome)
        if isinstance(call.journal, CallJournal):
            self._finish(call, call.journal)

    def call_merged(self, call: CoreCall) -> None:
        """A call became part of another."""
        self._forget(call)
        if isinstance(call.journal, CallJournal):
            self._discard(call.journal)

    # For the daemon.

    @property
    def live(self) -> Sequence[CoreCall]:
        """Every call that goes on."""
        return list(self._live.values())

    @property
    def adapters(self) -> dict[str, tuple[bool, str]]:
        """What each adapter said last."""
        return {name: (ok, detail) for name, (ok, _, detail) in self._attached.items()}

    @property
    def waiting(self) -> int:
        """How many calls of an earlier run nobody has taken up yet."""
        return len(self._unfinished)

    def find(self, uuid: str) -> CoreCall | None:
        """A call that goes on, by its uuid or a beginning that no other has. Raises LookupError for several."""
        found = [call for call in self._live.values() if uuid and call.uuid.startswith(uuid)]
        if len(found) > 1:
            raise AmbiguousError(SEVERAL)
        return found[0] if found else None

    def take_back(self, journal: CallJournal, now: Instant) -> CoreCall:
        """A journal of an earlier run without an end: mark the interruption and keep it for its adapter."""
        state = fold(journal.events)
        call = CoreCall(state, journal, self)
        for event in interrupted(state, journal.length, now=now):
            call.record(event)
        self._listen_again(call)
        before = self._unfinished.get((state.adapter, state.key))
        if before is not None:
            self.finish_unfinished(before)
        self._unfinished[state.adapter, state.key] = call
        metrics.recovered_calls_total.labels(state.adapter).inc()
        return call

    def take_to_finish(self, journal: CallJournal) -> None:
        """A journal of an earlier run with an end and no vCon yet."""
        call = CoreCall(fold(journal.events), journal, self)
        self._listen_again(call)
        self._finish(call, journal)

    def mint(self, at: Instant) -> str:
        """A new uuid of this edge."""
        return str(self._minter.mint(at))

    def take_to_amend(self, journal: CallJournal) -> CoreCall:
        """A journal whose vCon left without all texts: they are asked for again, when there is time."""
        call = CoreCall(fold(journal.events), journal, self)
        self._listen_again(call, missed=True)
        return call

    def tick(self, now: Instant) -> None:
        """Twice a second: release, look at limits, count. A call that fails in it fails alone."""
        for call in self.live:
            try:
                self._tick_call(call, now)
            except Exception:
                log.exception("a call failed in the tick; please report it", call=call.uuid)
        for (adapter, _), call in list(self._unfinished.items()):
            ok, since, _ = self._attached.get(adapter, (False, self._began, ""))
            patience = self.config.grace if ok else max(self.config.grace, PATIENCE)
            if now - max(since, self._began) > patience * SECOND:
                self.finish_unfinished(call)
        self._follow_the_wall_clock()
        self._watch_disk()
        self.bus.publish(Line("", "event", "tick"))
        for name in self._attached:
            metrics.calls_active.labels(name).set(len(self.open_calls(name)))

    def finish_unfinished(self, call: CoreCall) -> None:
        """Nobody took it up again: it ended when we stopped hearing it."""
        at = call.state.known_until
        call.record(ev.Warned(at=at, code="cut-short", text="capture stopped before the call's end was seen"))
        call.end(at=at, cause=Cause(text="unknown"))

    def finish_all_unfinished(self, adapters: Sequence[str] | None = None) -> None:
        """End what no configured adapter can take up; with None, everything."""
        for (adapter, _), call in list(self._unfinished.items()):
            if adapters is None or adapter not in adapters:
                self.finish_unfinished(call)

    def interrupt_all(self, reason: str) -> None:
        """The daemon stops: what goes on is left for the next start."""
        now = self.clock.now()
        for call in self.live:
            for track in list(call.tracks):
                track.close(at=now)
            call.record(ev.Interrupted(at=now, reason=reason))
        self._live.clear()

    # Inside.

    def _tick_call(self, call: CoreCall, now: Instant) -> None:
        for track in list(call.tracks):
            track.tick(now)
        if now - call.state.opened > round(self.config.max_call_hours * 3600 * SECOND):
            self._cut(call, "limit", now)
        elif self._gone(call.state.adapter, now) and now - call.last_heard > self.config.grace * SECOND:
            self._cut(call, "adapter-gone", call.last_heard)

    def _listen_again(self, call: CoreCall, *, missed: bool = False) -> None:
        """What an earlier run captured and did not transcribe: utterances without text, and audio without utterances."""
        for state in call.state.tracks:
            track = CoreTrack(
                call, state.index, state.party, codec=Codec.L16, rate=state.rate, clock=None, at=state.opened
            )
            track.restore(state)
            spoken = [s.utterance.stop for s in call.state.speech.values() if s.utterance.track == state.index]
            track.resume_listening(max([0, *spoken]), state.samples)
            self._catch_up(track, [*call.state.untranscribed(), *(call.state.missed() if missed else [])])
            call.sources.append(track)

    def _open(self, adapter: str, key: str, at: Instant, direction: ev.Direction) -> CoreCall:
        self._follow_the_wall_clock()
        at, now = self.clock.moved(at), self.clock.now()
        if not now - 3600 * SECOND <= at <= now + SECOND:
            at = now
        opened = ev.CallOpened(
            at=at,
            call=str(self._minter.mint(at)),
            adapter=adapter,
            key=key,
            direction=direction,
            recorder=self._host,
            software=f"vcond {__version__}",
        )
        state = Call()
        state.apply(opened)
        log.info("call opened", call=state.uuid, adapter=adapter)
        call = CoreCall(state, self._journal(opened), self)
        for name, value in self._facts().items():
            call.record(ev.Fact(at=at, name=name, value=value))
        since, standing = self._cut_paused.pop((adapter, key), (Instant(0), []))
        if standing and at - since <= STILL_PAUSED * SECOND:
            call.keep_paused(standing, at)
            log.info("recording stays paused, as in the call before", call=call.uuid)
        return call

    def _follow_the_wall_clock(self) -> None:
        """A step of it is taken over while no call is open, and every moment that is kept here moves with it."""
        if self._live or self._unfinished or abs(self.clock.off()) <= LARGEST_SKEW:
            return
        step = self.clock.anchor()
        log.warning("the wall clock stepped", seconds=round(step / SECOND, 3))
        self._began = Instant(self._began + step)
        self._attached = {name: (ok, Instant(at + step), why) for name, (ok, at, why) in self._attached.items()}

    def _journal(self, opened: ev.CallOpened) -> CallStore:
        if self.disk_low:
            why = f"below vcond.min_free_mb: {self.disk_low}"
            fix = f"free space in {self.config.state_dir}, or lower vcond.min_free_mb"
            log.error("call not recorded", call=opened.call, why=why, fix=fix)
            return NoJournal(why)
        try:
            return self.store.open(opened)
        except StorageError as why:
            log.error("call not recorded", call=opened.call, why=str(why))  # noqa: TRY400 - the message says it all
            return NoJournal(str(why))

    def _catch_up(self, track: CoreTrack, left: Sequence[ev.Utterance]) -> None:
        """Texts that an earlier run, or we in time, did not come to."""
        waiting = [
            msgspec.structs.replace(one, start=one.start - track.shift, stop=one.stop - track.shift)
            for one in left
            if one.track == track.index
        ]
        if waiting:
            self.speech.catch_up(track, waiting)

    def _keep(self, call: CoreCall) -> CoreCall:
        self._live[call.state.adapter, call.key] = call
        return call

    def _forget(self, call: CoreCall) -> None:
        for calls in (self._live, self._unfinished):
            if calls.get((call.state.adapter, call.key)) is call:
                del calls[call.state.adapter, call.key]

    def _gone(self, adapter: str, now: Instant) -> bool:
        ok, since, _ = self._attached.get(adapter, (False, now, ""))
        return not ok and now - since > self.config.grace * SECOND

    def _cut(self, call: CoreCall, reason: str, at: Instant) -> None:
        log.warning("call ended by vcond", call=call.uuid, reason=reason)
        if call.state.paused:
            self._cut_paused[call.state.adapter, call.key] = (self.clock.now(), call.standing())
            for old in list(self._cut_paused)[:-MOST_PAUSED]:
                del self._cut_paused[old]
        call.record(ev.Interrupted(at=at, reason=reason))
        call.end(at=at, cause=Cause(text=reason))

    def _watch_disk(self) -> None:
        try:
            free = self._free_space(Path(self.config.state_dir)) // 1_000_000
        except OSError as why:
            low = f"{self.config.state_dir} cannot be looked at: {why.strerror}"
        else:
            low = f"{free} MB free, {self.config.min_free_mb} wanted" if free < self.config.min_free_mb else ""
        if bool(low) != bool(self.disk_low):
            log.warning("disk low: no new call is recorded" if low else "disk is fine again", detail=low)
        self.disk_low = low
