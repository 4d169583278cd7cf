from __future__ import annotations

import threading

import pytest

from vcond.base import metrics
from vcond.base.errors import StorageError
from vcond.journal.file_buffers import LOST_AT_ONCE, Folder, Log, Name, Track
from vcond.journal.write_queue import COALESCE, PROMPT, WriteQueue


class AdapterHost:
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
def host() -> AdapterHost:
    return AdapterHost()


def test_events_are_due_at_once_and_audio_a_little_later(host):
    log, track = host.log(), host.track()
    host.queue.event(log, b"e1")
    host.queue.audio(track, 0, b"aa")
    host.queue.event(log, b"e2")
    host.queue.audio(track, 2, b"bb")
    assert host.queue.collect(0.0)[:2] == ([log], [])
    assert host.queue.audio_due == COALESCE
    assert host.queue.collect(COALESCE)[:2] == ([], [track])
    assert [bytes(block.data) for block in host.queue.take(log)] == [b"e1e2"]
    assert [bytes(block.data) for block in host.queue.take(track)] == [b"aabb"]
    assert host.queue.waiting == 8


def test_much_audio_of_one_track_does_not_wait():
    host = AdapterHost(PROMPT * 8)
    host.queue.audio(host.track("0.pcm"), 0, b"x" * PROMPT)
    assert len(host.queue.collect(0.0)[1]) == 1
    track = host.track("1.pcm")
    host.queue.audio(track, 0, b"x" * (PROMPT - 1))
    assert host.queue.collect(0.0)[1] == []
    host.queue.audio(track, PROMPT - 1, b"x")
    assert host.queue.collect(0.0)[1] == [track]


def test_a_buffer_is_queued_once_until_it_is_taken(host):
    track = host.track()
    host.queue.audio(track, 0, b"aa")
    assert host.queue.collect(1.0)[1] == [track]
    host.queue.audio(track, 2, b"aa")
    assert host.queue.audio_due is None
    host.queue.take(track)
    host.queue.audio(track, 4, b"aa")
    assert host.queue.collect(2.0)[1] == [track]


def test_newest_audio_is_dropped_when_too_much_waits_and_events_never(host):
    log, tracks = host.log(), [host.track(f"{i}.pcm") for i in range(5)]
    before = dropped("backlog")
    for track in tracks:
        host.queue.audio(track, 0, b"x" * 240)
    assert [track.waiting for track in tracks] == [240, 240, 240, 240, 0]
    assert dropped("backlog") == before + 1
    host.queue.event(log, b"e" * 5000)
    assert host.queue.waiting == 5960
    assert "too slow" in host.queue.state
    for buffer in (*tracks, log):
        host.write(buffer)
    assert host.queue.waiting == 0
    host.queue.collect(0.0)
    assert host.queue.state == ""


def test_one_track_cannot_take_all_the_room(host):
    bad, good = host.track("0.pcm"), host.track("1.pcm")
    for i in range(10):
        host.queue.audio(bad, i * 100, b"x" * 100)
    host.queue.audio(good, 0, b"x" * 100)
    assert (bad.waiting, good.waiting) == (200, 100)


def test_losses_of_a_broken_disk_are_counted_as_such(host):
    host.queue.trouble = "/j: the disk is full"
    before = dropped("disk")
    host.queue.audio(host.track(), 0, b"x" * 300)
    assert dropped("disk") == before + 1
    assert host.queue.state == "/j: the disk is full"


def test_a_loss_is_reported_in_samples_once_it_is_over(host):
    track = host.track()
    host.queue.audio(track, 0, b"x" * 200)
    for i in range(5):
        host.queue.audio(track, 200 + i * 100, b"x" * 100)
    assert host.lost == []
    host.write(track)
    host.queue.audio(track, 700, b"x" * 100)
    host.queue.audio(track, 800, b"x" * 100)
    assert host.lost == [("0.pcm", 100, 350)]


