"""Journals on an encrypting disk: merged, mended, damaged, begun in plain, and never in plain anywhere."""

import errno
import os
import shutil
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import structlog

from vcond.base.errors import StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore

WORD = "a-word-that-nobody-else-says"
TONE = np.frombuffer(b"a-sound-that-nobody-else-makes!!" * 100, np.int16)


class Keys(dict[bytes, bytes]):
    def make(self, of: bytes) -> bytes:
        return self.setdefault(of, os.urandom(32))


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def encrypted(tmp_path, disk, keys):
    return EncryptedFiles(disk, keys, tmp_path)


def anything_plain(root: Path) -> list[Path]:
    marks = WORD.encode(), TONE.tobytes()[:32]
    return [path for path in root.rglob("*") if path.is_file() and any(mark in path.read_bytes() for mark in marks)]


async def test_nothing_of_a_call_is_in_plain_in_any_file_and_all_of_it_is_read(stores, call, encrypted, tmp_path):
    store = stores(files=encrypted)
    journal = store.open(call(1))
    for i in range(50):
        journal.append(ev.Tagged(at=Instant(i), name="said", value=WORD))
        journal.write("0.pcm", i * len(TONE), TONE)
    await journal.flush()
    journal.pieces.put("one", WORD.encode() * 100)
    assert anything_plain(tmp_path) == []
    assert journal.pieces.get("one") == WORD.encode() * 100
    assert (journal.read("0.pcm", 0, 50 * len(TONE)) == np.tile(TONE, 50)).all()
    assert (journal.read("0.pcm", 7, 2 * len(TONE)) == np.tile(TONE, 2)[7:]).all()
    events = journal.events
    await store.close()
    (again,) = stores(files=encrypted).recover()
    assert again.events == events
    assert again.damage == ""
    assert again.length("0.pcm") == 50 * len(TONE)
    assert (again.read("0.pcm", 0, 50 * len(TONE)) == np.tile(TONE, 50)).all()


async def test_a_merged_track_is_under_the_key_of_the_call_that_took_it(stores, call, encrypted, keys, tmp_path):
    store = stores(files=encrypted)
    into, other = store.open(call(1)), store.open(call(2))
    other.write("0.pcm", 0, TONE)
    await other.flush()
    into.adopt(other, {"0.pcm": "1.pcm"})
    into.append(ev.Merged(at=Instant(1), call=other.uuid))
    other.append(ev.MergedInto(at=Instant(1), call=into.uuid))
    into.write("1.pcm", len(TONE), TONE)
    await into.flush()
    other.remove()
    await into.flush()
    del keys[UUID(other.uuid).bytes]
    assert (into.read("1.pcm", 0, 2 * len(TONE)) == np.tile(TONE, 2)).all()
    await store.close()
    (again,) = stores(files=encrypted).recover()
    assert (again.read("1.pcm", 0, 2 * len(TONE)) == np.tile(TONE, 2)).all()
    assert anything_plain(tmp_path) == []


async def test_a_track_without_audio_yet_is_under_the_key_of_the_call_that_took_it(stores, call, encrypted, keys):
    store = stores(files=encrypted)
    into, other = store.open(call(1)), store.open(call(2))
    into.adopt(other, {"0.pcm": "1.pcm"})
    into.append(ev.Merged(at=Instant(1), call=other.uuid))
    await into.flush()
    into.write("1.pcm", 0, TONE)
    await into.flush()
    other.remove()
    await into.flush()
    del keys[UUID(other.uuid).bytes]
    assert (into.read("1.pcm", 0, len(TONE)) == TONE).all()
    await store.close()


async def test_where_keys_cannot_be_written_the_trouble_names_their_file(stores, call, disk, tmp_path):
    class Full(Files):
        room = True

        def pwrite(self, fd, data, offset):
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().pwrite(fd, data, offset)

    full = Full()
    keys = KeyStore(tmp_path / "keys", bytes(32), files=full)
    store = stores(files=EncryptedFiles(disk, keys, tmp_path))
    full.room = False
    journal = store.open(call(1))
    with pytest.raises(StorageError, match=r"/keys/keys: the disk is full"):
        await journal.flush()
    assert "/keys/keys: " in store.trouble
    full.room = True
    await journal.flush()
    assert len(keys) == 1
    await store.close()
    keys.close()


