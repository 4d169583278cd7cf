from __future__ import annotations

import errno

import numpy as np
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.journal.retries import LONGEST, SHORTEST, TRIES
from vcond.journal.sync_round import PATIENCE
from vcond.journal.writer import run


def tag(i: int) -> ev.Tagged:
    return ev.Tagged(at=Instant(i), name=f"n{i}")


def pcm(count: int, start: int = 1) -> np.ndarray:
    return (np.arange(start, start + count) % 30000).astype(np.int16)


def test_events_are_written_in_the_first_step_and_audio_when_it_is_due(hand):
    call = hand.call()
    call.append(tag(1))
    call.write("0.pcm", 0, pcm(160))
    hand.settle()
    assert set(hand.done("pwrite")) == {"events.log"}
    assert read_folder(call.folder)[0] == call.events
    for i in range(9):
        call.write("0.pcm", 160 * (i + 1), pcm(160))
    hand.step(0.2)
    assert hand.done("pwrite") == ["0.pcm"]
    assert (call.folder / "0.pcm").stat().st_size == 3200


def test_events_do_not_wait_behind_the_audio_of_many_calls(hand):
    calls = [hand.call(i) for i in range(100)]
    hand.settle()
    for call in calls:
        call.write("0.pcm", 0, pcm(160))
    hand.done("pwrite")
    assert hand.step(0.2) == hand.now
    calls[0].append(tag(1))
    hand.settle()
    order = hand.done("pwrite")
    assert order.index("events.log") < 40
    assert len(order) == 101


def test_files_are_synced_in_rounds_one_a_step(hand):
    call = hand.call()
    call.write("0.pcm", 0, pcm(160))
    hand.step()
    hand.settle()
    assert hand.done("sync") == ["events.log"]
    assert set(hand.done("sync_folder")) == {hand.root.name, call.uuid}
    assert hand.step(0.2) == 1.0
    for i in range(1, 10):
        call.write("0.pcm", 160 * i, pcm(160))
        hand.step(0.05)
    assert hand.done("sync") == []
    hand.now = 1.0
    hand.settle()
    assert hand.done("sync") == ["0.pcm"]
    assert hand.done("sync_folder") == [call.uuid]
    hand.now = 5.0
    hand.settle()
    assert hand.step() is None
    assert hand.done("sync") == hand.done("sync_folder") == []


def test_a_full_disk_keeps_events_and_audio_until_there_is_room(hand):
    call = hand.call()
    hand.settle()
    hand.disk.error = errno.ENOSPC
    for i in range(50):
        call.append(tag(i))
        call.write("0.pcm", 160 * i, pcm(160, i))
        hand.step(0.1)
    assert "free space" in hand.queue.state
    assert (call.read("0.pcm", 1600, 1760) == pcm(160, 10)).all()
    hand.disk.error = 0
    hand.step(LONGEST)
    hand.settle()
    assert hand.queue.state == ""
    assert read_folder(call.folder) == (call.events, "")
    assert hand.queue.waiting == 0
    assert hand.lost == []


def test_what_does_not_fit_is_lost_newest_first_and_reported(hand):
    call = hand.call()
    hand.settle()
    hand.disk.error = errno.EIO
    frame, room = 160, (1 << 18) // 320  # a quarter of max_pending for one track
    for i in range(room + 20):
        call.append(tag(i))
        call.write("0.pcm", i * frame, pcm(frame, i))
    hand.settle()
    hand.disk.error = 0
    hand.step(LONGEST)
    hand.settle()
    kept = call.length("0.pcm")
    assert kept == room * frame
    call.write("0.pcm", (room + 20) * frame, pcm(frame))
    assert hand.lost == [("0.pcm", kept, (room + 20) * frame)]
    assert read_folder(call.folder)[0] == call.events


def test_a_torn_write_of_the_log_is_made_good(hand):
    call = hand.call()
    hand.settle()
    good = (call.folder / "events.log").stat().st_size
    hand.disk.room = 7
    call.append(tag(1))
    call.append(tag(2))
    hand.settle()
    assert (call.folder / "events.log").stat().st_size == good + 7
    assert len(read_folder(call.folder)[0]) == 1
    call.append(tag(3))
    hand.disk.room = None
    hand.step(LONGEST)
    assert read_folder(call.folder) == (call.events, "")


def test_a_short_write_goes_on_where_it_stopped(hand):
    call = hand.call()
    hand.disk.at_most = 5
    call.append(tag(1))
    hand.settle()
    assert read_folder(call.folder) == (call.events, "")


def test_a_write_that_takes_nothing_is_an_error_not_a_loop(hand):
    call = hand.call()
    hand.disk.at_most = 0
    hand.settle()
    assert "EIO" in hand.queue.state
    hand.disk.at_most = None
    hand.step(LONGEST)
    assert read_folder(call.folder) == (call.events, "")


