from __future__ import annotations

import errno

import numpy as np

from vcond.base.errors import StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.journal.commands import Flush, Purge, Remove, Stop
from vcond.journal.retries import LONGEST


def pcm(count: int) -> np.ndarray:
    return np.ones(count, np.int16)


def flush(hand, call) -> list[Exception | None]:
    """The answer; what was done after it does not count."""
    answers: list[Exception | None] = []
    done: list[tuple[str, str]] = []

    def answer(why: Exception | None) -> None:
        answers.append(why)
        done.extend(hand.disk.calls)

    hand.queue.ask(Flush([call._log, *call._tracks.values()], answer))
    hand.step()
    hand.disk.calls = done
    return answers


def test_flush_writes_and_syncs_files_and_folders_before_it_answers(hand):
    call = hand.call()
    call.write("0.pcm", 0, pcm(160))
    assert flush(hand, call) == [None]
    assert set(hand.done("sync")) == {"events.log", "0.pcm"}
    assert set(hand.done("sync_folder")) == {hand.root.name, call.uuid}
    assert set(hand.done("pwrite")) == {"events.log", "0.pcm"}
    assert flush(hand, call) == [None]
    assert hand.done("sync") == hand.done("pwrite") == []


def test_flush_says_what_is_wrong_and_a_later_one_that_it_is_right(hand):
    call = hand.call()
    hand.disk.error = errno.EDQUOT
    (answer,) = flush(hand, call)
    assert isinstance(answer, StorageError)
    assert "quota" in str(answer)
    hand.disk.error = 0
    assert flush(hand, call) == [None]
    assert read_folder(call.folder) == (call.events, "")
    assert hand.queue.state == ""


def test_flush_waits_for_the_folder_too(hand):
    call = hand.call()
    hand.disk.folder_error, hand.disk.only = errno.EIO, call.uuid
    assert isinstance(flush(hand, call)[0], StorageError)


def test_a_fault_of_ours_is_no_storage_error(hand):
    answers: list[Exception | None] = []
    Flush([], answers.append).fail(ZeroDivisionError())
    Stop(answers.append).fail(StorageError("closed"))
    assert [type(answer) for answer in answers] == [RuntimeError, StorageError]


def test_remove_takes_the_folder_away_durably_then_deletes_it(hand):
    call = hand.call()
    call.write("0.pcm", 0, pcm(160))
    flush(hand, call)
    hand.done("sync_folder")
    call.write("0.pcm", 160, pcm(160))
    hand.queue.ask(Remove(call._folder))
    hand.step()
    assert not call.folder.exists()
    assert hand.done("sync_folder") == [hand.root.name]
    hand.step(1.0)
    hand.settle()
    assert list((hand.root / ".trash").iterdir()) == []
    assert hand.disk.open_now == 0
    assert hand.queue.waiting == 0
    assert hand.queue.state == ""


def test_remove_before_anything_was_written_leaves_nothing(hand):
    call = hand.call()
    call.write("0.pcm", 0, pcm(160))
    hand.queue.ask(Remove(call._folder))
    hand.settle()
    hand.step(1.0)
    hand.settle()
    assert [path.name for path in hand.root.rglob("*")] == [".trash"]
    assert hand.queue.waiting == 0


def test_remove_is_tried_again(hand):
    call = hand.call()
    hand.settle()
    hand.disk.rename_error = errno.EROFS
    hand.queue.ask(Remove(call._folder))
    hand.settle()
    assert call.folder.exists()
    assert "read-only" in hand.queue.state
    hand.disk.rename_error = 0
    hand.step(LONGEST)
    assert not call.folder.exists()
    assert hand.queue.state == ""


def test_events_of_a_removed_call_that_could_not_be_written_are_no_trouble_any_more(hand):
    call, other = hand.call(1), hand.call(2)
    hand.settle()
    hand.disk.error, hand.disk.only = errno.EIO, call.uuid
    call.append(ev.Answered(at=Instant(1)))
    hand.settle()
    hand.queue.ask(Remove(call._folder))
    hand.settle()
    hand.step(LONGEST)
    hand.settle()
    assert hand.queue.state == ""
    assert hand.queue.waiting == 0
    assert other.folder.exists()


def test_adopted_audio_outlives_the_call_it_came_from(hand):
    into, other = hand.call(1), hand.call(2)
    other.write("0.pcm", 0, pcm(160))
    into.adopt(other, {"0.pcm": "1.pcm"})
    into.append(ev.Merged(at=Instant(1), call=other.uuid))
    hand.disk.link_error = errno.ENOSPC
    hand.queue.ask(Remove(other._folder))
    hand.settle()
    assert other.folder.exists()
    hand.disk.link_error = 0
    hand.step(LONGEST)
    hand.settle()
    assert not other.folder.exists()
    into.write("1.pcm", 160, pcm(160))
    hand.step(0.2)
    hand.settle()
    assert (np.fromfile(into.folder / "1.pcm", "<i2") == 1).all()
    assert (into.read("1.pcm", 0, 320) == 1).all()
    assert hand.queue.state == ""


def test_a_call_that_is_removed_before_it_could_take_another_in_is_no_trouble(hand):
    into, other = hand.call(1), hand.call(2)
    hand.settle()
    hand.disk.link_error = errno.ENOSPC
    into.adopt(other, {"0.pcm": "1.pcm"})
    hand.settle()
    hand.queue.ask(Remove(into._folder))
    hand.settle()
    hand.disk.link_error = 0
    hand.step(LONGEST)
    hand.settle()
    assert hand.queue.state == ""
    other.append(ev.Answered(at=Instant(1)))
    hand.settle()
    assert read_folder(other.folder) == (other.events, "")


def test_a_removed_call_has_nothing_to_take(hand):
    into, other = hand.call(1), hand.call(2)
    hand.queue.ask(Remove(other._folder))
    hand.settle()
    into.adopt(other, {"0.pcm": "1.pcm"})
    into.append(ev.Answered(at=Instant(1)))
    hand.settle()
    assert hand.queue.state == ""
    assert read_folder(into.folder) == (into.events, "")
    assert into.read("1.pcm", 0, 3).tolist() == [0, 0, 0]


def test_purge_deletes_what_an_earlier_run_left(hand):
    left = hand.root / ".trash" / "left"
    left.mkdir(parents=True)
    (left / "x").touch()
    hand.queue.ask(Purge([str(left)]))
    hand.settle()
    assert not left.exists()


def test_stop_ends_the_writer_and_says_what_is_left(hand):
    call = hand.call()
    answers: list[Exception | None] = []
    hand.disk.error = errno.ENOSPC
    hand.queue.ask(Stop(answers.append))
    hand.step()
    assert hand.writer.stopped
    assert "bytes could not be written" in str(answers[0])
    hand.queue.ask(Flush([call._log], answers.append))
    assert "closed" in str(answers[1])
