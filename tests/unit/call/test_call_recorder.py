"""What a live call does with what it is told, with nothing but lists around it.

What a call does at the daemon is shown in ``tests/unit/capture``, in memory in ``tests/unit/testing``; that both tell
the same, in ``test_testing_same_as_capture.py``.
"""

from __future__ import annotations

import numpy as np
import pytest

from vcond.base.errors import BadMediaError, ProtocolError
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call import recorder
from vcond.call.recorder import NotMergedError, Recorder
from vcond.call.state import fold
from vcond.call.track_recorder import TrackRecorder
from vcond.media.placement.put_aside import PutAside
from vcond.policy import pausing
from vcond.policy.consent import Terms

ZERO = 1_000_000 * SECOND
RATE = 8000


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


class Piece:
    def __init__(self, start, pcm):
        self.start, self.pcm = start, pcm


class InOrder:
    """Places frames one behind another."""

    end = 0

    def __init__(self):
        self.told, self.marks = [], []

    def push(self, pcm, *, arrived, stamp=None, seq=None):
        piece, self.end = Piece(self.end, pcm), self.end + len(pcm)
        self.told.append((piece.start, self.end, "received"))
        return [piece]

    def idle(self, now):
        return []

    def mark(self, since, until, kind):
        self.marks.append((since, until, kind))

    def spans(self):
        told, self.told = self.told, []
        return told

    def close(self, at):
        return []


def decoded(payload):
    if len(payload) % 2:
        raise BadMediaError("odd")
    return np.frombuffer(payload, "<i2")


class Track(TrackRecorder):
    def __init__(self, call, index, party):
        super().__init__(call, index, party, rate=RATE, at=at(0), timeline=InOrder(), decode=decoded, aside=PutAside())
        self.did = []

    def keep(self, start, pcm):
        self.did.append(("keep", start, start + len(pcm)))

    def hush(self, at):
        self.did.append(("hush", at))

    def take_back(self, since):
        self.did.append(("take back", since))


class Listed(Recorder):
    def __init__(self, key="one", opened=0.0):
        first = ev.CallOpened(at=at(opened), call=f"uuid-{key}", adapter="test", key=key)
        super().__init__(fold([first]))
        self.time, self.events = at(opened), [first]
        self.drops, self.odds, self.lines, self.limits, self.refused = [], [], [], [], ()

    def now(self):
        return self.time

    def append(self, event):
        if isinstance(event, self.refused):
            return False
        self.events.append(event)
        return True

    def dropped(self, what, reason):
        self.drops.append((what, reason))

    def odd(self, event, why, count=1):
        self.odds.append((type(event).__name__, why, count))

    def overflowed(self, what):
        self.limits.append(what)

    def ended(self):
        self.lines.append("the end")

    def tell(self, kind, text, party, name, start, stop):
        self.lines.append((kind, text, party, name, start, stop))

    def track(self, party=0):
        index = self.open_track(party, at=self.time, codec="L16", rate=RATE)
        self.tracks.append(Track(self, index, party))
        return self.tracks[-1]


def test_a_party_joins_is_described_returns_and_is_written_no_more_than_that():
    call = Listed()
    assert [call.party("a", at=at(0), who=ev.PartyInfo(tel="1")), call.party("b", at=at(0))] == [0, 1]
    assert call.party("a", at=at(1), who=ev.PartyInfo(tel="1")) == 0
    assert call.party("a", at=at(1), who=ev.PartyInfo(name="Ann")) == 0
    call.emit(ev.PartyLeft(at=at(2), party=0))
    assert call.party("a", at=at(3)) == 0
    assert [type(event).__name__ for event in call.events[1:]] == [
        "PartyJoined", "PartyJoined", "PartyDescribed", "PartyLeft", "PartyJoined",
    ]  # fmt: skip


def test_a_name_that_is_no_unicode_is_mended():
    call = Listed()
    call.party("a\ud800", at=at(0), who=ev.PartyInfo(name="\ud800"))
    call.emit(ev.Tagged(at=at(0), name="x", value="\ud800"))
    assert (call.state.parties[0].key, call.state.parties[0].told.name, call.state.tags) == ("a?", "?", [("x", "?")])


def test_what_an_event_says_of_its_moment_is_believed_within_bounds():
    call = Listed()
    call.emit(ev.Tagged(at=at(9), name="soon"))
    call.emit(ev.Tagged(at=at(11), name="later"))
    call.emit(ev.Tagged(at=at(-3601), name="long-ago"))
    call.party("a", at=at(-5))
    assert [event.at for event in call.events[1:]] == [at(9), at(0), at(0), at(0)]
    assert call.odds == [
        ("Tagged", "lies in the future", 1),
        ("Tagged", "lies long before the call", 1),
    ]


def test_what_makes_no_sense_is_told_and_what_cannot_be_kept_is_not_in_the_state():
    call = Listed()
    call.emit(ev.Held(at=at(0), party=7))
    assert call.odds == [("Held", "made no sense", 1)]
    call.refused = (ev.Tagged,)
    call.emit(ev.Tagged(at=at(0), name="x"))
    assert call.state.tags == []


