from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.journal.prerequisites import CHUNK
from vcond.journal.retries import LONGEST

MERGED = ev.Merged(at=Instant(3), call="other")


def pcm(count: int, value: int) -> np.ndarray:
    return np.full(count, value, np.int16)


@pytest.fixture
def pair(hand):
    """Call 1, and call 2 with 0.2 s of audio on disk and as much waiting."""
    into, other = hand.call(1), hand.call(2)
    other.write("0.pcm", 0, pcm(1600, 1))
    hand.step(0.2)
    hand.settle()
    other.write("0.pcm", 1600, pcm(1600, 2))
    return into, other


@pytest.mark.parametrize("no_links", [0, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK])
def test_an_adopted_track_is_one_for_both_calls_while_it_is_written(hand, pair, no_links):
    into, other = pair
    hand.disk.link_error = no_links
    into.adopt(other, {"0.pcm": "4.pcm"})
    into.append(MERGED)
    for call, name, value in ((other, "0.pcm", 3), (into, "4.pcm", 4)):
        call.write(name, value * 1600, pcm(1600, value))
        hand.step(0.2)
        hand.settle()
    want = np.concatenate([pcm(1600, 1), pcm(1600, 2), pcm(1600, 0), pcm(1600, 3), pcm(1600, 4)])
    assert (into.read("4.pcm", 0, 8000) == want).all()
    assert (other.read("0.pcm", 0, 8000) == want).all()
    for path in (into.folder / "4.pcm", other.folder / "0.pcm"):
        assert (np.fromfile(path, "<i2") == want).all()
        assert path.stat().st_mode & 0o777 == 0o600
    assert (into.folder / "4.pcm").samefile(other.folder / "0.pcm") == (not no_links)


def test_the_log_speaks_of_a_merge_only_when_the_links_are_there(hand, pair):
    into, other = pair
    hand.disk.link_error = errno.ENOSPC
    into.adopt(other, {"0.pcm": "4.pcm"})
    into.append(MERGED)
    hand.settle()
    assert MERGED not in read_folder(into.folder)[0]
    assert "full" in hand.queue.state
    hand.disk.link_error = 0
    hand.step(LONGEST)
    assert MERGED in read_folder(into.folder)[0]
    assert (into.folder / "4.pcm").samefile(other.folder / "0.pcm")


def test_the_other_says_that_it_is_over_only_when_this_one_has_it_on_disk(hand, pair):
    into, other = pair
    over = ev.MergedInto(at=Instant(4), call=into.uuid)
    into.adopt(other, {"0.pcm": "4.pcm"})
    hand.disk.sync_error, hand.disk.only = errno.EIO, into.uuid
    into.append(MERGED)
    other.append(over)
    hand.settle()
    assert over not in read_folder(other.folder)[0]
    hand.disk.sync_error = 0
    hand.done("sync")
    hand.step(LONGEST)
    hand.settle()
    assert over in read_folder(other.folder)[0]
    assert MERGED in read_folder(into.folder)[0]


def test_a_track_without_a_frame_yet_can_be_adopted(hand, pair):
    into, other = pair
    into.adopt(other, {"1.pcm": "5.pcm"})
    hand.settle()
    assert (into.folder / "5.pcm").samefile(other.folder / "1.pcm")
    other.write("1.pcm", 0, pcm(10, 1))
    assert (into.read("5.pcm", 0, 10) == pcm(10, 1)).all()
    assert into.length("5.pcm") == 10


def test_what_an_earlier_merge_left_is_replaced(hand, pair):
    into, other = pair
    (into.folder / "4.pcm").write_bytes(b"left over")
    into.adopt(other, {"0.pcm": "4.pcm"})
    hand.settle()
    assert (into.folder / "4.pcm").samefile(other.folder / "0.pcm")


def test_a_copy_that_broke_off_is_begun_anew(hand, pair):
    into, other = pair
    hand.disk.link_error = errno.EPERM
    hand.disk.room, hand.disk.only = 100, "4.pcm"
    into.adopt(other, {"0.pcm": "4.pcm"})
    hand.settle()
    assert "full" in hand.queue.state
    hand.disk.room = None
    hand.step(LONGEST)
    hand.settle()
    assert hand.queue.state == ""
    hand.step(0.2)
    assert (np.fromfile(into.folder / "4.pcm", "<i2") == np.fromfile(other.folder / "0.pcm", "<i2")).all()


def test_a_copy_keeps_holes(hand):
    into, other = hand.call(1), hand.call(2)
    other.write("0.pcm", 10 * CHUNK, pcm(1600, 1))
    other.write("0.pcm", 20 * CHUNK, pcm(1600, 0))
    hand.step(0.2)
    hand.disk.link_error = errno.EPERM
    into.adopt(other, {"0.pcm": "1.pcm"})
    hand.settle()
    found = (into.folder / "1.pcm").stat()
    assert found.st_size == 40 * CHUNK + 3200
    assert found.st_blocks * 512 < 2 * CHUNK


def test_a_repair_cuts_the_log_and_keeps_the_rest_for_support(hand, tmp_path):
    call = hand.call()
    hand.settle()
    log = call.folder / "events.log"
    good = log.stat().st_size
    log.write_bytes(log.read_bytes() + b"damaged" * 10)
    hand.disk.error, hand.disk.only = errno.ENOSPC, "damaged-1"
    repair(call, good)
    call.append(MERGED)
    hand.settle()
    assert log.stat().st_size == good + 70
    hand.disk.error = 0
    hand.step(LONGEST)
    assert (call.folder / "events.damaged-1").read_bytes() == b"damaged" * 10
    assert (call.folder / "events.damaged-1").stat().st_mode & 0o777 == 0o600
    assert read_folder(call.folder) == (call.events, "")


def repair(call, good: int) -> None:
    from vcond.journal.prerequisites import Repair

    call._log.prerequisites.append(Repair(call._log, good, "events.damaged-1"))
    call._queue.nudge(call._log)


def test_a_repair_that_was_done_is_not_done_again(hand):
    call = hand.call()
    hand.settle()
    repair(call, (call.folder / "events.log").stat().st_size)
    hand.settle()
    assert sorted(path.name for path in Path(call.folder).iterdir()) == ["events.log"]
