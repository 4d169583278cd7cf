"""What goes when a party refuses, or takes back what it had agreed to: of this run and of earlier ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.consenting import Review, without
from vcond.call.intervals import touches
from vcond.call.state import Call, fold
from vcond.capture.live_track import CapturedTrack, LiveOwner
from vcond.policy.consent import Purpose


class Taken(LiveOwner, Protocol):
    """The call of which something goes."""

    review: Review
    sources: list[CapturedTrack]
    """Those of an earlier run."""

    @property
    def tracks(self) -> Sequence[CapturedTrack]:
        """Those that are being captured."""

    def now(self) -> Instant:
        """This moment."""


def take_back(call: Taken, parties: Collection[int], purpose: Purpose, since: Instant) -> None:
    """Audio, words and digits of these parties since then, in the journal, too."""
    for track in (*call.tracks, *call.sources):
        if track.party in parties:
            call.registry.speech.forget_track(track)
            track.hush(0)
    for waiting in call.state.untranscribed():
        if call.state.tracks[waiting.track].party in parties:
            call.record(ev.Untranscribed(at=call.now(), utterance=waiting.utterance, reason=ev.NO_CONSENT))
    if since > call.state.opened:
        call.review.silence(parties, purpose, since)
    for known in call.state.tracks if since <= call.state.opened and purpose == "recording" else ():
        if known.party in parties:
            call.journal.erase(known.file)
    if (left := without(call.journal.events, parties, digits=purpose == "recording", since=since)) is not None:
        call.journal.rewrite(left)
        call.state = fold(left)


def too_late(state: Call, utterance: int) -> bool:
    """Whether a text came of what its party agreed to no longer."""
    of = state.speech.get(utterance)
    if of is None:
        return False
    track = state.tracks[of.utterance.track]
    start, stop = (state.at(position, track.rate) for position in (of.utterance.start, of.utterance.stop))
    return touches(state.consents.withheld(track.party, "transcription"), start, stop)