async def test_a_log_cut_at_any_byte_gives_what_was_whole_and_goes_on(stores, call, encrypted, tmp_path):
    store = stores(files=encrypted)
    journal = store.open(call(1))
    await journal.flush()
    events, log, most = journal.events, journal.folder / "events.log", 0
    first = log.stat().st_size
    for i in range(3):
        journal.append(ev.Tagged(at=Instant(i), name="n"))
        await journal.flush()
    await store.close()
    whole = log.read_bytes()
    for cut in range(0, len(whole), 7):
        log.write_bytes(whole[:cut])
        store = stores(files=encrypted)
        found = store.recover()
        if not found:
            assert cut < first
            await store.close()
            log.parent.mkdir(exist_ok=True)
            continue
        (again,) = found
        assert again.events == events[: len(again.events)]
        assert len(again.events) >= most
        most = len(again.events)
        again.append(ev.Answered(at=Instant(9)))
        await again.flush()
        assert read_folder(again.folder, encrypted) == ([*events[:most], ev.Answered(at=Instant(9))], "")
        await store.close()
    assert most == len(events) - 1


@pytest.mark.parametrize("file", ["0.pcm", "events.log"])
async def test_a_flipped_bit_is_named_and_the_rest_of_the_call_is_read(stores, call, encrypted, tmp_path, file):
    store = stores(files=encrypted)
    journal = store.open(call(1))
    for i in range(8):
        journal.append(ev.Tagged(at=Instant(i), name="n"))
        for track in ("0.pcm", "1.pcm"):
            journal.write(track, i * len(TONE), TONE)
        await journal.flush()
    events = journal.events
    await store.close()
    path = journal.folder / file
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with structlog.testing.capture_logs() as told:
        (again,) = stores(files=encrypted).recover()
        one, other = (again.read(track, 0, 8 * len(TONE)).reshape(8, -1) for track in ("0.pcm", "1.pcm"))
    assert str(path) in {line.get("file") for line in told}
    assert (other == TONE).all()
    assert (one == TONE).all(axis=1).sum() == (7 if file == "0.pcm" else 8)
    assert again.events == events[: len(again.events)]
    assert len(again.events) == len(events) if file == "0.pcm" else 3 <= len(again.events) < len(events)


async def test_without_its_key_a_call_is_left_alone_and_says_what_to_do(stores, call, encrypted, keys, tmp_path):
    store = stores(files=encrypted)
    for n in (1, 2):
        await store.open(call(n)).flush()
    await store.close()
    before = (tmp_path / "journal" / call(1).call / "events.log").read_bytes()
    del keys[UUID(call(1).call).bytes]
    store = stores(files=EncryptedFiles(Files(), keys, tmp_path))
    assert [journal.uuid for journal in store.recover()] == [call(2).call]
    assert "vcond keys restore" in store.refused[call(1).call]
    assert (tmp_path / "journal" / call(1).call / "events.log").read_bytes() == before


async def test_a_call_begun_in_plain_goes_on_in_plain_and_new_ones_are_encrypted(stores, call, encrypted, tmp_path):
    plain = stores()
    await plain.open(call(1)).flush()
    await plain.close()
    store = stores(files=encrypted)
    (old,) = store.recover()
    new = store.open(call(2))
    for journal in (old, new):
        journal.append(ev.Tagged(at=Instant(1), name="said", value=WORD))
        await journal.flush()
    assert anything_plain(tmp_path) == [old.folder / "events.log"]
    await store.close()
    found = stores(files=encrypted).recover()
    assert [journal.events[-1].value for journal in found] == [WORD, WORD]


async def test_the_folder_of_a_call_under_another_name_is_not_read(stores, call, encrypted, tmp_path):
    store = stores(files=encrypted)
    for n in (1, 2):
        await store.open(call(n)).flush()
    await store.close()
    one, other = (tmp_path / "journal" / call(n).call for n in (1, 2))
    shutil.copy(one / "events.log", other / "events.log")
    store = stores(files=EncryptedFiles(Files(), encrypted._keys, tmp_path))
    assert [journal.uuid for journal in store.recover()] == [call(1).call]