def test_losses_apart_are_reported_apart(host):
    track = host.track()
    host.queue.audio(track, 0, b"x" * 200)
    host.queue.audio(track, 300, b"x" * 100)
    host.queue.audio(track, 500, b"x" * 100)
    assert host.lost == [("0.pcm", 150, 200)]
    host.queue.report_lost(track)
    host.queue.report_lost(track)
    assert host.lost == [("0.pcm", 150, 200), ("0.pcm", 250, 300)]


def test_a_loss_without_end_is_reported_as_it_goes_on(host):
    track = host.track()
    size = LOST_AT_ONCE // 4
    for i in range(6):
        host.queue.audio(track, i * size, b"x" * size)
    assert host.lost == [("0.pcm", 0, LOST_AT_ONCE // 2)]


def test_a_refused_block_is_lost_and_said_to_be(host):
    track = host.track()
    host.queue.audio(track, 100, b"x" * 100)
    host.queue.take(track)
    host.queue.refused(track)
    assert (host.lost, host.queue.waiting) == ([("0.pcm", 50, 100)], 0)


def test_what_waits_is_copied_in_order_of_writing(host):
    track = host.track()
    host.queue.audio(track, 0, b"aaaa")
    host.queue.take(track)
    host.queue.audio(track, 2, b"bbbb")
    host.queue.audio(track, 40, b"cccc")
    assert host.queue.unwritten(track, 1, 5) == [(1, b"aaa"), (2, b"bbb")]
    assert host.queue.unwritten(track, 6, 40) == []


def test_what_was_not_synced_comes_before_what_is_new(host):
    track = host.track()
    for part in (b"aa", b"bb"):
        host.queue.audio(track, 0, part)
        host.queue.take(track)
        host.queue.written(track)
    host.queue.audio(track, 0, b"cc")
    host.queue.take(track)
    host.queue.audio(track, 0, b"dd")
    assert host.queue.again(track) == 4
    assert [bytes(block.data) for block in host.queue.take(track)] == [b"aa", b"bb", b"cc", b"dd"]
    assert (track.unsynced, host.queue.waiting, track.waiting) == ([], 8, 8)


def test_discarded_bytes_wait_no_more(host):
    track = host.track()
    host.queue.audio(track, 0, b"aa")
    host.queue.take(track)
    host.queue.audio(track, 9, b"aa")
    host.queue.discard(track)
    assert (host.queue.waiting, track.waiting, track.waiting_blocks()) == (0, 0, [])


class Asked:
    def __init__(self) -> None:
        self.failed: list[Exception] = []

    def run(self, writer: object) -> None: ...

    def fail(self, why: Exception) -> None:
        self.failed.append(why)


def test_after_close_nothing_is_asked(host):
    first, second = Asked(), Asked()
    host.queue.ask(first)
    assert list(host.queue.close()[1]) == [first]
    host.queue.ask(second)
    assert isinstance(second.failed[0], StorageError)
    assert not host.queue.collect(0.0)[2]


def test_rest_is_all_that_is_queued(host):
    log, track = host.log(), host.track()
    host.queue.audio(track, 0, b"aa")
    host.queue.event(log, b"e")
    assert host.queue.close()[0] == [log, track]
    assert host.queue.close()[0] == []


@pytest.mark.parametrize("what", ["event", "nudge", "audio", "ask"])
def test_whatever_comes_wakes_a_sleeping_writer(host, what):
    thread = threading.Thread(target=host.queue.sleep, args=(None,), daemon=True)
    thread.start()
    match what:
        case "event":
            host.queue.event(host.log(), b"e")
        case "nudge":
            host.queue.nudge(host.log())
        case "audio":
            host.queue.audio(host.track(), 0, b"aa")
            host.now = 1.0  # due already, should the sleep begin only now
        case "ask":
            host.queue.ask(Asked())
    thread.join(60)
    assert not thread.is_alive()


def test_no_sleep_when_something_is_due(host):
    host.queue.sleep(0.0)
    host.queue.event(host.log(), b"e")
    host.queue.sleep(None)
