"""Data keys: on the disk before they are used, gone when they are erased, and readable with one master key only."""

import base64
import errno
import os
from pathlib import Path

import pytest

from vcond.base.errors import ConfigError, InUseError, StorageError
from vcond.storage.files import Files
from vcond.storage.key_store import FILE, KeyStore, master_key

MASTER, OTHER = bytes(range(32)), bytes(32)
A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    """Opens stores, closing the one before."""
    made: list[KeyStore] = []

    def open_one(master: bytes = MASTER, *, files: Files | None = None, writes: bool = True) -> KeyStore:
        for store in made:
            store.close()
        made.append(KeyStore(tmp_path / "keys", master, clock=clock, files=files, writes=writes))
        return made[-1]

    yield open_one
    for store in made:
        store.close()


def test_a_key_is_the_same_after_a_start_and_each_call_has_its_own(opened, tmp_path):
    store = opened()
    one, two = store.make(A), store.make(B)
    assert one != two
    assert store.make(A) == store.get(A) == one
    again = opened()
    assert (again.get(A), again.get(B), again.get(C)) == (one, two, None)
    raw = (tmp_path / "keys" / FILE).read_bytes()
    assert one not in raw
    assert MASTER not in raw
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / FILE).stat().st_mode & 0o777 == 0o600


def test_a_key_whose_sync_failed_has_one_place_in_the_file_and_takes_that_of_no_other(opened):
    class Failing(Files):
        fails = False

        def sync(self, fd):
            if self.fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    files = Failing()
    store = opened(files=files)
    store.make(B)
    files.fails = True
    with pytest.raises(OSError, match="error"):
        store.make(A)
    files.fails = False
    store.erase([B])
    secret = store.make(A)
    again = opened(files=files)
    assert again.get(A) == secret
    more = {of: again.make(of) for of in (n.to_bytes(16, "big") for n in range(1, 5))}
    last = opened()
    assert {of: last.get(of) for of in (A, *more)} == {A: secret, **more}


def test_a_call_that_begins_waits_for_few_syncs_while_many_keys_are_erased(opened):
    class Counted(Files):
        syncs = 0

        def sync(self, fd):
            self.syncs += 1

    files = Counted()
    store = opened(files=files)
    many = [n.to_bytes(16, "big") for n in range(1, 1001)]
    for of in many:
        store.make(of)
    kept, files.syncs = store.make(A), 0
    assert store.erase(many) == 1000
    assert files.syncs == 4
    again = opened()
    assert (len(again), again.get(A)) == (1, kept)


def test_a_key_is_synced_before_it_is_used_and_one_that_is_not_is_none(opened, tmp_path):
    class Watched(Files):
        synced = 0
        fails = False

        def sync(self, fd):
            if self.fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().sync(fd)
            self.synced += 1

    files = Watched()
    store = opened(files=files)
    before = files.synced
    store.make(A)
    assert files.synced == before + 1
    files.fails = True
    with pytest.raises(OSError, match="error"):
        store.make(B)
    assert store.get(B) is None
    files.fails = False
    kept = store.make(B)
    assert opened().get(B) == kept


def test_another_master_key_is_told_and_touches_nothing(opened, tmp_path):
    opened().make(A)
    before = (tmp_path / "keys" / FILE).read_bytes()
    with pytest.raises(ConfigError, match="nothing was changed") as why:
        opened(OTHER)
    assert why.value.path == "keys.master"
    assert (tmp_path / "keys" / FILE).read_bytes() == before


@pytest.mark.parametrize("raw", [b"", b"x" * 200, bytes(128)])
def test_what_is_no_key_store_is_left_alone(opened, tmp_path, raw):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / FILE).write_bytes(raw)
    with pytest.raises(StorageError, match="no key store"):
        opened()
    assert (tmp_path / "keys" / FILE).read_bytes() == raw


