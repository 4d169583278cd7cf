"""Files of calls on an encrypting disk: the content is what a plain disk would have, and what was done to them is found."""

import contextlib
import errno
import os
import random
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files, put
from vcond.storage.segments import HEADER, MAGIC, Index, is_encrypted, stored
from vcond.storage.whole_files import WholeFiles

A, B = "018f0000-0001-8000-8000-000000000000", "018f0000-0002-8000-8000-000000000000"
MARK = b"what was said in the call"


class SomeKeys:
    """Keys in memory; ``made`` is how many were made."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}
        self.made = 0

    def get(self, of: bytes) -> bytes | None:
        return self.known.get(of)

    def make(self, of: bytes) -> bytes:
        if of not in self.known:
            self.known[of] = os.urandom(32)
            self.made += 1
        return self.known[of]


class Full(Files):
    """A disk with ``room`` bytes left; None = no end."""

    def __init__(self) -> None:
        self.room: int | None = None

    def pwrite(self, fd, data, offset):
        if self.room is not None:
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: self.room]
            self.room -= len(data)
        return super().pwrite(fd, data, offset)


class Hasty(Files):
    """Waits for no disk."""

    def sync(self, fd):
        """Nothing."""


@pytest.fixture
def keys():
    return SomeKeys()


@pytest.fixture
def files(tmp_path, keys):
    return EncryptedFiles(Files(), keys, tmp_path)


def folder(root: Path, *parts: str) -> Path:
    made = root.joinpath(*parts)
    made.mkdir(parents=True, exist_ok=True)
    return made


def track(root: Path, call: str = A, name: str = "0.pcm") -> str:
    return str(folder(root, "journal", call) / name)


def written(files: Files, path: str, *pieces: tuple[int, bytes]) -> None:
    fd = files.open(path, create=True)
    try:
        for place, data in pieces:
            put(files, fd, data, place)
        files.sync(fd)
    finally:
        files.close(fd)


def content(files: Files, path: str) -> bytes:
    return WholeFiles(files).read(Path(path), 1 << 30)


def blocks(path: str) -> list[tuple[int, int]]:
    """``at`` and size in the file of each block; of a file of one key."""
    raw = Path(path).read_bytes()

    class Any:
        def get(self, of):
            return bytes(32)

    index = Index(b"", Any())
    index.grow(lambda count, at: raw[at : at + count], len(raw))
    return [(at, stored(size)) for _, at, size in index.blocks(0, 1 << 60)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 5000), st.binary(min_size=1, max_size=3000)),
            st.tuples(st.just("append"), st.just(0), st.binary(min_size=1, max_size=3000)),
            st.tuples(st.just("cut"), st.integers(0, 6000), st.just(b"")),
            st.tuples(st.just("again"), st.just(0), st.just(b"")),
        ),
        max_size=12,
    ),
    start=st.integers(0, 6000),
    count=st.integers(1, 6000),
)
def test_the_content_is_that_of_a_plain_file_whatever_is_done(tmp_path_factory, steps, start, count):
    root = tmp_path_factory.mktemp("state")
    files, plain = EncryptedFiles(Files(), SomeKeys(), root), Files()
    paths = (files, track(root)), (plain, str(root / "plain"))
    fds = [disk.open(path, create=True) for disk, path in paths]
    for what, at, data in steps:
        for i, (disk, path) in enumerate(paths):
            if what == "write":
                put(disk, fds[i], data, at)
            elif what == "append":
                put(disk, fds[i], data, disk.size(fds[i]))
            elif what == "cut":
                disk.truncate(fds[i], at)
            else:
                disk.close(fds[i])
                fds[i] = disk.open(path)
        assert files.pread(fds[0], count, start) == plain.pread(fds[1], count, start)
    assert files.size(fds[0]) == files.size(paths[0][1]) == plain.size(fds[1])
    assert content(files, paths[0][1]) == content(plain, paths[1][1])
    for disk, fd in zip((files, plain), fds, strict=True):
        disk.close(fd)


def test_nothing_of_the_content_is_in_the_file_and_equal_content_is_not_equal(files, tmp_path):
    for name in ("0.pcm", "1.pcm"):
        written(files, track(tmp_path, name=name), (0, MARK * 100))
    one, other = (Path(track(tmp_path, name=name)).read_bytes() for name in ("0.pcm", "1.pcm"))
    assert MARK not in one
    assert is_encrypted(one[:HEADER])
    assert one[HEADER + 32 :] != other[HEADER + 32 :]


def test_each_opening_for_writing_begins_a_segment_with_a_salt_of_its_own(files, tmp_path):
    path = track(tmp_path)
    for i in range(3):
        written(files, path, (4 * i, b"same"))
    raw = Path(path).read_bytes()
    begins = [at for at in range(len(raw)) if raw.startswith(MAGIC, at)][::2]
    assert len(begins) == 3
    assert len({raw[at + 40 : at + 72] for at in begins}) == 3
    assert len({raw[at - stored(4) + 32 : at] for at in begins[1:]}) == 2  # the same content, counter 0, another key
    assert content(files, path) == b"same" * 3


def test_every_cut_of_the_end_leaves_what_was_before_and_writing_goes_on(files, keys, tmp_path):
    path = track(tmp_path)
    pieces = [(20 * i, bytes([65 + i]) * 20) for i in range(3)]
    written(files, path, *pieces[:2])
    written(files, path, *pieces[2:])
    whole = Path(path).read_bytes()
    ends = [at + size for at, size in blocks(path)]
    for cut in range(len(whole)):
        Path(path).write_bytes(whole[:cut])
        left = sum(end <= cut for end in ends)
        before = b"".join(data for _, data in pieces[:left])
        again = EncryptedFiles(Hasty(), keys, tmp_path)
        if cut:
            assert again.size(path) == len(before)
        with structlog.testing.capture_logs() as told:
            written(again, path, (20 * left, b"Z" * 50))
            assert content(again, path) == before + b"Z" * 50, cut
        assert not told, cut  # what a crash leaves is no damage


def test_a_header_that_a_crash_cut_is_not_whole_because_the_next_one_begins_as_it_would_have_ended(
    files, keys, tmp_path
):
    path = track(tmp_path)
    written(files, path, (0, b"A" * 20))
    first = Path(path).read_bytes()
    for _ in range(20_000):  # one in 256 ends so
        Path(path).write_bytes(first)
        again = EncryptedFiles(Hasty(), keys, tmp_path)
        written(again, path, (20, b"B" * 20))
        whole = Path(path).read_bytes()
        if whole[len(first) + HEADER - 1] == MAGIC[0]:
            break
    Path(path).write_bytes(whole[: len(first) + HEADER - 1])
    again = EncryptedFiles(Hasty(), keys, tmp_path)
    with structlog.testing.capture_logs() as told:
        written(again, path, (20, b"Z" * 50))
        assert content(again, path) == b"A" * 20 + b"Z" * 50
    assert not told


def test_every_bit_that_is_flipped_is_found_and_the_rest_is_read(files, keys, tmp_path):
    path = track(tmp_path)
    pieces = [(20 * i, bytes([65 + i]) * 20) for i in range(4)]
    written(files, path, *pieces[:2])
    written(files, path, *pieces[2:])
    whole, good = Path(path).read_bytes(), b"".join(data for _, data in pieces)
    for at in range(len(whole)):
        bad = bytearray(whole)
        bad[at] ^= 1 << at % 8
        Path(path).write_bytes(bad)
        again = EncryptedFiles(Hasty(), keys, tmp_path)
        with structlog.testing.capture_logs() as told:
            found = content(again, path).ljust(len(good), b"\0")
        if found != good:
            assert sum(found[p : p + 20] != data for p, data in pieces) == 1, at  # one block, no more
            assert all(found[p : p + 20] in {data, bytes(20)} for p, data in pieces), at
            assert told, at
            assert told[0]["file"] == path
        else:
            assert told or _second_header(whole, at), at


def _second_header(raw: bytes, at: int) -> bool:
    """Whether a byte is in one of the two copies of a segment's header: the other one is enough."""
    return any(begin <= at < begin + HEADER for begin in range(len(raw)) if raw.startswith(MAGIC, begin))


