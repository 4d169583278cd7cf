import pytest
from capture_kit import FRAME

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import NORMAL
from vcond.call.interruption import interrupted
from vcond.call.state import fold
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.sdk.media_stream.byteorder import OrderedTrack

ZERO = 1_795_339_662 * SECOND


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


CRASHED = [
    ev.CallOpened(at=at(0), call="u", adapter="t", key="k"),
    ev.PartyJoined(at=at(0), party=0, key="a"),
    ev.TrackOpened(at=at(1), track=0, party=0, codec="L16", rate=8000),
    ev.Span(at=at(3), track=0, start=8000, stop=24_000, kind=ev.SpanKind.RECEIVED),
]


def test_audio_that_was_written_and_not_described_was_received():
    events = interrupted(fold(CRASHED), lambda _: 36_000, now=at(60))
    state = fold([*CRASHED, *events])
    assert list(state.tracks[0].spans) == [(8000, 36_000, ev.SpanKind.RECEIVED)]
    assert (state.tracks[0].samples, state.tracks[0].closed) == (36_000, at(4.5))
    assert [(w.start, w.stop, w.reason) for w in state.interruptions] == [(at(4.5), None, "crash")]
    assert state.odd == 0


def test_the_interruption_is_never_in_the_future():
    events = interrupted(fold(CRASHED), lambda _: 8000 * 3600, now=at(10))
    assert all(event.at <= at(3600) for event in events)
    assert fold([*CRASHED, *events]).interruptions[0].start == at(10)


def test_a_stop_that_was_written_is_not_a_crash():
    stopped = [*CRASHED, ev.TrackClosed(at=at(5), track=0, samples=40_000), ev.Interrupted(at=at(5), reason="stop")]
    assert interrupted(fold(stopped), lambda _: 40_000, now=at(9)) == []


def test_a_second_crash_is_a_second_interruption():
    twice = [*CRASHED, ev.Interrupted(at=at(4)), ev.Recovered(at=at(5)), ev.Held(at=at(6), party=0)]
    events = interrupted(fold(twice), lambda _: 0, now=at(9))
    assert fold([*twice, *events]).interruptions[-1].start == at(6)


def test_a_call_that_ended_needs_nothing_more_than_its_end():
    ended = [*CRASHED, ev.CallEnded(at=at(5), cause=NORMAL)]
    assert fold(ended).ended == at(5)


def test_a_track_of_which_nothing_was_described_was_not_received_before_it_was_opened():
    events = interrupted(fold(CRASHED[:3]), lambda _: 36_000, now=at(60))
    assert list(fold([*CRASHED[:3], *events]).tracks[0].spans) == [(8000, 36_000, ev.SpanKind.RECEIVED)]


def after_a_crash(house, call) -> list[tuple[int, int, ev.SpanKind]]:
    """What a journal that ends here says of the first track."""
    told = call.journal.events
    found = fold([*told, *interrupted(fold(told), call.journal.length, now=house.now(60))])
    return list(found.tracks[0].spans)


def speaks(house, track, begins: float, frames: int) -> None:
    for i in range(frames):
        track.write(FRAME, arrived=house.now(begins + (i + 1) * 0.02))


@pytest.mark.parametrize("begins", [0.38, 7.0])
async def test_what_a_crash_leaves_of_a_first_track_begins_with_its_first_frame(house, begins):
    """A track that was opened long before anything came, and the power went before it was described."""
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0))
    track = call.track(party, at=house.now(0.1), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    speaks(house, track, begins, 60)
    ((start, stop, kind),) = after_a_crash(house, call)
    assert kind is ev.SpanKind.RECEIVED
    assert abs(start - begins * 8000) <= 160
    assert abs(stop - (begins + 1.2) * 8000) <= 160


async def test_a_crash_soon_after_a_hold_does_not_make_the_hold_received(house):
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0))
    track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    speaks(house, track, 0, 50)
    speaks(house, track, 10, 50)
    heard = [(a, b) for a, b, kind in after_a_crash(house, call) if kind is ev.SpanKind.RECEIVED]
    assert sum(b - a for a, b in heard) <= 2.1 * 8000
    assert all(b <= 8400 or a >= 79_000 for a, b in heard)


@pytest.mark.parametrize("silence", [0, 100])
async def test_of_audio_that_waited_for_its_byte_order_when_the_power_went_nothing_is_said(house, silence):
    """It was not kept: it is neither received nor silent."""
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0))
    track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    ordered = OrderedTrack(track, "little", 8000, lambda _: None)
    for i in range(silence):
        ordered.write(bytes(320), arrived=house.now((i + 1) * 0.02))
    speaks(house, ordered, silence * 0.02, 45)
    spans = after_a_crash(house, call)
    assert all(stop <= silence * 160 for _, stop, _ in spans)
    assert sum(stop - start for start, stop, _ in spans) == silence * 160


@pytest.mark.parametrize("closed", [[], [ev.TrackClosed(at=at(3), track=0, samples=24_000)]], ids=["open", "closed"])
def test_audio_that_was_told_and_never_reached_its_file_is_lost(closed):
    """Events reach the disk at once, audio a quarter of a second later."""
    told = [*CRASHED, *closed]
    events = interrupted(fold(told), lambda _: 22_000, now=at(3))
    state = fold([*told, *events])
    assert list(state.tracks[0].spans) == [(8000, 22_000, ev.SpanKind.RECEIVED), (22_000, 24_000, ev.SpanKind.LOST)]
    assert state.odd == 0
    again = [*told, *events, ev.Recovered(at=at(5))]
    assert not [one for one in interrupted(fold(again), lambda _: 22_000, now=at(9)) if isinstance(one, ev.Span)]


async def test_a_call_that_had_ended_says_what_of_its_audio_never_reached_the_disk(house):
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0))
    track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    speaks(house, track, 0, 100)
    call.end(at=house.now(2), cause=NORMAL)
    await call.journal.flush()
    await house.store.close()
    (audio,) = call.journal.folder.glob("*.pcm")
    fd = house.disk.open(str(audio))
    house.disk.truncate(fd, 2 * 14_400)
    house.disk.close(fd)
    house.finished.clear()
    house.open()
    (journal,) = house.store.recover()
    house.registry.recovery.take_to_finish(journal)
    ((found, _),) = house.finished
    assert [(a, b) for a, b, kind in found.state.tracks[0].spans if kind is ev.SpanKind.LOST] == [(14_400, 16_000)]
