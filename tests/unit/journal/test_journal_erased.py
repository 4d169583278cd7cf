"""What was not to be kept goes before what comes after it is written, whatever the disk refuses and for how long."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from vcond.base.errors import StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal.commands import Flush

OLD, NEW = np.full(400, 77, np.int16), np.full(100, 5, np.int16)
REFUSALS = ["error", "sync_error", "folder_error", "delete_error"]


def refused(hand, what: str, *, on: bool = True) -> None:
    setattr(hand.disk, what, errno.EIO if on else 0)


def again(hand) -> None:
    """Until the writer has tried everything again."""
    for _ in range(20):
        hand.step(5.0)
        hand.settle()


def on_disk(hand, call, file: str = "0.pcm"):
    path = call.folder / file
    return np.fromfile(path, "<i2") if path.exists() else np.zeros(0, np.int16)


@pytest.fixture
def call(hand):
    made = hand.call()
    made.append(ev.TrackOpened(at=Instant(2), track=0, party=0, codec="L16", rate=8000, file="0.pcm"))
    return made


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("written", [True, False])
def test_what_is_written_after_it_is_kept_though_the_disk_refused(hand, call, what: str, written: bool):
    call.write("0.pcm", 0, OLD)
    if written:
        again(hand)
    refused(hand, what)
    if not written:
        again(hand)  # the write itself was refused
    call.erase("0.pcm")
    call.write("0.pcm", 600, NEW)
    again(hand)
    call.write("0.pcm", 700, NEW)
    again(hand)
    refused(hand, what, on=False)
    again(hand)
    found = on_disk(hand, call)
    assert not np.any(found == 77)
    assert (len(found), np.count_nonzero(found == 5)) == (800, 200)
    assert np.array_equal(call.read("0.pcm", 0, 800), found)
    assert hand.queue.waiting == 0
    assert hand.queue.trouble == ""
    assert hand.writer._kept == 0


def test_what_is_handed_over_right_after_it_is_not_taken_for_what_was_before(hand, call):
    call.write("0.pcm", 0, OLD)
    call.erase("0.pcm")
    call.write("0.pcm", 400, NEW)
    again(hand)
    assert np.array_equal(np.flatnonzero(on_disk(hand, call)), np.arange(400, 500))


@pytest.mark.parametrize("what", ["folder_error", "delete_error"])
def test_a_flush_says_that_it_is_not_gone_yet(hand, call, what: str):
    call.write("0.pcm", 0, OLD)
    again(hand)
    call.erase("0.pcm")
    refused(hand, what)
    told: list[Exception | None] = []
    hand.queue.ask(Flush([call._tracks["0.pcm"]], told.append))
    again(hand)
    assert isinstance(told.pop(), StorageError)
    refused(hand, what, on=False)
    hand.queue.ask(Flush([call._tracks["0.pcm"]], told.append))
    again(hand)
    assert told == [None]
    assert not (call.folder / "0.pcm").exists()


def test_the_end_of_the_writer_does_it_and_writes_nothing_of_what_was_to_go(hand, call):
    call.write("0.pcm", 0, OLD)
    again(hand)
    refused(hand, "delete_error")
    call.erase("0.pcm")
    again(hand)
    assert on_disk(hand, call).any()
    refused(hand, "delete_error", on=False)
    assert hand.writer.stop() == ""
    assert not (call.folder / "0.pcm").exists()


@pytest.mark.parametrize("linked", [True, False])
def test_of_a_track_that_another_call_took_both_names_go_and_both_have_what_comes(hand, call, linked: bool):
    other = hand.call(2)
    hand.disk.link_error = 0 if linked else errno.EPERM
    call.write("0.pcm", 0, OLD)
    again(hand)
    other.adopt(call, {"0.pcm": "1.pcm"})
    other.append(ev.Answered(at=Instant(3)))
    again(hand)
    assert on_disk(hand, other, "1.pcm").any()
    other.erase("1.pcm")
    again(hand)
    assert not on_disk(hand, call).any()
    assert not on_disk(hand, other, "1.pcm").any()
    other.write("1.pcm", 10, NEW)
    again(hand)
    for one, file in ((call, "0.pcm"), (other, "1.pcm")):
        assert np.array_equal(np.flatnonzero(on_disk(hand, one, file)), np.arange(10, 110))


def test_a_merge_that_the_disk_refused_goes_on_when_its_audio_was_erased_meanwhile(hand, call):
    other = hand.call(2)
    call.write("0.pcm", 0, OLD)
    again(hand)
    hand.disk.link_error = errno.EIO
    other.adopt(call, {"0.pcm": "1.pcm"})
    other.append(ev.Answered(at=Instant(3)))
    other.erase("1.pcm")
    again(hand)
    hand.disk.link_error = 0
    again(hand)
    assert hand.queue.trouble == ""
    for one, file in ((call, "0.pcm"), (other, "1.pcm")):
        assert not on_disk(hand, one, file).any()
