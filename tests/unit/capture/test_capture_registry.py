import numpy as np
import pytest

from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.capture import registry
from vcond.sdk.contract import ArrivalClock, Codec

FRAME = np.full(160, 5000, "<i2").tobytes()


def one_party(house, key: str = "k", seconds: float = 1.0):
    call = house.host.call(key, at=house.now(0))
    track = call.track(
        call.party("a", at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()
    )
    call.emit(ev.Answered(at=house.at(0)))
    for i in range(round(seconds * 50)):
        track.write(FRAME, arrived=house.now((i + 1) * 0.02))
    return call, track


async def killed(house):
    """The process dies: what was handed to the journal is there, nothing else was said."""
    await house.store.get(house.registry.live[0].uuid).flush()
    await house.store.close()
    return house.open()


async def test_a_call_found_unfinished_is_taken_up_again_in_the_same_record(house):
    call, _ = one_party(house)
    after = await killed(house)
    (journal,) = after.store.recover()
    after.registry.recovery.take_back(journal, after.now(10))
    (left,) = after.host.unfinished()
    assert left.key == "k"
    again = after.host.call("k", at=after.now(12))
    assert (again.uuid, after.host.unfinished()) == (call.uuid, [])
    track = again.track(0, at=after.at(12), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    for i in range(50):
        track.write(FRAME, arrived=after.now(12 + (i + 1) * 0.02))
    again.end(at=after.now(13))

    state = fold(after.finished[0][1].events)
    assert [(w.start, w.stop, w.reason) for w in state.interruptions] == [(after.at(1), after.at(12), "crash")]
    assert [(t.party, t.samples) for t in state.tracks] == [(0, 8000), (0, 104_000)]
    assert state.odd == 0


async def test_what_nobody_takes_up_ends_where_capture_ended(house):
    one_party(house)
    after = await killed(house)
    (journal,) = after.store.recover()
    after.registry.recovery.take_back(journal, after.now(10))
    after.host.attached(False, "connection refused")
    after.registry.tick(after.now(100))  # not attached yet: it waits longer
    assert after.host.unfinished()
    after.now(100)
    after.host.attached(True)
    after.registry.tick(after.now(101))
    after.registry.tick(after.now(140))
    assert not after.host.unfinished()
    state = after.finished[0][0].state
    assert state.ended == after.at(1)
    assert [warning.code for warning in state.warnings] == ["cut-short"]


async def test_what_no_adapter_can_take_up_ends_at_once(house):
    one_party(house)
    after = await killed(house)
    (journal,) = after.store.recover()
    after.registry.recovery.take_back(journal, after.now(10))
    after.registry.recovery.finish_all_unfinished(["test"])
    assert not after.finished
    after.registry.recovery.finish_all_unfinished(["other"])
    assert len(after.finished) == 1


async def test_text_that_an_earlier_run_did_not_come_to_is_asked_for_again(house):
    call, _ = one_party(house, seconds=3)
    source = house.speech.listeners[0].source
    source.emit(ev.Utterance(at=house.at(1), utterance=0, track=0, start=0, stop=8000))
    after = await killed(house)
    (journal,) = after.store.recover()
    after.registry.recovery.take_back(journal, after.now(10))
    ((late, waiting),) = after.speech.late
    assert (late.call, [one.utterance for one in waiting]) == (call.uuid, [0])
    (listener,) = after.speech.listeners  # and what was not cut into utterances yet is listened to
    assert (listener.start, listener.upto, listener.closed) == (8000, 24_000, True)
    assert late.next_utterance() == 1
    assert np.all(late.read(0, 8000) == 5000)


async def test_an_ended_call_of_an_earlier_run_is_finished(house):
    call, _ = one_party(house)
    call.end(at=house.now(1))
    await house.finished[0][1].flush()
    await house.store.close()
    after = house.open()
    after.finished.clear()
    (journal,) = after.store.recover()
    after.registry.recovery.take_to_finish(journal)
    assert after.finished[0][0].uuid == call.uuid


async def test_a_stop_leaves_calls_for_the_next_start(house):
    one_party(house)
    house.registry.interrupt_all("stop")
    await house.store.close()
    after = house.open()
    (journal,) = after.store.recover()
    after.registry.recovery.take_back(journal, after.now(10))
    state = after.host.unfinished()[0].state
    assert [(w.start, w.reason) for w in state.interruptions] == [(after.at(1), "stop")]


async def test_a_call_over_the_limit_is_ended_and_says_so(house):
    call, _ = one_party(house)
    house.registry.tick(house.now(12 * 3600 + 1))
    assert call.over
    assert call.state.interruptions[0].reason == "limit"
    assert call.state.ended == house.at(12 * 3600 + 1)


async def test_calls_of_a_system_that_is_gone_end_after_the_grace_unless_audio_still_comes(house):
    call, track = one_party(house)
    house.host.attached(True)
    house.host.attached(False, "connection refused")
    house.registry.tick(house.now(20))
    track.write(FRAME, arrived=house.now(25))
    house.registry.tick(house.now(50))
    assert not call.over
    house.registry.tick(house.now(60))
    assert call.over
    assert call.state.interruptions[0].reason == "adapter-gone"
    assert call.state.ended == house.at(25)
    assert house.registry.attachments.said == {"test": (False, "connection refused")}


async def test_calls_are_found_by_the_beginning_of_their_id(house):
    call, _ = one_party(house)
    assert house.registry.find(call.uuid[:8]) is call
    assert house.registry.find("zzz") is None


async def test_a_stepped_wall_clock_is_taken_over_when_no_call_is_open(house):
    house.wall[0] += 3600 * SECOND
    call = house.host.call("k", at=house.clock.now())
    assert call.state.opened == house.at(3600)
    house.wall[0] += 3600 * SECOND
    assert house.host.call("k2", at=house.clock.now()).state.opened == house.at(3600)


@pytest.mark.parametrize("step", [1800, -1800, 7 * 86_400, -7 * 86_400])
@pytest.mark.parametrize("ticked", [False, True])
async def test_a_leg_that_was_seen_before_the_clock_stepped_is_not_before_its_call(house, step: int, ticked: bool):
    created = house.clock.now()
    house.time[0] += SECOND
    house.wall[0] += SECOND + step * SECOND
    if ticked:
        house.registry.tick(house.clock.now())
    call = house.host.call("k", at=created)
    call.party("a", at=created)
    call.emit(ev.Answered(at=created))
    assert abs(call.state.opened - house.at(step + 1)) <= SECOND
    assert call.state.opened <= call.state.parties[0].presences[0].joined <= house.clock.now()
    assert call.state.opened <= call.state.answered <= house.clock.now()


async def test_a_step_of_the_wall_clock_lengthens_no_grace(house):
    house.host.attached(True)
    house.host.attached(False, "connection refused")
    house.wall[0] += 86_400 * SECOND
    house.registry.tick(house.clock.now())
    one_party(house)
    assert not house.registry.attachments.gone("test", house.clock.now(), house.config.grace)


async def test_nobody_is_in_a_call_before_it_begins(house):
    call = house.host.call("k", at=house.now(10))
    call.party("a", at=house.at(7))
    call.emit(ev.Answered(at=house.at(8)))
    assert call.state.parties[0].presences[0].joined == call.state.answered == house.at(10)


async def test_several_calls_with_the_same_beginning_are_not_confused(house):
    first, _ = one_party(house)
    one_party(house, "k2")
    with pytest.raises(LookupError, match="ambiguous call id prefix"):
        house.registry.find(first.uuid[:6])
    assert house.registry.find("") is None


async def test_a_system_that_never_comes_back_does_not_keep_calls_for_ever(house):
    one_party(house)
    after = await killed(house)
    after.registry.recovery.take_back(after.store.recover()[0], after.now(10))
    for second, why in ((50, "refused"), (200, "time-out"), (290, "refused")):
        after.now(second)
        after.host.attached(False, why)
        after.registry.tick(after.at(second))
    assert after.host.unfinished()
    after.registry.tick(after.now(400))
    assert not after.host.unfinished()


async def test_the_last_words_of_an_ended_call_are_listened_to_again(house):
    call, _ = one_party(house, seconds=3)
    call.end(at=house.now(3))
    await house.finished[0][1].flush()
    await house.store.close()
    after = house.open()
    after.registry.recovery.take_to_finish(after.store.recover()[0])
    (listener,) = after.speech.listeners
    assert (listener.start, listener.upto, listener.closed) == (0, 24_000, True)


async def test_texts_of_an_earlier_run_follow_a_merge(house):
    one_party(house, seconds=3)
    source = house.speech.listeners[0].source
    source.emit(ev.Utterance(at=house.at(1), utterance=0, track=0, start=0, stop=8000))
    after = await killed(house)
    after.registry.recovery.take_back(after.store.recover()[0], after.now(10))
    again = after.host.call("k", at=after.at(10))
    elder = after.host.call("k0", at=after.at(2))
    elder.party("z", at=after.at(2))
    elder.merge(again)
    ((late, _),) = after.speech.late
    late.emit(ev.Transcribed(at=after.at(11), utterance=0, engine="e", model="m", text="hello"))
    (said,) = elder.state.speech.values()
    assert said.transcript.text == "hello"


async def test_audio_that_the_disk_did_not_take_stays_lost_after_a_restart(house):
    call, track = one_party(house, seconds=1)
    call.journal.on_lost("0.pcm", 2000, 4000)
    track.settle(everything=True)
    after = await killed(house)
    after.registry.recovery.take_back(after.store.recover()[0], after.now(10))
    after.registry.recovery.finish_all_unfinished()
    assert after.finished[0][0].state.tracks[0].spans.total(ev.SpanKind.LOST) == 2000


async def test_of_two_unfinished_calls_of_one_key_the_first_is_finished(house):
    first, _ = one_party(house)
    house.registry._live.clear()
    one_party(house)
    for call in [first, *house.registry.live]:
        await call.journal.flush()
    await house.store.close()
    after = house.open()
    for journal in after.store.recover():
        after.registry.recovery.take_back(journal, after.now(10))
    assert [call.uuid for call, _ in after.finished] == [first.uuid]
    assert len(after.host.unfinished()) == 1


async def test_one_call_that_fails_in_the_tick_fails_alone(house):
    bad, _ = one_party(house, "bad")
    one_party(house, "good")

    def fail(_):
        raise ZeroDivisionError

    bad.tracks[0].tick = fail
    house.registry.tick(house.now(12 * 3600 + 5))
    assert [call.key for call, _ in house.finished] == ["good"]


async def test_one_call_of_an_earlier_run_that_cannot_be_ended_keeps_neither_the_others_nor_what_is_looked_at(house):
    one_party(house, "bad")
    one_party(house, "good")
    for call in house.registry.live:
        await house.store.get(call.uuid).flush()
    await house.store.close()
    after = house.open()
    for journal in after.store.recover():
        after.registry.recovery.take_back(journal, after.now(10))
    bad = next(call for call in after.registry.recovery.unfinished() if call.key == "bad")

    def fail(**_):
        raise ZeroDivisionError

    bad.end, looked = fail, []
    after.registry.pressure.look = lambda *_: looked.append(1)
    after.registry.tick(after.now(400))
    assert [call.key for call, _ in after.finished] == ["good"]
    assert looked == [1]
    after.registry.recovery.finish_all_unfinished()  # as a start does, of adapters that are gone: it goes on
    assert [call.key for call in after.registry.recovery.unfinished()] == ["bad"]


async def test_one_call_that_cannot_be_interrupted_leaves_the_others_their_end(house):
    bad, track = one_party(house, "bad")
    good, _ = one_party(house, "good")

    def fail(**_):
        raise ZeroDivisionError

    track.close = fail
    house.registry.interrupt_all("stop")
    assert not house.registry.live
    assert [one.reason for one in fold(good.journal.events).interruptions] == ["stop"]
    assert fold(bad.journal.events).ended is None  # the next start takes it up


async def test_a_call_that_cannot_be_counted_is_finished_all_the_same(house, monkeypatch):
    call, _ = one_party(house)

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(registry, "_count", fail)
    call.end(at=house.now(2))
    assert [call.key for call, _ in house.finished] == ["k"]


async def test_a_state_folder_that_cannot_be_looked_at_is_trouble_and_no_crash(house):
    def gone(_):
        raise OSError(116, "Stale file handle")

    house.registry.pressure._free_space = gone
    house.registry.tick(house.now(1))
    assert "Stale file handle" in house.registry.pressure.trouble["disk"]
