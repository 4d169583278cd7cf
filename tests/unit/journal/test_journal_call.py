from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.journal.call import MAX_POSITION, MAX_READ, MAX_TRACKS
from vcond.journal.records import MAX_LOG

SIZE = 4000
writes = st.tuples(st.just("write"), st.integers(0, SIZE - 1), st.integers(1, 900), st.integers(1, 30000))
reads = st.tuples(st.just("read"), st.integers(0, SIZE), st.integers(0, SIZE))
others = st.sampled_from(["step", "wait", "full", "short", "torn", "unsynced", "good"]).map(lambda what: (what,))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(writes, reads, others), max_size=40))
def test_any_writes_in_any_order_on_any_disk_read_like_an_array(hands, acts):
    with tempfile.TemporaryDirectory() as root:
        hand = hands(Path(root) / "j")
        call, model, end = hand.call(), np.zeros(SIZE + 1000, np.int16), 0
        for what, *args in acts:
            match what:
                case "write":
                    at, count, value = args
                    pcm = np.full(count, value, np.int16)
                    call.write("0.pcm", at, pcm)
                    model[at : at + count] = pcm
                    end = max(end, at + count)
                    pcm[:] = -1  # the caller may use its buffer again
                case "read":
                    start, stop = sorted(args)
                    assert (call.read("0.pcm", start, stop) == model[start:stop]).all()
                case "step":
                    hand.step()
                case "wait":
                    hand.step(1.0)
                case "full":
                    hand.disk.error = errno.ENOSPC
                case "short":
                    hand.disk.at_most = 100
                case "torn":
                    hand.disk.room = 333
                case "unsynced":
                    hand.disk.sync_error = errno.EIO
                case "good":
                    hand.disk.error = hand.disk.sync_error = 0
                    hand.disk.room = hand.disk.at_most = None
            assert call.length("0.pcm") == end
        hand.disk.error = hand.disk.sync_error = 0
        hand.disk.room = hand.disk.at_most = None
        hand.step(10.0)
        assert hand.writer.stop() == ""
        assert (call.read("0.pcm", 0, SIZE) == model[:SIZE]).all()
        path = call.folder / "0.pcm"
        if end:
            assert (np.fromfile(path, "<i2") == model[:end]).all()
        assert read_folder(call.folder) == (call.events, "")
        assert hand.lost == []


def test_unknown_tracks_are_empty_and_holes_are_zeros(hand):
    call = hand.call()
    assert call.length("0.pcm") == 0
    assert call.read("0.pcm", 5, 9).tolist() == [0, 0, 0, 0]
    call.write("0.pcm", 7, np.array([1], np.int16))
    assert call.read("0.pcm", 5, 9).tolist() == [0, 0, 1, 0]
    hand.step(0.2)
    assert call.read("0.pcm", 5, 9).tolist() == [0, 0, 1, 0]
    assert call.read("0.pcm", 8, 8).tolist() == []
    call.write("1.pcm", 0, np.zeros(0, np.int16))
    assert call.length("1.pcm") == 0


def test_what_is_written_to_disk_during_a_read_is_not_missed(hand, monkeypatch):
    call = hand.call()
    call.write("0.pcm", 0, np.ones(160, np.int16))
    look = hand.queue.unwritten

    def written_meanwhile(*args):
        hand.step(1.0)
        return look(*args)

    monkeypatch.setattr(hand.queue, "unwritten", written_meanwhile)
    assert (call.read("0.pcm", 0, 160) == 1).all()
    assert (call.folder / "0.pcm").stat().st_size == 320


def test_the_log_of_a_call_is_bounded(hand):
    call = hand.call()
    call._log.end = MAX_LOG - 10
    with pytest.raises(ValueError, match="limited to"):
        call.append(ev.Answered(at=Instant(1)))
    assert len(call.events) == 1


def test_a_hole_costs_no_disk(hand):
    call = hand.call()
    call.write("0.pcm", 50_000_000, np.ones(160, np.int16))
    hand.step(0.2)
    hand.settle()
    assert (call.folder / "0.pcm").stat().st_size == 100_000_320
    assert (call.folder / "0.pcm").stat().st_blocks * 512 < 100_000


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, MAX_READ + 1)])
def test_reads_are_bounded(hand, start, stop):
    with pytest.raises(ValueError, match="cannot read"):
        hand.call().read("0.pcm", start, stop)


def test_a_disk_that_cannot_be_read_is_a_storage_error(hand):
    call = hand.call()
    call.write("0.pcm", 0, np.ones(160, np.int16))
    hand.step(0.2)
    hand.settle()
    (call.folder / "0.pcm").unlink()
    (call.folder / "0.pcm").mkdir()
    with pytest.raises(StorageError):
        call.read("0.pcm", 0, 10)
    (call.folder / "0.pcm").rmdir()
    (call.folder / "0.pcm").symlink_to("/dev/zero")
    with pytest.raises(StorageError):
        call.read("0.pcm", 0, 10)


@pytest.mark.parametrize(
    "name", ["", "0", "../0.pcm", "a/b.pcm", ".pcm", "events.log", "0.pcm\n", "x" * 70 + ".pcm", "é.pcm"]
)
def test_only_plain_names_are_tracks(hand, name):
    with pytest.raises(ValueError, match="not a track"):
        hand.call().write(name, 0, np.ones(1, np.int16))