def test_blocks_that_were_moved_doubled_or_taken_out_are_found(files, keys, tmp_path):
    path = track(tmp_path)
    written(files, path, *[(64 * i, bytes([65 + i]) * 64) for i in range(4)])
    raw = Path(path).read_bytes()
    parts = [raw[:HEADER], *[raw[at : at + size] for at, size in blocks(path)]]
    for order in ([0, 2, 1, 3, 4], [0, 1, 1, 2, 3, 4], [0, 1, 3, 4], [0, 2, 3, 4]):
        Path(path).write_bytes(b"".join(parts[i] for i in order))
        again = EncryptedFiles(Hasty(), keys, tmp_path)
        with structlog.testing.capture_logs() as told:
            found = content(again, path)
        assert told, order
        assert all(found[64 * i : 64 * i + 64] in {bytes([65 + i]) * 64, bytes(64), b""} for i in range(4))


@pytest.mark.parametrize(("call", "name"), [(A, "1.pcm"), (A, "events.log"), (B, "0.pcm")])
def test_a_file_in_the_place_of_another_cannot_be_read(files, keys, tmp_path, call, name):
    written(files, track(tmp_path), (0, MARK))
    other = track(tmp_path, call, name)
    written(files, other, (0, b"something else"))
    Path(track(tmp_path)).rename(other)
    with structlog.testing.capture_logs() as told:
        assert content(EncryptedFiles(Files(), keys, tmp_path), other) == bytes(len(MARK))
    assert told[0]["log_level"] == "error"


