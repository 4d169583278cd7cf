"""All calls of the daemon: who opens them, who keeps them going, what happens when they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from vcond import __version__
from vcond.base import metrics
from vcond.base.errors import SEVERAL, AmbiguousError, StorageError
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Cause
from vcond.call.diagnosis import hint
from vcond.call.ids import Minter
from vcond.call.state import Call, fold
from vcond.call.stopped_audio import CODE, TapRule, miss
from vcond.capture.attachments import Attachments
from vcond.capture.clock import SteadyClock
from vcond.capture.levels import Levels
from vcond.capture.live_call import CapturedCall
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.capture.live_track import CapturedTrack
from vcond.capture.no_journal import CallStore, NoJournal, forgotten
from vcond.capture.pressure import PressureWatch
from vcond.capture.recovery import CatchingUp, Recovery, alone, keep_pauses, too_old
from vcond.capture.undecided import Undecided
from vcond.config.schema import DaemonConfig
from vcond.journal import CallJournal, Store
from vcond.policy.consent import Terms
from vcond.policy.pausing import CutOff
from vcond.speech.load.admission import STATES, State
from vcond.speech.routes import RecognitionOptions

if TYPE_CHECKING:
    from vcond.speech.dispatcher import TrackListener

log = structlog.get_logger()

LARGEST_SKEW = SECOND
"""A wall clock this far from ours is taken over as soon as no call is open."""

_NOT_UNHEARD = frozenset({ev.SpanKind.RECEIVED, ev.SpanKind.PAUSED, ev.SpanKind.WITHHELD})


def _count(state: Call, outcome: str) -> None:
    """What a call that ended was, for the metrics. A party that nobody wanted to keep was not unheard."""
    metrics.calls_total.labels(state.adapter, outcome).inc()
    heard: set[int] = set()
    for track in state.tracks:
        for start, stop, kind in track.spans:
            metrics.media_seconds_total.labels(state.adapter, kind.value).inc((stop - start) / track.rate)
            heard |= {track.party} if kind in _NOT_UNHEARD else set()
    if state.answered is not None:
        metrics.leg_silent_total.labels(state.adapter).inc(len({track.party for track in state.tracks} - heard))


class Listener(CatchingUp, Protocol):
    """What the registry and its calls use of ``vcond.speech.dispatcher.Speech``."""

    def listen(self, source: CapturedTrack, start: int = 0) -> TrackListener:
        """A listener for a track, from a position on."""

    def forget_track(self, source: CapturedTrack) -> int:
        """Nobody wants the texts of a track any more."""

    def at_most(self, best: State) -> None:
        """The machine is short of something: no call is transcribed better than that."""


class CallRegistry:
    """Keeps every call by adapter and key. Runs in the event loop; nothing here waits."""

    def __init__(
        self,
        config: DaemonConfig,
        *,
        store: Store,
        speech: Listener,
        clock: SteadyClock,
        bus: LiveFeed,
        finish: Callable[[CapturedCall, CallJournal], None],
        discard: Callable[[CallJournal], None],
        facts: Callable[[], Mapping[str, str]] = dict,
        recognition_options: Callable[[Call], RecognitionOptions] = lambda _: RecognitionOptions(),
        terms_of_call: Callable[[Call], Terms | None] = lambda _: None,
        pressure: PressureWatch | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.speech = speech
        self.clock = clock
        self.bus = bus
        self.levels = Levels()
        self._finish = finish
        self._discard = discard
        self._facts = facts
        self.recognition_options = recognition_options
        self.terms_of_call = terms_of_call
        self.pressure = pressure or PressureWatch()
        self.undecided = Undecided()
        self.attachments = Attachments(clock.now)
        self.taps: dict[str, TapRule] = {}
        """By adapter, when audio has stopped, and who asks for it anew."""
        self.hints: Mapping[str, Mapping[str, str]] = {}
        """By adapter and code, what an adapter says is to be done."""
        self._cut_off = CutOff[list[ev.Consent]]()
        self.recovery = Recovery(
            opened=lambda journal: CapturedCall(fold(journal.events), journal, self),
            speech=speech,
            finish=finish,
            max_hours=lambda: self.config.max_call_hours,
            cut_off=self._cut_off,
        )
        self._host = config.host
        self._minter = Minter(self._host, seed=clock.now() & 0x7FFFFFFF)
        self.forgotten: Callable[[str, str], bool] = lambda _adapter, _key: False  # while they went on: not recorded
        self.stopping = False
        """Calls that go on may end, and then vcond stops."""
        self._live: dict[tuple[str, str], CapturedCall] = {}

    # For the hosts.

    def call(self, adapter: str, key: str, at: Instant, direction: ev.Direction) -> CapturedCall:
        """The live call of that key: open, unfinished, or new."""
        key = key.encode("utf-8", "replace").decode()[:256]
        found = self._live.get((adapter, key))
        if found is not None:
            return found
        left = self.recovery.taken_up(adapter, key)
        if left is not None:
            left.record(ev.Recovered(at=self.clock.now()))
            left.review.look()
            log.info("recording resumed after restart", call=left.uuid, adapter=adapter)
            return self._keep(left)
        return self._keep(self._open(adapter, key, at, direction))

    def open_calls(self, adapter: str) -> Sequence[CapturedCall]:
        """Calls that go on."""
        return [call for (name, _), call in self._live.items() if name == adapter]

    # For calls.

    def call_ended(self, call: CapturedCall) -> None:
        """An end was said; the record is made."""
        self._forget(call)
        if isinstance(call.journal, CallJournal):
            self._finish(call, call.journal)
        outcome = "answered" if call.state.disposition is None else call.state.disposition.value
        if call.not_recorded:
            log.warning("call ended; it was not recorded", call=call.uuid, error=call.not_recorded)
        log.info("call ended", call=call.uuid, adapter=call.state.adapter, outcome=outcome)
        with alone(call, "counting"):
            _count(call.state, outcome)

    def call_merged(self, call: CapturedCall) -> None:
        """A call became part of another."""
        self._forget(call)
        if isinstance(call.journal, CallJournal):
            self._discard(call.journal)

    # For the daemon.

    @property
    def live(self) -> Sequence[CapturedCall]:
        """Every call that goes on."""
        return list(self._live.values())

    def find(self, uuid: str) -> CapturedCall | None:
        """A call that goes on, by its uuid or a beginning that no other has. Raises LookupError for several."""
        found = [call for call in self._live.values() if uuid and call.uuid.startswith(uuid)]
        if len(found) > 1:
            raise AmbiguousError(SEVERAL)
        return found[0] if found else None

    def mint(self, at: Instant) -> str:
        """A new uuid of this edge."""
        return str(self._minter.mint(at))

    def tick(self, now: Instant) -> None:
        """Twice a second: release, look at limits, count. A call that fails in it fails alone."""
        for call in self.live:
            with alone(call, "checking"):
                self._tick_call(call, now)
        for call in self.recovery.unfinished():
            if self.attachments.had_time(call.state.adapter, now, self.config.grace):
                with alone(call, "ending"):
                    self.recovery.finish_unfinished(call)
        self._follow_the_wall_clock()
        self.pressure.look(self.config, self.recorded)
        self.speech.at_most(STATES[self.pressure.texts])
        self.bus.publish(CaptionEvent("", "event", "tick"))
        for name in self.attachments.said:
            metrics.calls_active.labels(name).set(len(self.open_calls(name)))

    def interrupt_all(self, reason: str) -> None:
        """The daemon stops: what goes on is left for the next start."""
        now = self.clock.now()
        for call in self.live:
            with alone(call, "interrupting"):
                for track in list(call.tracks):
                    track.close(at=now)
                call.record(ev.Interrupted(at=now, reason=reason))
        self._live.clear()

    # Inside.

    @property
    def recorded(self) -> int:
        """Calls of which something is kept."""
        return sum(not call.not_recorded for call in self._live.values())

    def _tick_call(self, call: CapturedCall, now: Instant) -> None:
        for track in list(call.tracks):
            track.tick(now)
        call.review.tick(now)
        _look_for_audio(self, call, now)
        if too_old(call, self.config.max_call_hours, now):
            self._cut(call, "limit", now)
        elif (
            self.attachments.gone(call.state.adapter, now, self.config.grace)
            and now - call.last_heard > self.config.grace * SECOND
        ):
            self._cut(call, "adapter-gone", call.last_heard)

    def _open(self, adapter: str, key: str, at: Instant, direction: ev.Direction) -> CapturedCall:
        self._follow_the_wall_clock()
        at, now = self.clock.moved(at), self.clock.now()
        if not now - 3600 * SECOND <= at <= now + SECOND:
            at = now
        opened = ev.CallOpened(at=at, call=str(self._minter.mint(at)), adapter=adapter, key=key, direction=direction,
                               recorder=self._host, software=f"vcond {__version__}")  # fmt: skip
        state = Call()
        state.apply(opened)
        log.info("call opened", call=state.uuid, adapter=adapter)
        call = CapturedCall(state, _journal(self, opened), self)
        for name, value in self._facts().items():
            call.record(ev.CallAttribute(at=at, name=name, value=value))
        call.review.look()
        left = self._cut_off.take(adapter, key, at)
        call.review.words, call.review.told_before = left.words, left.told
        if left.pauses:
            call.keep_paused(left.pauses, at)
            log.info("recording stays paused, as in the previous call", call=call.uuid)
        return call

    def _follow_the_wall_clock(self) -> None:
        """A step of it is taken over while no call is open, and every moment that is kept here moves with it."""
        if self._live or len(self.recovery) or abs(self.clock.off()) <= LARGEST_SKEW:
            return
        step = self.clock.anchor()
        log.warning("the system clock jumped", seconds=round(step / SECOND, 3))
        self.attachments.moved(step)

    def _keep(self, call: CapturedCall) -> CapturedCall:
        self._live[call.state.adapter, call.key] = call
        return call

    def _forget(self, call: CapturedCall) -> None:
        self.recovery.forget(call)
        if self._live.get((call.state.adapter, call.key)) is call:
            del self._live[call.state.adapter, call.key]

    def _cut(self, call: CapturedCall, reason: str, at: Instant) -> None:
        log.warning("call ended by vcond", call=call.uuid, reason=reason)
        keep_pauses(self._cut_off, call)
        call.record(ev.Interrupted(at=at, reason=reason))
        call.end(at=at, cause=Cause(text=reason))


def _look_for_audio(registry: CallRegistry, call: CapturedCall, now: Instant) -> None:
    adapter = call.state.adapter
    for one in miss(call, registry.taps.get(adapter, TapRule()), now):
        log.warning(
            "audio of a party has stopped", adapter=adapter, call=call.uuid, error=one.text, does=one.does,
            hint=hint(CODE, registry.hints.get(adapter)),
        )  # fmt: skip


def _journal(registry: CallRegistry, opened: ev.CallOpened) -> CallStore:
    """Where a new call is written; what stands in for it says why it is not."""
    if short := registry.pressure.refusal(registry.config, registry.recorded):
        why = f"{short.resource}: {short.detail}"
        log.error("call not recorded", call=opened.call, error=why, hint=short.hint)
        return NoJournal(why, short.resource)
    if registry.forgotten(opened.adapter, opened.key):
        return forgotten()
    try:
        return registry.store.open(opened)
    except StorageError as why:
        log.error("call not recorded", call=opened.call, error=str(why))  # noqa: TRY400 - the message says it all
        return NoJournal(str(why))