def test_tracks_of_a_call_are_bounded(hand):
    call = hand.call()
    for i in range(MAX_TRACKS):
        call.write(f"{i}.pcm", 0, np.ones(1, np.int16))
    with pytest.raises(ValueError, match="at most"):
        call.write("more.pcm", 0, np.ones(1, np.int16))


@pytest.mark.parametrize("position", [-1, MAX_POSITION, 2**70])
def test_audio_at_an_impossible_place_is_dropped_and_counted(hand, position):
    call = hand.call()
    counter = metrics.dropped_total.labels("audio", "position")
    before = counter._value.get()
    call.write("0.pcm", position, np.ones(160, np.int16))
    assert counter._value.get() == before + 1
    assert call.length("0.pcm") == 0


def test_other_byte_orders_and_slices_are_fine_and_other_types_are_not(hand):
    call = hand.call()
    call.write("0.pcm", 0, np.array([1, -2, 300], ">i2"))
    call.write("0.pcm", 3, np.arange(8, dtype=np.int16)[::2])
    call.write("0.pcm", np.int64(7), np.array([9], np.int16))
    assert call.read("0.pcm", 0, 8).tolist() == [1, -2, 300, 0, 2, 4, 6, 9]
    for bad in (np.float32, np.uint16, np.int32):
        with pytest.raises(TypeError, match="int16"):
            call.write("0.pcm", 0, np.ones(3, bad))


def test_after_close_audio_is_counted_and_events_are_a_mistake_of_ours(hand):
    call = hand.call()
    call.write("0.pcm", 0, np.ones(160, np.int16))
    call.close()
    counter = metrics.dropped_total.labels("audio", "closed")
    before = counter._value.get()
    call.write("0.pcm", 160, np.ones(160, np.int16))
    assert counter._value.get() == before + 1
    with pytest.raises(RuntimeError, match="closed"):
        call.append(ev.Answered(at=Instant(1)))
    hand.step(0.2)
    assert (call.read("0.pcm", 0, 160) == 1).all()
    assert read_folder(call.folder) == (call.events, "")


def test_an_event_that_cannot_be_written_changes_nothing(hand):
    call = hand.call()
    with pytest.raises(ValueError, match="Tagged"):
        call.append(ev.Tagged(at=Instant(2**80), name="x"))
    call.append(ev.Answered(at=Instant(1)))
    hand.settle()
    assert len(call.events) == 2
    assert read_folder(call.folder) == (call.events, "")


def test_losses_are_told_to_whoever_wants_to_know_until_the_call_is_closed(hand):
    call, told = hand.call(), []
    hand.queue.limit = 0
    call.write("0.pcm", 0, np.ones(160, np.int16))
    call.write("0.pcm", 500, np.ones(160, np.int16))
    call.on_lost = lambda *what: told.append(what)
    call.write("0.pcm", 900, np.ones(160, np.int16))
    call.close()
    call.write("0.pcm", 2000, np.ones(160, np.int16))
    hand.queue.report_lost(call._tracks["0.pcm"])
    assert hand.lost == [("0.pcm", 0, 160), ("0.pcm", 500, 660), ("0.pcm", 900, 1060)]
    assert told == [("0.pcm", 500, 660)]


def test_losses_of_an_adopted_track_are_told_to_the_call_that_took_it(hand):
    into, other = hand.call(1), hand.call(2)
    told = []
    into.on_lost = lambda *what: told.append(what)
    other.on_lost = lambda *what: told.append("wrong")
    into.adopt(other, {"0.pcm": "3.pcm"})
    hand.queue.limit = 0
    other.write("0.pcm", 0, np.ones(160, np.int16))
    into.write("3.pcm", 300, np.ones(160, np.int16))
    assert told == [("3.pcm", 0, 160)]


def test_adopt_refuses_names_in_use_and_circles(hand):
    one, two, three = hand.call(1), hand.call(2), hand.call(3)
    one.append(ev.PartyJoined(at=Instant(1), party=0, key="p"))
    one.append(ev.TrackOpened(at=Instant(1), track=0, party=0, codec="PCMU", rate=8000))
    opened = ev.TrackOpened(at=Instant(1), track=1, party=0, codec="PCMU", rate=8000, file="own.pcm")
    one.append(ev.Merged(at=Instant(1), call="x", events=[ev.encode(opened)]))
    for name in ("0.pcm", "own.pcm", "../x.pcm"):
        with pytest.raises(ValueError, match="name"):
            one.adopt(two, {"0.pcm": name})
    one.adopt(two, {"0.pcm": "5.pcm"})
    three.adopt(one, {"5.pcm": "6.pcm"})
    for into, other in ((one, one), (two, one), (two, three), (one, three)):
        with pytest.raises(ValueError, match="itself"):
            into.adopt(other, {})
    two.write("0.pcm", 0, np.ones(160, np.int16))
    hand.step(0.2)
    assert (three.read("6.pcm", 0, 160) == 1).all()
    assert (three.folder / "6.pcm").samefile(two.folder / "0.pcm")
