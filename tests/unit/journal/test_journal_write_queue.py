from __future__ import annotations

import threading

import pytest

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.journal.file_buffers import LOST_AT_ONCE, Folder, Log, Name, Track
from vcond.journal.write_queue import COALESCE, PROMPT, WriteQueue


class Desk:
    def __init__(self, limit: int = 1000) -> None:
        self.now = 0.0
        self.lost: list[tuple[str, int, int]] = []
        self.queue = WriteQueue(limit, lambda: self.now, lambda lost, *what: lost(*what))
        self.folder = Folder("/f", made=True)

    def track(self, name: str = "0.pcm") -> Track:
        return Track(Name(self.folder, name), size=0, made=True, on_lost=lambda *what: self.lost.append(what))

    def log(self) -> Log:
        return Log(Name(self.folder, "events.log"), size=0, made=True)

    def write(self, buffer: Track | Log) -> None:
        for _ in range(len(self.queue.take(buffer))):
            self.queue.written(buffer)


def dropped(reason: str) -> float:
    return metrics.dropped_total.labels("audio", reason)._value.get()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_events_are_due_at_once_and_audio_a_little_later(desk):
    log, track = desk.log(), desk.track()
    desk.queue.event(log, b"e1")
    desk.queue.audio(track, 0, b"aa")
    desk.queue.event(log, b"e2")
    desk.queue.audio(track, 2, b"bb")
    assert desk.queue.collect(0.0)[:2] == ([log], [])
    assert desk.queue.audio_due == COALESCE
    assert desk.queue.collect(COALESCE)[:2] == ([], [track])
    assert [bytes(block.data) for block in desk.queue.take(log)] == [b"e1e2"]
    assert [bytes(block.data) for block in desk.queue.take(track)] == [b"aabb"]
    assert desk.queue.waiting == 8


def test_much_audio_of_one_track_does_not_wait():
    desk = Desk(PROMPT * 8)
    desk.queue.audio(desk.track("0.pcm"), 0, b"x" * PROMPT)
    assert len(desk.queue.collect(0.0)[1]) == 1
    track = desk.track("1.pcm")
    desk.queue.audio(track, 0, b"x" * (PROMPT - 1))
    assert desk.queue.collect(0.0)[1] == []
    desk.queue.audio(track, PROMPT - 1, b"x")
    assert desk.queue.collect(0.0)[1] == [track]


def test_a_buffer_is_queued_once_until_it_is_taken(desk):
    track = desk.track()
    desk.queue.audio(track, 0, b"aa")
    assert desk.queue.collect(1.0)[1] == [track]
    desk.queue.audio(track, 2, b"aa")
    assert desk.queue.audio_due is None
    desk.queue.take(track)
    desk.queue.audio(track, 4, b"aa")
    assert desk.queue.collect(2.0)[1] == [track]


def test_newest_audio_is_dropped_when_too_much_waits_and_events_never(desk):
    log, tracks = desk.log(), [desk.track(f"{i}.pcm") for i in range(5)]
    before = dropped("backlog")
    for track in tracks:
        desk.queue.audio(track, 0, b"x" * 240)
    assert [track.waiting for track in tracks] == [240, 240, 240, 240, 0]
    assert dropped("backlog") == before + 1
    desk.queue.event(log, b"e" * 5000)
    assert desk.queue.waiting == 5960
    assert "too slow" in desk.queue.state
    for buffer in (*tracks, log):
        desk.write(buffer)
    assert desk.queue.waiting == 0
    desk.queue.collect(0.0)
    assert desk.queue.state == ""


def test_one_track_cannot_take_all_the_room(desk):
    bad, good = desk.track("0.pcm"), desk.track("1.pcm")
    for i in range(10):
        desk.queue.audio(bad, i * 100, b"x" * 100)
    desk.queue.audio(good, 0, b"x" * 100)
    assert (bad.waiting, good.waiting) == (200, 100)


def test_losses_of_a_broken_disk_are_counted_as_such(desk):
    desk.queue.trouble = "/j: the disk is full"
    before = dropped("disk")
    desk.queue.audio(desk.track(), 0, b"x" * 300)
    assert dropped("disk") == before + 1
    assert desk.queue.state == "/j: the disk is full"


def test_a_loss_is_reported_in_samples_once_it_is_over(desk):
    track = desk.track()
    desk.queue.audio(track, 0, b"x" * 200)
    for i in range(5):
        desk.queue.audio(track, 200 + i * 100, b"x" * 100)
    assert desk.lost == []
    desk.write(track)
    desk.queue.audio(track, 700, b"x" * 100)
    desk.queue.audio(track, 800, b"x" * 100)
    assert desk.lost == [("0.pcm", 100, 350)]