def test_when_it_is_sealed_only_what_was_published_is_taken():
    call = Listed()
    call.sealed = True
    call.record(ev.Tagged(at=at(0), name="x"))
    call.record(ev.Published(at=at(0), sha512="ab"))
    assert (call.drops, call.state.published) == ([("event", "sealed")], "ab")


def test_limits_are_counted_and_said_once(monkeypatch):
    monkeypatch.setattr(recorder, "MAX_EVENTS", 2)
    monkeypatch.setattr(recorder, "MAX_SWITCHES", 1)
    monkeypatch.setattr(recorder, "MAX_PARTIES", 1)
    monkeypatch.setattr(recorder, "MAX_TRACKS", 0)
    call = Listed()
    assert [call.party("a", at=at(0)), call.party("b", at=at(0))] == [0, -1]
    assert call.open_track(0, at=at(0), codec="L16", rate=RATE) == -1
    for _ in range(2):
        call.emit(ev.Tagged(at=at(0), name="x"))
        call.emit(ev.RecordingPaused(at=at(0), by="party", party=0))
        call.emit(ev.RecordingResumed(at=at(0), by="party", party=0))
    assert call.drops == [(what, "limit") for what in ("parties", "tracks", "events", "events")]
    assert (call.limits, [warned.text for warned in call.state.warnings]) == (["parties"], ["too many parties"])
    assert call.state.paused  # pausing is always possible


def full(monkeypatch) -> Listed:
    """A call that takes nothing more, with a rule whose keys pause it."""
    monkeypatch.setattr(recorder, "MAX_EVENTS", 2)
    call = Listed()
    call.review.terms_of_call = lambda _: Terms(mode="ask", until_granted="keep", pause_keys="*1", resume_keys="*2")
    call.party("a", at=at(0))
    call.review.look()
    call.emit(ev.Tagged(at=at(0), name="x"))
    call.emit(ev.Tagged(at=at(0), name="y"))
    assert len(call.state.tags) == 1
    return call


def test_keys_pause_a_call_that_takes_nothing_more_and_let_it_go_on(monkeypatch):
    call = full(monkeypatch)
    paused = []
    for button in "*1*2":
        call.emit(ev.Dtmf(at=at(0), party=0, button=button))
        paused.append(call.state.paused)
    assert paused == [False, True, True, False]
    assert not any(moment.button for moment in call.state.history)


def test_a_refusal_counts_in_a_call_that_takes_nothing_more_and_agreeing_does_not(monkeypatch):
    call = full(monkeypatch)
    states = []
    for state in ("denied", "granted", "denied"):
        call.emit(ev.Consent(at=at(0), party=0, state=state, purposes=()))
        states.append(call.state.consents.state_of(0, "recording"))
    assert states == ["denied"] * 3
    assert len(call.state.consents.said) == 1


def test_a_pause_that_is_made_longer_again_and_again_becomes_one_without_an_end(monkeypatch):
    call = full(monkeypatch)
    for seconds in range(1, 9):
        call.emit(ev.RecordingPaused(at=at(0), by="platform", until=at(seconds)))
    (pause,) = call.state.pauses
    assert (pause.until, pause.stop) == (None, None)
    assert sum(isinstance(event, ev.RecordingPaused) for event in call.events) == 2


def test_a_pause_takes_back_and_ends_now_and_nothing_dialled_in_it_is_kept():
    call = Listed()
    call.party("a", at=at(0))
    track = call.track()
    call.time = at(5)
    call.emit(ev.RecordingPaused(at=at(4), by="platform"))
    call.emit(ev.RecordingPaused(at=at(5), by="platform"))
    call.emit(ev.Dtmf(at=at(4.5), party=0, button="7"))
    call.emit(ev.RecordingResumed(at=at(4.6), by="platform"))
    call.emit(ev.Dtmf(at=at(4.5), party=0, button="7"))
    assert [(pause.start, pause.stop) for pause in call.state.pauses] == [(at(4), at(5))]
    assert track.did == [("take back", at(4))]
    assert not any(moment.button for moment in call.state.history)


def test_who_paused_the_call_before_lets_this_one_go_on():
    before, call = Listed(), Listed("two")
    before.party("a", at=at(0))
    before.emit(ev.RecordingPaused(at=at(0), by="party", party=0, reason="card"))
    call.keep_paused(pausing.standing(before.state.pauses, before.state.parties), at(0))
    assert call.party("b", at=at(1)) == 0
    assert call.party("a", at=at(1)) == 1
    call.emit(ev.RecordingResumed(at=at(2), by="party", party=0))
    assert call.state.paused
    call.emit(ev.RecordingResumed(at=at(2), by="party", party=1))
    assert not call.state.paused


def test_a_track_needs_a_rate_a_party_and_a_call():
    call = Listed()
    with pytest.raises(ProtocolError):
        call.open_track(0, at=at(0), codec="L16", rate=7999)
    assert call.open_track(0, at=at(0), codec="L16", rate=RATE) == -1
    call.end(at=at(0))
    assert call.open_track(0, at=at(0), codec="L16", rate=RATE) == -1
    assert call.drops == [("track", "no-party"), ("track", "after-end")]