def test_one_bad_file_does_not_hold_up_the_others(hand):
    bad, good = hand.call(1), hand.call(2)
    hand.settle()
    hand.disk.error, hand.disk.only = errno.EIO, bad.uuid
    for i in range(10):
        bad.append(tag(i))
        good.append(tag(i))
        hand.step(1.0)
    assert read_folder(good.folder)[0] == good.events
    assert len(read_folder(bad.folder)[0]) == 1
    assert "EIO" in hand.queue.state
    hand.disk.error = 0
    hand.step(LONGEST)
    assert read_folder(bad.folder)[0] == bad.events
    assert hand.queue.state == ""


def test_tries_on_a_dead_disk_become_rare_and_are_bounded(hand):
    calls = [hand.call(i) for i in range(50)]
    hand.settle()
    hand.disk.error = errno.EIO
    for call in calls:
        call.append(tag(1))
    hand.settle()
    hand.done("pwrite")
    pauses = []
    for _ in range(10):
        again = hand.step()
        pauses.append(again - hand.now)
        hand.now = again
        hand.step()
        assert len(hand.done("pwrite")) <= TRIES
        for call in calls:
            call.append(tag(2))
        hand.settle()
        assert hand.done("pwrite") == []
    assert SHORTEST * 0.9 <= pauses[0] <= SHORTEST
    assert LONGEST * 0.9 <= pauses[-1] <= LONGEST


def written(hand, count):
    """So many calls, each with a frame that is written and not yet synced."""
    calls = [hand.call(i) for i in range(count)]
    hand.settle()
    for call in calls:
        call.write("0.pcm", 0, pcm(160))
    hand.step(0.2)
    hand.settle()
    return calls


def test_the_disk_begins_with_all_files_of_a_round_before_one_is_waited_for(hands, tmp_path):
    hand = hands(tmp_path / "journal")
    hand.writer.fds._limit = 200
    calls = written(hand, 50)
    hand.disk.calls.clear()
    hand.step(1.0)
    calls[0].append(tag(1))
    hand.settle()
    order = [what for what, path in hand.disk.calls if path.endswith(".pcm")]
    assert order == ["sync_soon"] * 50 + ["sync"] * 50
    steps = [(what, path) for what, path in hand.disk.calls if what in {"pwrite", "sync"}]
    assert steps[0] == ("pwrite", f"{calls[0].folder}/events.log")  # an event waits for neither


def test_a_disk_whose_queue_is_full_holds_an_event_up_for_one_file_at_a_time(hand, monkeypatch):
    calls = written(hand, 4)
    began = []

    def slow(fd):
        hand.now += PATIENCE
        began.append(fd)

    monkeypatch.setattr(hand.disk, "sync_soon", slow)
    hand.step(1.0)
    assert len(began) == 1
    hand.disk.calls.clear()
    calls[0].append(tag(1))
    hand.step()
    assert hand.done("pwrite") == ["events.log"]
    assert len(began) == 2
    hand.settle()
    assert hand.disk.calls.count(("sync", f"{calls[3].folder}/0.pcm")) == 1


def test_a_file_that_is_not_open_is_not_opened_to_begin_with_it(hand):
    written(hand, 6)
    hand.disk.calls.clear()
    hand.step(1.0)
    hand.settle()
    done = [what for what, _ in hand.disk.calls]
    assert done.count("sync_soon") == 4  # all that ``max_open`` allows
    assert done.count("sync") == 6
    assert done.index("open") > max(at for at, what in enumerate(done) if what == "sync_soon")


@pytest.mark.parametrize("when", ["sync", "soon"])
def test_an_error_of_fsync_writes_again_what_was_not_synced(hand, when):
    call = hand.call()
    hand.settle()
    call.append(tag(1))
    call.write("0.pcm", 0, pcm(160))
    hand.step(0.2)
    setattr(hand.disk, f"{when}_error", errno.EIO)
    hand.step(1.0)
    hand.settle()
    hand.done("pwrite")
    # as Linux does after a failed fsync: the pages count as clean, and what the disk has is what counts
    (call.folder / "0.pcm").write_bytes(b"")
    (call.folder / "events.log").write_bytes((call.folder / "events.log").read_bytes()[:-4])
    assert "EIO" in hand.queue.state
    hand.disk.sync_error = hand.disk.soon_error = 0
    hand.step(LONGEST)
    hand.settle()
    assert read_folder(call.folder) == (call.events, "")
    assert (call.read("0.pcm", 0, 160) == pcm(160)).all()
    assert (call.folder / "0.pcm").stat().st_size == 320
    assert hand.queue.state == ""
    assert hand.queue.waiting == 0


def test_memory_for_unsynced_bytes_is_bounded_by_syncing_early(hands, tmp_path):
    hand = hands(tmp_path / "j", max_pending=1 << 16, sync_interval=1e9)
    call = hand.call()
    hand.settle()
    hand.done("sync")
    for i in range(40):
        call.write("0.pcm", 4000 * i, pcm(4000))
        hand.step(0.3)
    assert len(hand.done("sync")) == 4
    assert hand.writer._kept <= 1 << 16


