import json
from pathlib import Path

import pytest

from vcond.base.errors import StorageError
from vcond.server.api import access as module
from vcond.server.api.access import AccessRecord
from vcond.storage.files import Files


async def nobody(*_: object, **__: object) -> None:
    """Where there is no ledger."""


async def test_the_ledger_hears_once_a_day_of_each_who_reads_a_vcon_and_who_it_cannot_tell_gets_nothing(tmp_path: Path):
    day, told, works = 86_400_000_000_000, [], True

    async def tell(event: str, *, fact: str, vcon: str, by: str, reason: str) -> None:
        if not works:
            raise StorageError("cannot write the ledger")
        told.append((event, fact.split("\0", maxsplit=1)[0], vcon, by, reason))

    now = 0
    record = AccessRecord(tmp_path / "access", Files(), lambda: now, tell)
    for _ in range(3):
        await record.add("page", "audio", "u")
    await record.add("page", "watch", "u")
    works, now = False, day
    with pytest.raises(StorageError):
        await record.add("page", "audio", "u")
    works = True
    await record.add("page", "audio", "u")
    await record.add("other", "audio", "u")
    record.close()
    assert told == [
        ("read", "1970-01-01", "u", "page", "audio"),
        ("read", "1970-01-02", "u", "page", "audio"),
        ("read", "1970-01-02", "u", "other", "audio"),
    ]


async def test_lines_are_appended_and_last_a_restart(tmp_path: Path):
    for who in ("ann", "ben"):
        record = AccessRecord(tmp_path / "access", Files(), lambda: 0, nobody)
        await record.add(who, "vcon", "u", "127.0.0.1")
        record.close()
    lines = [json.loads(line) for line in (tmp_path / "access").read_bytes().splitlines()]
    assert [line["who"] for line in lines] == ["ann", "ben"]
    assert lines[0] == {"at": "1970-01-01T00:00:00Z", "who": "ann", "what": "vcon", "of": "u", "by": "127.0.0.1"}


async def test_half_a_line_of_a_crash_spoils_no_other(tmp_path: Path):
    (tmp_path / "access").write_bytes(b'{"at": "20')
    record = AccessRecord(tmp_path / "access", Files(), lambda: 0, nobody)
    await record.add("ann", "vcon", "u")
    record.close()
    half, whole = (tmp_path / "access").read_bytes().splitlines()
    assert half == b'{"at": "20'
    assert json.loads(whole)["who"] == "ann"


async def test_the_file_is_bounded_and_the_one_before_is_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 200)
    record = AccessRecord(tmp_path / "access", Files(), lambda: 0, nobody)
    for number in range(9):
        await record.add(f"user {number}", "vcon", "u")
    record.close()
    old, new = (tmp_path / "access.1").read_bytes(), (tmp_path / "access").read_bytes()
    assert max(len(old), len(new)) <= 200
    assert b"user 8" in new
    assert b"user 8" not in old


async def test_a_line_is_on_the_disk_when_it_is_said(tmp_path: Path):
    synced = []

    class Watched(Files):
        def sync(self, fd: int) -> None:
            synced.append(self.size(fd))

    record = AccessRecord(tmp_path / "access", Watched(), lambda: 0, nobody)
    await record.add("ann", "vcon", "u")
    record.close()
    assert synced == [(tmp_path / "access").stat().st_size]


async def test_what_cannot_be_written_down_is_an_error(tmp_path: Path):
    record = AccessRecord(tmp_path / "nowhere" / "access", Files(), lambda: 0, nobody)
    with pytest.raises(StorageError, match="nothing is shown"):
        await record.add("ann", "vcon", "u")
    record.close()