def test_a_whole_file_that_was_cut_or_changed_is_not_read_at_all(files, keys, tmp_path):
    path = folder(tmp_path, "outbox", "pending") / f"{A}.vcon.json"
    WholeFiles(files).publish(path, [MARK * 3000, MARK])
    assert content(files, str(path)) == MARK * 3001
    raw = path.read_bytes()
    end = blocks(str(path))[-1]
    for bad in (raw[: sum(end)], raw[: end[0]], raw[:300] + b"x" + raw[301:]):
        path.write_bytes(bad)
        with pytest.raises(OSError) as why:
            content(EncryptedFiles(Files(), keys, tmp_path), str(path))
        assert why.value.errno == errno.EBADMSG


def test_a_published_file_is_read_in_every_folder_of_the_outbox_and_holds_no_content_meanwhile(files, tmp_path):
    whole, pending, kept = WholeFiles(files), folder(tmp_path, "outbox", "pending"), folder(tmp_path, "outbox", "kept")
    whole.publish(pending / f"{A}.vcon.json", MARK)
    whole.move(pending / f"{A}.vcon.json", kept)
    assert whole.read(kept / f"{A}.vcon.json", 1000) == MARK
    whole.publish(kept / f"{B}.vcon.json", MARK, durable=False)
    assert whole.read(kept / f"{B}.vcon.json", 1000) == MARK


def test_without_its_key_a_file_says_so_and_a_new_key_does_not_open_it(files, keys, tmp_path):
    written(files, track(tmp_path), (0, MARK))
    assert content(files, track(tmp_path)) == MARK
    del keys.known[UUID(A).bytes]
    for _ in range(2):
        with pytest.raises(OSError) as why:
            content(files, track(tmp_path))
        assert why.value.errno == errno.ENOKEY
        keys.make(UUID(A).bytes)


def test_plain_files_stay_plain_and_others_of_the_folder_are_never_encrypted(files, keys, tmp_path):
    for path in (track(tmp_path), str(tmp_path / "ingress-token"), track(tmp_path, "no-uuid")):
        Path(path).write_bytes(MARK)
        written(files, path, (len(MARK), MARK))
        assert Path(path).read_bytes() == content(files, path) == MARK * 2
        assert files.size(path) == 2 * len(MARK)
    media = str(folder(tmp_path, "media") / f"{A}.wav")
    written(files, media, (0, MARK))
    assert Path(media).read_bytes() == MARK
    assert keys.made == 0