def test_a_file_that_may_not_grow_loses_its_audio_and_says_so(hand):
    call = hand.call()
    hand.settle()
    hand.disk.error, hand.disk.only = errno.EFBIG, "0.pcm"
    (call.folder / "0.pcm").touch(0o600)
    call.write("0.pcm", 0, pcm(160))
    call.write("1.pcm", 0, pcm(160))
    hand.step(0.2)
    assert hand.lost == [("0.pcm", 0, 160)]
    assert hand.queue.state == ""
    assert (call.folder / "1.pcm").stat().st_size == 320


def test_a_log_that_was_deleted_is_not_begun_anew(hand):
    call = hand.call()
    hand.settle()
    hand.writer.fds.close()
    (call.folder / "events.log").unlink()
    call.append(tag(1))
    hand.settle()
    assert "another program removed" in hand.queue.state
    assert not (call.folder / "events.log").exists()


def test_open_files_are_bounded_however_many_calls_there_are(hand):
    calls = [hand.call(i) for i in range(50)]
    for call in calls:
        call.write("0.pcm", 0, pcm(160))
        call.write("1.pcm", 0, pcm(160))
    hand.step(0.2)
    hand.settle()
    assert hand.disk.most_open <= 4
    assert all((call.folder / "1.pcm").stat().st_size == 320 for call in calls)


def test_a_fault_of_ours_in_one_file_is_tried_again_like_a_bad_disk(hand):
    call = hand.call()
    hand.disk.fault = True
    hand.settle()
    assert "internal error" in hand.queue.state
    hand.disk.fault = False
    hand.step(LONGEST)
    assert read_folder(call.folder) == (call.events, "")
    assert hand.queue.state == ""


def test_stop_writes_and_syncs_everything_due_or_not(hand):
    call = hand.call()
    call.write("0.pcm", 0, pcm(160))
    assert hand.writer.stop() == ""
    assert read_folder(call.folder) == (call.events, "")
    assert {"events.log", "0.pcm"} == set(hand.done("sync"))
    assert {hand.root.name, call.uuid} == set(hand.done("sync_folder"))
    assert hand.disk.open_now == 0


def test_stop_syncs_names_that_could_not_be_synced_before(hand):
    call = hand.call()
    hand.disk.folder_error = errno.EIO
    hand.settle()
    hand.disk.folder_error = 0
    hand.done("sync_folder")
    assert hand.writer.stop() == ""
    assert set(hand.done("sync_folder")) == {hand.root.name, call.uuid}


def test_a_file_that_failed_is_opened_anew(hand):
    """The descriptor may be stale: a file system that was mounted again."""
    call = hand.call()
    hand.settle()
    hand.disk.error = errno.ESTALE
    call.append(tag(1))
    hand.settle()
    hand.disk.error = 0
    hand.done("open")
    hand.step(LONGEST)
    assert hand.done("open") == ["events.log"]
    assert read_folder(call.folder) == (call.events, "")


def test_stop_says_what_could_not_be_written(hand):
    call = hand.call()
    hand.disk.error = errno.EROFS
    call.write("0.pcm", 0, pcm(160))
    assert hand.writer.stop().startswith(f"{hand.queue.waiting} bytes could not be written: ")
    assert hand.queue.waiting > 320


def test_stop_says_that_names_are_not_on_the_disk(hand):
    hand.call()
    hand.disk.folder_error = errno.EIO
    assert "EIO" in hand.writer.stop()


def test_the_thread_survives_a_fault_and_ends_when_stopped(hand, monkeypatch):
    seen = []

    def step(now: float) -> float | None:
        seen.append(now)
        if len(seen) == 1:
            raise ZeroDivisionError
        hand.writer.stopped = True
        return None

    monkeypatch.setattr(hand.writer, "step", step)
    monkeypatch.setattr(hand.queue, "sleep", seen.append)
    run(hand.writer, lambda: 5.0)
    assert seen == [5.0, 5.0 + LONGEST, 5.0]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_discard_moves_to_the_trash_and_deletes_step_by_step(hand, kind):
    call = hand.call()
    hand.settle()
    path = call.folder / "events.log" if kind == "file" else call.folder
    hand.writer.discard(str(path))
    hand.writer.discard(str(path))
    assert not path.exists()
    hand.now = 9.0
    hand.settle()
    assert list((hand.root / ".trash").iterdir()) == []


def test_trash_that_cannot_be_deleted_is_left_for_the_next_start(hand):
    hand.disk.delete_error = errno.EACCES
    hand.writer.purges.extend(["a", "b"])
    hand.settle()
    assert not hand.writer.purges
    assert hand.queue.state == ""


def test_a_folder_that_cannot_be_synced_is_tried_again(hand):
    call = hand.call()
    hand.disk.folder_error, hand.disk.only = errno.EIO, call.uuid
    hand.settle()
    assert "EIO" in hand.queue.state
    hand.done("sync_folder")
    hand.disk.folder_error = 0
    hand.step(LONGEST)
    assert hand.done("sync_folder") == [call.uuid]
    assert hand.queue.state == ""