def test_losses_apart_are_reported_apart(desk):
    track = desk.track()
    desk.queue.audio(track, 0, b"x" * 200)
    desk.queue.audio(track, 300, b"x" * 100)
    desk.queue.audio(track, 500, b"x" * 100)
    assert desk.lost == [("0.pcm", 150, 200)]
    desk.queue.report_lost(track)
    desk.queue.report_lost(track)
    assert desk.lost == [("0.pcm", 150, 200), ("0.pcm", 250, 300)]


def test_a_loss_without_end_is_reported_as_it_goes_on(desk):
    track = desk.track()
    size = LOST_AT_ONCE // 4
    for i in range(6):
        desk.queue.audio(track, i * size, b"x" * size)
    assert desk.lost == [("0.pcm", 0, LOST_AT_ONCE // 2)]


def test_a_refused_block_is_lost_and_said_to_be(desk):
    track = desk.track()
    desk.queue.audio(track, 100, b"x" * 100)
    desk.queue.take(track)
    desk.queue.refused(track)
    assert (desk.lost, desk.queue.waiting) == ([("0.pcm", 50, 100)], 0)


def test_what_waits_is_copied_in_order_of_writing(desk):
    track = desk.track()
    desk.queue.audio(track, 0, b"aaaa")
    desk.queue.take(track)
    desk.queue.audio(track, 2, b"bbbb")
    desk.queue.audio(track, 40, b"cccc")
    assert desk.queue.unwritten(track, 1, 5) == [(1, b"aaa"), (2, b"bbb")]
    assert desk.queue.unwritten(track, 6, 40) == []


def test_what_was_not_synced_comes_before_what_is_new(desk):
    track = desk.track()
    for part in (b"aa", b"bb"):
        desk.queue.audio(track, 0, part)
        desk.queue.take(track)
        track.unsynced.append(desk.queue.written(track))
    desk.queue.audio(track, 0, b"cc")
    desk.queue.take(track)
    desk.queue.audio(track, 0, b"dd")
    assert desk.queue.again(track) == 4
    assert [bytes(block.data) for block in desk.queue.take(track)] == [b"aa", b"bb", b"cc", b"dd"]
    assert (track.unsynced, desk.queue.waiting, track.waiting) == ([], 8, 8)


def test_discarded_bytes_wait_no_more(desk):
    track = desk.track()
    desk.queue.audio(track, 0, b"aa")
    desk.queue.take(track)
    desk.queue.audio(track, 9, b"aa")
    desk.queue.discard(track)
    assert (desk.queue.waiting, track.waiting, track.waiting_blocks()) == (0, 0, [])


class Asked:
    def __init__(self) -> None:
        self.failed: list[Exception] = []

    def run(self, writer: object) -> None: ...

    def fail(self, why: Exception) -> None:
        self.failed.append(why)


def test_after_close_nothing_is_asked(desk):
    first, second = Asked(), Asked()
    desk.queue.ask(first)
    assert list(desk.queue.close()[1]) == [first]
    desk.queue.ask(second)
    assert isinstance(second.failed[0], StorageError)
    assert not desk.queue.collect(0.0)[2]


def test_rest_is_all_that_is_queued(desk):
    log, track = desk.log(), desk.track()
    desk.queue.audio(track, 0, b"aa")
    desk.queue.event(log, b"e")
    assert desk.queue.close()[0] == [log, track]
    assert desk.queue.close()[0] == []


@pytest.mark.parametrize("what", ["event", "nudge", "audio", "ask"])
def test_whatever_comes_wakes_a_sleeping_writer(desk, what):
    thread = threading.Thread(target=desk.queue.sleep, args=(None,), daemon=True)
    thread.start()
    match what:
        case "event":
            desk.queue.event(desk.log(), b"e")
        case "nudge":
            desk.queue.nudge(desk.log())
        case "audio":
            desk.queue.audio(desk.track(), 0, b"aa")
            desk.now = 1.0  # due already, should the sleep begin only now
        case "ask":
            desk.queue.ask(Asked())
    thread.join(60)
    assert not thread.is_alive()


def test_no_sleep_when_something_is_due(desk):
    desk.queue.sleep(0.0)
    desk.queue.event(desk.log(), b"e")
    desk.queue.sleep(None)
