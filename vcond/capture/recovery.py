"""Calls of an earlier run, from their journals: what is to become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
import structlog

from vcond.base import metrics
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Cause
from vcond.call.consents import standing as said_last
from vcond.call.interruption import interrupted, vanished
from vcond.call.told_consent import is_consent
from vcond.capture.live_call import CapturedCall
from vcond.capture.live_track import CapturedTrack
from vcond.journal import CallJournal
from vcond.media.codecs import Codec
from vcond.policy.pausing import CutOff, Left, standing

log = structlog.get_logger()


class CatchingUp(Protocol):
    """What is used of speech."""

    def catch_up(self, source: CapturedTrack, utterances: Sequence[ev.Utterance]) -> None:
        """Transcribe what an earlier run left without text."""


class Recovery:
    """Owns the calls of an earlier run that have no end, until their adapter takes them up or they are ended."""

    def __init__(
        self,
        *,
        opened: Callable[[CallJournal], CapturedCall],
        speech: CatchingUp,
        finish: Callable[[CapturedCall, CallJournal], None],
        max_hours: Callable[[], float],
        cut_off: CutOff[list[ev.Consent]],
    ) -> None:
        """``opened`` makes the call of a journal; ``finish`` takes one that has ended; ``max_hours``: how long one may last."""
        self._opened, self._speech, self._finish = opened, speech, finish
        self._max_hours, self._cut_off = max_hours, cut_off
        self._unfinished: dict[tuple[str, str], CapturedCall] = {}

    def __len__(self) -> int:
        return len(self._unfinished)

    def unfinished(self, adapter: str | None = None) -> list[CapturedCall]:
        """Calls without an end that nobody has taken up yet: of one adapter, or all."""
        return [call for (name, _), call in self._unfinished.items() if adapter in {None, name}]

    def taken_up(self, adapter: str, key: str) -> CapturedCall | None:
        """The call of that key, which goes on from now."""
        return self._unfinished.pop((adapter, key), None)

    def forget(self, call: CapturedCall) -> None:
        """It is over."""
        if self._unfinished.get((call.state.adapter, call.key)) is call:
            del self._unfinished[call.state.adapter, call.key]

    def take_back(self, journal: CallJournal, now: Instant) -> CapturedCall:
        """A journal without an end: mark the interruption and keep it for its adapter.

        A call past ``max_call_hours`` is over, whatever its adapter finds: the gap would be longer than what was heard.
        """
        call = self._interrupted(journal, now)
        adapter = call.state.adapter
        before = self._unfinished.get((adapter, call.key))
        if before is not None:
            self.finish_unfinished(before)
        self._unfinished[adapter, call.key] = call
        if too_old(call, self._max_hours(), now):
            log.warning(
                "call of an earlier run is past max_call_hours; ended where its recording stopped", call=call.uuid
            )
            self.finish_unfinished(call)
        return call

    def end_at_once(self, journal: CallJournal, now: Instant) -> None:
        """A journal without an end, of a call that is known to be over."""
        self.finish_unfinished(self._interrupted(journal, now))

    def take_to_finish(self, journal: CallJournal) -> None:
        """A journal with an end and no vCon yet."""
        call = self._opened(journal)
        call.review.again()
        for event in vanished(call.state, journal.length, now=call.state.known_until):
            call.record(event)
        self._listen_again(call)
        self._finish(call, journal)

    def take_to_amend(self, journal: CallJournal) -> CapturedCall:
        """A journal whose vCon left without all texts: they are asked for again, when there is time."""
        call = self._opened(journal)
        self._listen_again(call, missed=True)
        return call

    def finish_unfinished(self, call: CapturedCall) -> None:
        """Nobody took it up again: it ended when we stopped hearing it."""
        keep_pauses(self._cut_off, call)
        at = call.state.known_until
        call.record(ev.Warned(at=at, code="cut-short", text="capture stopped before the call's end was seen"))
        call.end(at=at, cause=Cause(text="unknown"))

    def finish_all_unfinished(self, adapters: Sequence[str] = ()) -> None:
        """End what none of these adapters can take up."""
        for call in self.unfinished():
            if call.state.adapter not in adapters:
                with alone(call, "ending"):
                    self.finish_unfinished(call)

    def _interrupted(self, journal: CallJournal, now: Instant) -> CapturedCall:
        call = self._opened(journal)
        call.review.again()
        for event in interrupted(call.state, journal.length, now=now):
            call.record(event)
        self._listen_again(call)
        metrics.recovered_calls_total.labels(call.state.adapter).inc()
        return call

    def _listen_again(self, call: CapturedCall, *, missed: bool = False) -> None:
        """What an earlier run captured and did not transcribe: utterances without text, and audio without utterances."""
        for state in call.state.tracks:
            track = CapturedTrack(
                call, state.index, state.party, codec=Codec.L16, rate=state.rate, clock=None, at=state.opened
            )
            track.restore(state)
            spoken = [s.utterance.stop for s in call.state.speech.values() if s.utterance.track == state.index]
            track.resume_listening(max([0, *spoken]), state.samples)
            self._catch_up(track, [*call.state.untranscribed(), *(call.state.missed() if missed else [])])
            call.sources.append(track)

    def _catch_up(self, track: CapturedTrack, left: Sequence[ev.Utterance]) -> None:
        """Texts that an earlier run, or we in time, did not come to."""
        waiting = [
            msgspec.structs.replace(one, start=one.start - track.shift, stop=one.stop - track.shift)
            for one in left
            if one.track == track.index
        ]
        if waiting:
            self._speech.catch_up(track, waiting)


@contextmanager
def alone(call: CapturedCall, doing: str) -> Iterator[None]:
    """A mistake with one call is logged, and costs the others nothing."""
    try:
        yield
    except Exception:
        log.exception("internal error with a call; please report it", call=call.uuid, doing=doing)


def too_old(call: CapturedCall, hours: float, now: Instant) -> bool:
    """Whether it lasts longer than a call may."""
    return now - call.state.opened > round(hours * 3600 * SECOND)


def keep_pauses(cut_off: CutOff[list[ev.Consent]], call: CapturedCall) -> None:
    """For the call that may go on in its place."""
    state = call.state
    words = {party.key: said for party in state.parties if (said := said_last(state.consents, party.index))}
    keys: dict[int | None, str] = {party.index: party.key for party in state.parties}
    told = {(one.name, one.value, keys.get(one.party, "")) for one in state.facts if is_consent(one.name)}
    left = Left(standing(state.pauses, state.parties), words, frozenset(told))
    cut_off.keep(state.adapter, call.key, call.now(), left)
