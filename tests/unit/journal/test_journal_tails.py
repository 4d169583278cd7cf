from __future__ import annotations

import pytest

from vcond.journal.file_buffers import BLOCK, Folder, Name, Tail


@pytest.fixture
def folders() -> tuple[Folder, Folder]:
    return Folder("/a", made=True), Folder("/b", made=True)


@pytest.fixture
def tail(folders) -> Tail:
    return Tail(Name(folders[0], "0.pcm"), size=100, made=True)


def test_bytes_that_follow_one_another_are_one_block(tail):
    tail.add(0, b"ab")
    tail.add(2, b"cd")
    tail.add(1, b"x")
    assert [(block.start, bytes(block.data)) for block in tail.waiting_blocks()] == [(0, b"abcd"), (1, b"x")]
    assert (tail.waiting, tail.end) == (5, 100)


def test_the_end_is_that_of_the_furthest_byte(tail):
    tail.add(200, b"ab")
    tail.add(0, b"ab")
    assert tail.end == 202


def test_a_block_stops_growing_so_that_one_system_call_stays_short(tail):
    for i in range(3):
        tail.add(i * BLOCK // 2, b"x" * (BLOCK // 2))
    assert [len(block.data) for block in tail.waiting_blocks()] == [BLOCK, BLOCK // 2]


def test_what_was_taken_does_not_grow(tail):
    tail.add(0, b"ab")
    tail.taken.extend(tail.pending)
    tail.pending.clear()
    tail.add(2, b"cd")
    assert [bytes(block.data) for block in tail.waiting_blocks()] == [b"ab", b"cd"]


def test_a_file_with_two_names_lives_as_long_as_one_of_its_folders(tail, folders):
    first, second = folders
    new = Name(second, "1.pcm")
    tail.files = ((*tail.files[0], new),)
    assert [name.path for name in tail.targets()] == ["/a/0.pcm"]
    first.gone = True
    assert [name.path for name in tail.targets()] == ["/b/1.pcm"]
    assert tail.names() == [new]
    second.gone = True
    assert tail.gone
    assert tail.targets() == []


def test_copies_are_all_written_to(tail, folders):
    tail.files = (*tail.files, (Name(folders[1], "1.pcm"),))
    assert [name.path for name in tail.targets()] == ["/a/0.pcm", "/b/1.pcm"]
