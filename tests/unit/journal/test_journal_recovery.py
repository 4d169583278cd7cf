from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest

from vcond.base.errors import JournalError, StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import read_folder
from vcond.journal.records import FORMAT, encode
from vcond.journal.recovery import MAX_DAMAGED, examine


@pytest.fixture
async def made(stores, call) -> tuple[Path, list[ev.Event], list[int]]:
    """A real journal, its events and where each of its records ends."""
    store = stores()
    journal = store.open(call())
    journal.append(ev.PartyJoined(at=Instant(2), party=0, key="p", who=ev.PartyInfo(name="Zoë", tel="+15550100")))
    journal.append(ev.TrackOpened(at=Instant(3), track=0, party=0, codec="PCMU", rate=8000))
    journal.append(ev.Span(at=Instant(4), track=0, start=0, stop=160, kind=ev.SpanKind.RECEIVED))
    journal.append(ev.CallEnded(at=Instant(5)))
    journal.write("0.pcm", 0, np.ones(160, np.int16))
    await store.close()
    ends = np.cumsum([len(encode(event, first=i == 0)) for i, event in enumerate(journal.events)]).tolist()
    return journal.folder, journal.events, ends


def test_a_journal_cut_at_any_byte_gives_every_record_before(made):
    folder, events, ends = made
    log = folder / "events.log"
    whole = log.read_bytes()
    assert ends[-1] == len(whole)
    for at in range(len(whole) + 1):
        log.write_bytes(whole[:at])
        got, damage = read_folder(folder)
        intact = sum(end <= at for end in ends)
        assert got == events[:intact]
        assert bool(damage) == (at not in {0, *ends})
        if intact:
            found = examine(folder)
            assert (found.events, found.good, bool(found.damage)) == (got, ends[intact - 1], bool(damage))


def test_a_journal_with_any_byte_changed_gives_every_record_before(made):
    folder, events, ends = made
    log = folder / "events.log"
    whole = log.read_bytes()
    for at in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            log.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
            got, damage = read_folder(folder)
            assert got == events[: sum(end <= at for end in ends)]
            assert damage


async def test_recovery_cuts_the_damage_off_keeps_it_aside_and_goes_on(made, stores):
    folder, events, ends = made
    log = folder / "events.log"
    log.write_bytes(log.read_bytes()[: ends[2]] + b"\x92\xce garbage")
    for attempt in (1, 2):
        store = stores()
        (journal,) = store.recover()
        assert journal.events == events[: 2 + attempt]
        assert journal.damage.startswith(f"byte {ends[1 + attempt]}: ")
        assert journal.length("0.pcm") == 160
        assert (journal.read("0.pcm", 0, 160) == 1).all()
        journal.append(events[2 + attempt])
        await journal.flush()
        await store.close()
        assert read_folder(folder) == (events[: 3 + attempt], "")
        assert (folder / f"events.damaged-{attempt}").read_bytes() == b"\x92\xce garbage"
        log.write_bytes(log.read_bytes() + b"\x92\xce garbage")


async def test_damage_is_cut_off_also_when_nothing_more_is_written(made, stores):
    folder, events, ends = made
    log = folder / "events.log"
    log.write_bytes(log.read_bytes()[: ends[-1] - 1])
    store = stores()
    store.recover()
    await store.close()
    assert read_folder(folder) == (events[:-1], "")
    assert len((folder / "events.damaged-1").read_bytes()) == ends[-1] - ends[-2] - 1


async def test_a_recovered_journal_goes_on_where_it_was(made, stores):
    folder, events, _ = made
    store = stores()
    (journal,) = store.recover()
    assert (journal.events, journal.damage, journal.uuid) == (events, "", folder.name)
    assert store.get(folder.name) is journal
    more = ev.Warned(at=Instant(9), code="x")
    journal.append(more)
    journal.write("0.pcm", 200, np.full(10, 7, np.int16))
    journal.write("1.pcm", 0, np.full(10, 8, np.int16))
    await journal.flush()
    assert read_folder(folder) == ([*events, more], "")
    assert journal.read("0.pcm", 155, 205).tolist() == [1] * 5 + [0] * 40 + [7] * 5
    assert journal.length("1.pcm") == 10


