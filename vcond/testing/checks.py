"""What holds for every record of every adapter, as assertions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from unittest.mock import patch

import numpy as np

from vcond.base.time import samples
from vcond.call import events as ev
from vcond.media.codecs import Pcm
from vcond.sdk import decoding
from vcond.testing.call import MemoryCall
from vcond.testing.host import MemoryHost
from vcond.testing.rig import Rig
from vcond.testing.sounds import RATE, find, voice
from vcond.testing.time import run_virtual

ANN, BEN = 1, 2
"""Seeds of the two voices: the caller's and the callee's."""
OWN, OTHER = 0.95, 0.2
"""Least correlation with what the party said, most with what the other one said."""


def check_events(host: MemoryHost, call: MemoryCall) -> None:
    """What holds for every record: lawful, in order, with indices that never move."""
    host.state_from_events(call)
    assert call.state.odd == 0, "events that make no sense"
    assert isinstance(call.events[0], ev.CallOpened)
    joined: dict[int, str] = {}
    tracks = 0
    for event in _unfolded(call.events[1:]):
        assert not isinstance(event, ev.CallOpened)
        if isinstance(event, ev.PartyJoined):
            assert joined.setdefault(event.party, event.key) == event.key, "a party's index must never move"
            assert event.party < len(joined), "indices are given out in order"
        if isinstance(event, ev.TrackOpened):
            assert event.track == tracks, "indices are given out in order"
            tracks += 1
    ends = [i for i, event in enumerate(call.events) if isinstance(event, ev.CallEnded | ev.MergedInto)]
    assert ends in ([], [len(call.events) - 1]), "nothing may happen after the end"


def _unfolded(events: Iterable[ev.Event]) -> Iterator[ev.Event]:
    """The events, with those of merged calls in their place."""
    for event in events:
        yield event
        if isinstance(event, ev.Merged):
            yield from (ev.decode(plain) for plain in event.events)


def check_ended(rig: Rig, call: MemoryCall) -> None:
    """What holds for a call that ended: everything is closed, and every track is as long as its call."""
    state = call.state
    assert state.ended is not None
    assert not any(party.here for party in state.parties)
    for track in state.tracks:
        assert track.closed is not None
        if track.closed == state.ended:
            missing = samples(state.ended - state.opened, track.rate) - track.samples
            limit = round(rig.tolerance_ms * track.rate / 1000)
            assert abs(missing) <= limit, f"track {track.index} differs from the call by {missing} samples"
        last = max((stop for _, stop, _ in track.spans), default=0)
        assert last <= track.samples


def check_voices(rig: Rig, host: MemoryHost, call: MemoryCall, *, seed: int = 0, seconds: float = 3.0) -> None:
    """Each party is heard on its own track and nowhere else, at the same time as it spoke."""
    said = [voice(seed + ANN, seconds), voice(seed + BEN, seconds)]
    lags = []
    for party in (0, 1):
        heard = host.audio(call, party, rate=RATE)
        own, lag = find(said[party], heard)
        other, _ = find(said[1 - party], heard)
        assert own >= OWN, f"party {party} is not heard: correlation {own:.3f}{_cut(said[party], heard)}"
        assert other <= OTHER, f"party {party} has the other's voice: correlation {other:.3f}"
        lags.append(lag)
    apart = abs(lags[0] - lags[1]) * 1000 / RATE
    assert apart <= rig.tolerance_ms, f"the parties are {apart:.1f} ms apart"


def _cut(said: Pcm, heard: Pcm) -> str:
    """What to say of audio whose beginning alone is missing, as then a frame came before it can have been spoken."""
    own, lag = find(said, np.concatenate([np.zeros(RATE, np.int16), heard]))
    if own < OWN or lag >= RATE:
        return ""
    missing = (RATE - lag) * 1000 / RATE
    return f"; its first {missing:.0f} ms are before the call: a frame is sent once it was spoken, 20 ms after it began"


def check_attached(host: MemoryHost) -> None:
    """An adapter whose system was there all the time stayed attached: a bug of its own is no reason to attach again."""
    since = [ok for ok, _ in host.attachments].index(True)
    lost = [detail for ok, detail in host.attachments[since:] if not ok]
    assert not lost, f"attached(False) though nothing was lost; a bug is in what was logged: {lost}"


def check_decoder(serving: Callable[[], AbstractAsyncContextManager[object]], *, installed: bool) -> None:
    """An adapter loads the decoder of calls, where it is ``installed``, before its first call and not on the event loop.

    ``serving`` runs the adapter, in virtual time; it is entered when the adapter is attached.
    """
    loaded: list[tuple[str, threading.Thread]] = []

    async def main() -> None:
        async with serving():
            assert [name for name, _ in loaded] == ["av"] * installed
            assert threading.main_thread() not in {thread for _, thread in loaded}

    with (
        patch.object(decoding, "available", lambda: installed),
        patch.object(decoding, "import_module", lambda name: loaded.append((name, threading.current_thread()))),
    ):
        run_virtual(main())


def moments(host: MemoryHost, key: str) -> list[str]:
    """The party history of a call, as words."""
    return [moment.event for moment in host.by_key(key).state.history]


def private_words(rig: Rig, texts: Iterable[str], *secrets: str) -> list[str]:
    """Which of the private words are found in the texts, numbers also without their punctuation."""
    found, lines = [], list(texts)
    for word in (*rig.private, *secrets):
        bare = "".join(c for c in word if c.isalnum())
        if any(word in text or (len(bare) > 3 and bare in text) for text in lines):
            found.append(word)
    return found