def test_frames_are_kept_but_for_what_a_pause_touches():
    call = Listed()
    call.party("a", at=at(0))
    track = call.track()
    call.record(ev.RecordingPaused(at=at(0.03), by="platform"))
    for _ in range(3):
        track.write(bytes(320), arrived=at(0.02))
    track.write(b"odd", arrived=at(0.02))
    assert track.did == [("keep", 0, 160), ("keep", 160, 239), ("hush", 239), ("hush", 320)]
    track.tick(at(1.5))
    assert track.did[-1] == ("hush", 239)
    track.close(at=at(2))
    track.close(at=at(2))
    track.write(bytes(320), arrived=at(2))
    assert call.drops == [("frame", "bad-media"), ("frame", "after-close")]
    assert call.state.tracks[0].samples == 480


def test_what_was_lost_is_told_for_good_and_a_run_of_one_kind_is_one_span():
    call = Listed()
    call.party("a", at=at(0))
    track = call.track()
    for number in range(1, 400):
        track.write(bytes(320), arrived=at(0.02 * number))
    track.absent(at(9), at(10), ev.SpanKind.LOST)
    track.close(at=at(10))
    spans = [(event.start, event.stop, event.final) for event in call.events if isinstance(event, ev.Span)]
    assert spans == [(0, 160, False), (0, 40_000, False), (72_000, 80_000, True), (40_000, 63_840, False)]


def test_the_end_closes_and_labels_and_is_said_once():
    call = Listed()
    call.party("a", at=at(0))
    track = call.track()
    call.emit(ev.Held(at=at(0), party=0))
    call.emit(ev.RecordingPaused(at=at(0), by="platform"))
    call.time = at(1)
    call.emit(ev.RecordingResumed(at=at(1), by="platform"))
    call.end(at=at(30))
    call.end(at=at(5))
    assert track.closed
    assert call.state.ended == at(11)
    labelled = call.state.tracks[0].spans
    assert list(labelled) == [(0, RATE, ev.SpanKind.PAUSED), (RATE, 11 * RATE, ev.SpanKind.HELD)]
    assert [type(event).__name__ for event in call.events[-2:]] == ["PartyLeft", "CallEnded"]
    assert call.lines[-2:] == [("event", "callended", None, "", 11.0, 11.0), "the end"]
    call.emit(ev.Answered(at=at(1)))
    assert call.drops == [("event", "after-end")]


def test_a_merge_moves_tracks_and_ends_the_other():
    one, two = Listed(), Listed("two", opened=1)
    two.party("b", at=at(1))
    track = two.track()
    track.write(bytes(320), arrived=at(1.02))
    adopted = []
    one.take_in(two, two.events, adopted.append)
    assert (track.owner, track.index, track.shift, track.party) == (one, 0, RATE, 0)
    assert (one.tracks, two.tracks, two.over, two.state.merged_into) == ([track], [], True, "uuid-one")
    assert list(one.state.tracks[0].spans) == [(RATE, RATE + 160, ev.SpanKind.RECEIVED)]
    assert len(adopted) == 1


def test_a_younger_call_that_takes_an_older_one_in_says_what_is_lost():
    one, two = Listed(opened=1), Listed("two")
    two.party("b", at=at(0))
    two.track()
    one.take_in(two, two.events, lambda _: None)
    assert one.drops == [("audio", "before-zero")]
    assert [warned.code for warned in one.state.warnings] == ["merged-late"]


@pytest.mark.parametrize("why", ["itself", "over", "over there", "disk", "too-large"])
def test_a_merge_that_fails_says_why_and_changes_nothing(monkeypatch, why):
    one, two = Listed(), Listed("two")
    one.over, two.over = why == "over", why == "over there"
    monkeypatch.setattr(recorder, "LARGEST_MERGE", 10 if why == "too-large" else 1 << 20)
    reason = why if why in {"disk", "too-large"} else "not-possible"
    before = [*one.events, *two.events]
    with pytest.raises(NotMergedError, match=reason):
        one.take_in(one if why == "itself" else two, two.events, pytest.fail, unless="disk" if why == "disk" else "")
    assert one.drops == [("merge", reason)]
    assert [*one.events, *two.events] == before
    assert (one.over, two.over) == (why == "over", why == "over there")


def test_words_are_shown_but_for_what_a_pause_touches():
    call = Listed()
    call.party("a", at=at(0), who=ev.PartyInfo(tel="1001", name="Ann"))
    call.lines.clear()
    call.record(ev.RecordingPaused(at=at(2), by="platform"))
    for kind in ("partial", "final"):
        call.show_words(kind, 0, at(0), at(1), "hello")
        call.show_words(kind, 0, at(1), at(3), "secret")
    assert call.lines == [
        ("partial", "hello", 0, "Ann", 0.0, 1.0),
        ("final", "hello", 0, "Ann", 0.0, 1.0),
        ("final", "", 0, "Ann", 1.0, 3.0),
    ]