def test_an_erased_key_is_overwritten_and_its_place_used_again(opened, tmp_path):
    store = opened()
    for of in (A, B):
        store.make(of)
    size = (tmp_path / "keys" / FILE).stat().st_size
    assert store.erase([A, C]) == 1
    raw = (tmp_path / "keys" / FILE).read_bytes()
    assert A not in raw
    assert store.get(A) is None
    store.make(C)
    assert (tmp_path / "keys" / FILE).stat().st_size == size
    again = opened()
    assert sorted(again.ids()) == [B, C]
    again.make(A)
    assert len(opened()) == 3


def test_a_key_that_was_just_used_is_not_erased_as_unused(opened, clock):
    store = opened()
    store.make(A)
    clock.now = 2000.0
    store.make(B)
    assert store.erase([A, B], unused_since=1500.0) == 1
    assert store.ids() == [B]


def test_one_process_writes_and_others_read(opened, tmp_path, clock):
    store = opened()
    key = store.make(A)
    with pytest.raises(InUseError, match="in use"):
        KeyStore(tmp_path / "keys", MASTER, clock=clock)
    reader = KeyStore(tmp_path / "keys", MASTER, clock=clock, writes=False)
    assert reader.get(A) == key
    reader.close()


def test_rotated_keys_are_the_same_under_the_new_master_key_only(opened, tmp_path):
    store = opened()
    keys = {of: store.make(of) for of in (A, B, C)}
    store.erase([B])
    del keys[B]
    assert store.rotate(OTHER) == 2
    assert {of: store.get(of) for of in store.ids()} == keys
    late = store.make(B)
    again = opened(OTHER)
    assert {of: again.get(of) for of in again.ids()} == {**keys, B: late}
    with pytest.raises(ConfigError):
        opened(MASTER)


@pytest.mark.parametrize("step", range(6))
def test_a_rotation_that_ends_at_any_step_leaves_all_keys_with_one_of_the_two(opened, tmp_path, step):
    class Dies(Files):
        left = 10**9

        def _step(self):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

        def pwrite(self, fd, data, offset):
            self._step()
            return super().pwrite(fd, data, offset)

        def sync(self, fd):
            self._step()
            super().sync(fd)

        def rename(self, old, new):
            self._step()
            super().rename(old, new)

    files = Dies()
    store = opened(files=files)
    keys = {of: store.make(of) for of in (A, B)}
    files.left = step
    with pytest.raises(KeyboardInterrupt):
        store.rotate(OTHER)
    found = []
    for master in (MASTER, OTHER):
        try:
            again = opened(master)
        except ConfigError:
            continue
        found.append({of: again.get(of) for of in again.ids()})
    assert found == [keys]


def test_a_copy_is_restored_until_it_ends_and_by_its_master_key(opened, tmp_path, clock):
    store = opened()
    keys = {of: store.make(of) for of in (A, B)}
    copy = store.export(5000)
    assert keys[A] not in copy
    (tmp_path / "keys" / FILE).unlink()
    lost = opened()
    assert lost.make(B) != keys[B]  # made since: it stays
    assert lost.restore(copy) == 1
    assert opened().get(A) == keys[A]
    for bad in (copy[:-1], copy[:20] + b"\0\0\0\0" + copy[24:], b"", b"x" * 100):
        with pytest.raises(ConfigError, match="no copy"):
            opened().restore(bad)
    clock.now = 5001.0
    with pytest.raises(ConfigError, match="expired"):
        opened().restore(copy)


def test_a_slot_that_was_changed_is_a_key_less_and_the_others_are_there(opened, tmp_path):
    store = opened()
    keys = {of: store.make(of) for of in (A, B)}
    path = tmp_path / "keys" / FILE
    raw = bytearray(path.read_bytes())
    raw[128 + 40] ^= 1
    path.write_bytes(raw)
    again = opened()
    assert (again.get(A), again.get(B)) == (None, keys[B])


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(bytes(31)).decode(), "/nowhere/at/all"])
def test_a_master_key_that_is_none_is_told_without_showing_it(text, tmp_path):
    with pytest.raises(ConfigError) as why:
        master_key(text)
    assert not text or text not in str(why.value)


def test_a_master_key_is_text_or_a_file(tmp_path):
    text = base64.b64encode(MASTER).decode()
    Path(tmp_path / "m").write_text(text + "\n")
    assert master_key(text) == master_key(str(tmp_path / "m")) == MASTER