def test_switched_off_what_is_encrypted_is_read_and_new_files_are_plain(files, keys, tmp_path):
    written(files, track(tmp_path), (0, MARK))
    off = EncryptedFiles(Files(), keys, tmp_path, encrypt=False)
    assert content(off, track(tmp_path)) == MARK
    written(off, track(tmp_path, B), (0, MARK))
    assert Path(track(tmp_path, B)).read_bytes() == MARK


def test_a_link_into_another_call_is_refused_for_what_is_encrypted_only(files, tmp_path):
    written(files, track(tmp_path), (0, MARK))
    with pytest.raises(OSError) as why:
        files.link(track(tmp_path), track(tmp_path, B))
    assert why.value.errno == errno.EXDEV
    Path(track(tmp_path, A, "1.pcm")).write_bytes(MARK)
    files.link(track(tmp_path, A, "1.pcm"), track(tmp_path, B))
    assert content(files, track(tmp_path, B)) == MARK


def test_a_full_disk_costs_no_block_twice_written_and_nonces_do_not_come_again(keys, tmp_path):
    disk = Full()
    files, path, rng = EncryptedFiles(disk, keys, tmp_path), track(tmp_path), random.Random(7)
    fd = files.open(path, create=True)
    for i in range(30):
        disk.room = rng.randrange(400)
        with contextlib.suppress(OSError):
            put(files, fd, bytes([i]) * 300, 300 * i)
        disk.room = 0
        with pytest.raises(OSError, match="space"):
            put(files, fd, b"x", 300 * i)
        disk.room = None
        put(files, fd, bytes([i]) * 300, 300 * i)
    files.close(fd)
    with structlog.testing.capture_logs() as told:
        assert content(files, path) == b"".join(bytes([i]) * 300 for i in range(30))
    assert not told
    raw = Path(path).read_bytes()
    salts = [raw[at + 40 : at + 72] for at in range(len(raw)) if raw.startswith(MAGIC, at)][::2]
    assert len(set(salts)) == len(salts)


def test_a_reader_beside_the_writer_sees_what_was_written(files, tmp_path):
    fd = files.open(track(tmp_path), create=True)
    for i in range(20):
        put(files, fd, bytes([i]) * 50, 50 * i)
        assert content(files, track(tmp_path)) == b"".join(bytes([k]) * 50 for k in range(i + 1))
    files.close(fd)


def test_a_file_opened_while_it_is_empty_is_never_read_as_it_lies_there(tmp_path):
    files = EncryptedFiles(Files(), SomeKeys(), tmp_path)
    path = tmp_path / "journal" / A / "0.pcm"
    path.parent.mkdir(parents=True)
    writer = files.open(str(path), create=True)
    reader = files.open(str(path), write=False)
    put(files, writer, MARK, 0)
    assert files.pread(reader, 1000, 0) == MARK
    for fd in (reader, writer):
        files.close(fd)


class Counting(Files):
    """Counts what is read of a disk."""

    def __init__(self) -> None:
        self.reads = 0

    def pread(self, fd, count, offset):
        self.reads += 1
        return super().pread(fd, count, offset)


def test_a_file_that_is_read_from_beginning_to_end_is_read_from_the_disk_once(keys, tmp_path):
    disk = Counting()
    files = EncryptedFiles(disk, keys, tmp_path)
    path = tmp_path / "journal" / A / "events.log"
    path.parent.mkdir(parents=True)
    fd = files.open(str(path), create=True)
    for i in range(20):
        put(files, fd, MARK, i * len(MARK))
    files.close(fd)
    disk.reads = 0
    fd = files.open(str(path), write=False)
    assert (files.pread(fd, 1 << 16, 0), files.pread(fd, 1 << 16, 20 * len(MARK))) == (20 * MARK, b"")
    files.close(fd)
    assert disk.reads == 2, "its head when it was opened, and all of it"


def test_the_disk_below_is_told_to_begin_with_a_file(tmp_path):
    class Told(Files):
        def sync_soon(self, fd):
            told.append(fd)

    told: list[int] = []
    files = EncryptedFiles(Told(), {}, tmp_path)
    files.sync_soon(7)
    assert told == [7]
