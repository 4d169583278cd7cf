from __future__ import annotations

import pytest

from vcond.journal.file_buffers import BLOCK, FileBuffer, Folder, Name


@pytest.fixture
def folders() -> tuple[Folder, Folder]:
    return Folder("/a", made=True), Folder("/b", made=True)


@pytest.fixture
def buffer(folders) -> FileBuffer:
    return FileBuffer(Name(folders[0], "0.pcm"), size=100, made=True)


def test_bytes_that_follow_one_another_are_one_block(buffer):
    buffer.add(0, b"ab")
    buffer.add(2, b"cd")
    buffer.add(1, b"x")
    assert [(block.start, bytes(block.data)) for block in buffer.waiting_blocks()] == [(0, b"abcd"), (1, b"x")]
    assert (buffer.waiting, buffer.end) == (5, 100)


def test_the_end_is_that_of_the_furthest_byte(buffer):
    buffer.add(200, b"ab")
    buffer.add(0, b"ab")
    assert buffer.end == 202


def test_a_block_stops_growing_so_that_one_system_call_stays_short(buffer):
    for i in range(3):
        buffer.add(i * BLOCK // 2, b"x" * (BLOCK // 2))
    assert [len(block.data) for block in buffer.waiting_blocks()] == [BLOCK, BLOCK // 2]


def test_what_was_taken_does_not_grow(buffer):
    buffer.add(0, b"ab")
    buffer.taken.extend(buffer.pending)
    buffer.pending.clear()
    buffer.add(2, b"cd")
    assert [bytes(block.data) for block in buffer.waiting_blocks()] == [b"ab", b"cd"]


def test_a_file_with_two_names_lives_as_long_as_one_of_its_folders(buffer, folders):
    first, second = folders
    new = Name(second, "1.pcm")
    buffer.files = ((*buffer.files[0], new),)
    assert [name.path for name in buffer.targets()] == ["/a/0.pcm"]
    first.gone = True
    assert [name.path for name in buffer.targets()] == ["/b/1.pcm"]
    assert buffer.names() == [new]
    second.gone = True
    assert buffer.gone
    assert buffer.targets() == []


def test_copies_are_all_written_to(buffer, folders):
    buffer.files = (*buffer.files, (Name(folders[1], "1.pcm"),))
    assert [name.path for name in buffer.targets()] == ["/a/0.pcm", "/b/1.pcm"]