async def test_nothing_foreign_or_broken_stops_the_recovery_of_the_others(made, stores, tmp_path, call):
    good, events, _ = made
    root = good.parent
    names = [str(call(n).call) for n in range(10, 22)]
    (empty, only_empty_log, no_log, no_open, copied, linked, linked_log, newer, fifo, a_file, audio, wrecked) = names
    for name in names:
        if name not in {linked, a_file}:
            (root / name).mkdir()
    (root / only_empty_log / "events.log").touch()
    (root / no_log / "notes.txt").touch()
    (root / no_open / "events.log").write_bytes(encode(ev.Answered(at=Instant(1))))
    (root / copied / "events.log").write_bytes((good / "events.log").read_bytes())
    (root / linked).symlink_to(good)
    (root / linked_log / "events.log").symlink_to(good / "events.log")
    payload = msgpack.packb({"t": "CallOpened", "at": 1, "v": FORMAT + 1, "call": newer})
    (root / newer / "events.log").write_bytes(msgpack.packb([zlib.crc32(payload), payload]) + b"new things")
    os.mkfifo(root / fifo / "events.log")
    (root / a_file).touch()
    (root / audio / "0.pcm").write_bytes(b"x" * 100)
    (root / audio / "events.log").touch()
    (root / wrecked / "events.log").write_bytes(b"\0" * 100)
    (root / "not-a-uuid").mkdir()
    (root / good.name.upper()).mkdir()
    (root / "a\nnew line").touch()
    before = {path: path.read_bytes() for path in root.rglob("events.log") if path.is_file()}
    store = stores()
    (journal,) = store.recover()
    assert journal.events == events
    await store.close()
    gone = {empty, only_empty_log}
    assert {path.name for path in root.iterdir()} >= {*names} - gone
    assert not gone & {path.name for path in root.iterdir()}
    assert set(store.refused) == {*names, "not-a-uuid", good.name.upper(), "a\nnew line"} - gone
    assert all(path.read_bytes() == content for path, content in before.items() if path.parent.name not in gone)
    assert "newer vcond" in store.refused[newer]
    assert "symbolic link" in store.refused[linked_log]
    assert "another call" in store.refused[copied]


async def test_a_folder_left_alone_is_not_written_to_by_a_new_call(made, stores, call):
    root = made[0].parent
    (root / call(7).call).mkdir()
    (root / call(7).call / "events.log").write_bytes(b"what")
    store = stores()
    store.recover()
    with pytest.raises(ValueError, match="has a journal already"):
        store.open(call(7))


async def test_links_and_foreign_names_are_no_tracks(made, stores):
    folder, *_ = made
    (folder / "1.pcm").symlink_to("/dev/zero")
    (folder / "2.pcm").mkdir()
    (folder / "notes.txt").touch()
    assert examine(folder).tracks == {"0.pcm": 320}


async def test_odd_bytes_of_a_track_do_not_shift_what_follows(made, stores):
    folder, *_ = made
    with (folder / "0.pcm").open("ab") as file:
        file.write(b"x")
    (journal,) = stores().recover()
    assert journal.length("0.pcm") == 160
    journal.write("0.pcm", 160, np.full(5, 9, np.int16))
    await journal.flush()
    assert journal.read("0.pcm", 158, 166).tolist() == [1, 1, 9, 9, 9, 9, 9, 0]


async def test_what_may_not_be_read_is_the_operators_to_mend_and_stops_nothing(made, stores, call):
    """Root may read everything, so it becomes nobody for a moment."""
    (made[0] / "events.log").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match="permission denied"):
            examine(made[0])
    finally:
        if root:
            os.seteuid(0)


def test_what_is_no_journal_is_said_to_be_none(tmp_path):
    with pytest.raises(JournalError, match="missing"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="missing"):
        read_folder(tmp_path / "file")
    with pytest.raises(JournalError, match="not the folder of a call"):
        examine(tmp_path)


def test_a_disk_that_fails_is_a_storage_error(made, monkeypatch):
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(StorageError, match="kernel log"):
        read_folder(made[0])


async def test_a_journal_is_read_while_a_daemon_writes_it(stores, call, disk):
    """Also between the two halves of one record."""
    store = stores()
    journal = store.open(call())
    await journal.flush()
    disk.at_most = 9
    for i in range(20):
        journal.append(ev.Tagged(at=Instant(i), name=f"n{i}"))
        got, _ = read_folder(journal.folder)
        assert got == journal.events[: len(got)]
    await journal.flush()
    assert read_folder(journal.folder) == (journal.events, "")


def test_damaged_ends_kept_are_bounded(made):
    folder, *_ = made
    for i in range(1, MAX_DAMAGED):
        (folder / f"events.damaged-{i}").touch()
    assert examine(folder).aside == f"events.damaged-{MAX_DAMAGED}"
