"""The index of words: which vCon has which words, of all that is here and of nothing else, and no word is in it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from records_kit import config, edge

from vcond.base.errors import StorageError
from vcond.records import word_service
from vcond.records.words import NAME, VERSION, WordIndex, Words, words_in, words_of
from vcond.vcon.glance import glance

KEY = bytes(32)
NOBODY = lambda _: False  # noqa: E731 - nobody was forgotten
BEGAN = int("019f155a5131", 16)


def uuid(number: int, at: int = BEGAN) -> str:
    """Of a call that began at a moment, in ms."""
    return str(UUID(int=(at << 80) | (8 << 76) | (2 << 62) | number))


def vcon(number: int, *words: str, at: int = BEGAN) -> Words:
    return Words(number, uuid(number, at), frozenset(words))


@pytest.fixture
def index(tmp_path: Path):
    made = WordIndex(tmp_path / NAME, KEY)
    yield made
    made.close()


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{NAME}*")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The BLUE parcel, please!", ["the", "blue", "parcel", "please"]), ("Straße ﬁn", ["strasse", "fin"]),
        ("+1 (212) 555-0143", ["1", "212", "555", "0143"]), ("don't snake_case", ["don", "t", "snake", "case"]),
        ("", []), ("-- \x00 !", []), ("x" * 100, ["x" * 64]), ("Привет мир", ["привет", "мир"]),
    ],
)  # fmt: skip
def test_words_are_letters_and_digits_in_a_row_whatever_their_case(text: str, words: list[str]):
    assert list(words_in(text)) == words


def test_of_a_vcon_it_is_what_was_said_and_what_people_are_called():
    found = words_of(
        glance(
            b'{"parties": [{"name": "Ann Smith", "tel": "tel:+1-212-555-0143"}, {"name": 7, "sip": "sip:1001@pbx.example.com"},'
            b' {"type": "bot", "name": "edge"}, 7], "analysis": [{"type": "wtf_transcription", "body": {"segments":'
            b' [{"start": 0, "end": 1, "text": "Blue PARCEL"}]}}, {"type": "summary", "body": "secret"},'
            b' {"type": "wtf_transcription", "body": 7}]}'
        )
    )
    assert found >= {"ann", "smith", "12125550143", "1001", "blue", "parcel"}
    assert not found & {"edge", "secret", "7", ""}


def test_all_words_are_found_the_newest_first_from_where_it_ended_and_of_a_time(index: WordIndex):
    for number in (1, 255, 256, 600, 10_000):
        index.add([vcon(number, "blue", "parcel", str(number), at=BEGAN + number)], NOBODY)
    index.add([vcon(601, "blue")], NOBODY)
    everyone = [uuid(number, BEGAN + number) for number in (10_000, 600, 256, 255, 1)]
    assert index.find(["parcel", "blue"], 10) == everyone
    assert index.find(["blue"], 2, before=everyone[0]) == [uuid(601), everyone[1]]
    assert index.find(["parcel"], 10, before=everyone[-1]) == []
    assert index.find(["256", "blue"], 10) == [everyone[2]]
    assert index.find(["256", "255"], 10) == index.find(["parc"], 10) == []
    assert index.find(["parcel"], 10, since=BEGAN + 256) == everyone[:3]
    assert index.find(["parcel"], 10, until=BEGAN + 255) == everyone[3:]
    with pytest.raises(LookupError):
        index.find(["blue"], 2, before=uuid(7))


def test_no_word_is_in_its_files_and_no_hash_is_in_two_blocks(index: WordIndex, tmp_path: Path):
    for number in (1, 2, 300):
        index.add([vcon(number, "ullapool")], NOBODY)
    assert b"ullapool" not in bytes_of(tmp_path)
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        rows = db.execute("SELECT block, word, places FROM postings").fetchall()
    assert [(block, places) for block, _, places in rows] == [(0, b"\x01\x02"), (1, bytes([300 - 256]))]
    assert rows[0][1] != rows[1][1]


def test_what_is_removed_is_in_no_file_any_more_and_others_are_found(index: WordIndex, tmp_path: Path):
    index.add([vcon(1, "ullapool", "blue"), vcon(2, "blue")], NOBODY)
    traces = [UUID(uuid(1)).bytes, index._hash(0, "ullapool").to_bytes(6)]
    assert all(trace in bytes_of(tmp_path) for trace in traces)
    assert index.remove([uuid(1), uuid(77)])
    assert not any(trace in bytes_of(tmp_path) for trace in traces), "nor in the WAL and in free pages"
    assert index.find(["blue"], 9) == [uuid(2)]
    assert index._db.execute("SELECT places FROM postings").fetchall() == [(b"\x02",)]


def test_again_is_the_same_as_once_and_of_what_had_a_place_before_nothing_is_left(index: WordIndex, tmp_path: Path):
    for _ in range(2):
        index.add([vcon(1, "blue")], NOBODY)
    assert index._db.execute("SELECT places FROM postings").fetchall() == [(b"\x01",)]
    index.add([Words(1, uuid(5), frozenset(["red"])), Words(9, uuid(6), frozenset(["red"]))], NOBODY)
    index.add([Words(3, uuid(6), frozenset(["red"]))], NOBODY)
    assert (index.find(["blue"], 9), index.find(["red"], 9)) == ([], [uuid(6), uuid(5)])
    assert UUID(uuid(1)).bytes not in bytes_of(tmp_path)


def test_a_vcon_that_was_forgotten_meanwhile_is_not_added(index: WordIndex):
    index.add([vcon(1, "blue"), vcon(2, "blue")], lambda one: one == uuid(1))
    assert index.find(["blue"], 9) == [uuid(2)]


@pytest.mark.parametrize("wrong", ["key", "version", "no database", "a page"])
def test_what_is_of_no_use_is_begun_anew(tmp_path: Path, wrong: str):
    index = WordIndex(tmp_path / NAME, KEY)
    index.add([vcon(number, *(f"w{number}x{n}" for n in range(50))) for number in range(50)], NOBODY)
    index.close()
    if wrong == "version":
        with sqlite3.connect(tmp_path / NAME) as db:
            db.execute("UPDATE words_schema SET version = ?", (VERSION + 1,))
        db.close()
    elif wrong == "no database":
        (tmp_path / NAME).write_bytes(b"x" * 9000)
    elif wrong == "a page":
        body = bytearray((tmp_path / NAME).read_bytes())
        body[3 * 4096 : 5 * 4096] = b"\xff" * 8192
        (tmp_path / NAME).write_bytes(body)
    again = WordIndex(tmp_path / NAME, KEY if wrong != "key" else b"1" * 32)
    assert again.count() == (0, 0, 0)
    again.close()


def test_a_kill_while_it_is_written_leaves_all_or_nothing(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from vcond.records.words import WordIndex, Words\n"
        "index = WordIndex(Path(sys.argv[1]), bytes(32))\n"
        "def vcons(last):\n"
        "    for number in range(1, 9):\n"
        "        yield Words(number + last, f'019f155a-5131-80ec-832a-{number + last:012x}', frozenset(['blue']))\n"
        "    if last: os.kill(os.getpid(), signal.SIGKILL)\n"
        "index.add(vcons(0), lambda _: False); index.add(vcons(8), lambda _: False)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / NAME)], check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    index = WordIndex(tmp_path / NAME, KEY)
    assert (index.count(), len(index.find(["blue"], 99))) == ((8, 8, 8), 8)
    index.close()


# What follows the outbox.


async def test_what_is_not_indexed_is_told_without_counting_all_again(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        first = await it.ended("1")
        for _ in range(2):
            await it.parts.words.follow(rest=0)
        monkeypatch.setattr(WordIndex, "count", None)
        monkeypatch.setattr(word_service, "_counted", None)
        assert await it.parts.words.lacks() == 0
        await it.ended("2")
        await it.ended("3")
        assert await it.parts.words.lacks() == 2
        monkeypatch.undo()
        for _ in range(2):
            await it.parts.words.follow(rest=0)
        assert await it.parts.words.lacks() == 0
        await it.parts.words.remove(first)
        assert await it.parts.words.lacks() == 1, "its file is still there"


async def test_what_was_published_as_it_was_killed_is_found_after_the_next_start(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        first = await it.ended("1")
        await it.parts.words.follow(rest=0)
        second = await it.ended("2")
        assert await it.parts.words.find(["caller"], 9) == [first]
        assert await it.parts.words.lacks() == 1
    async with edge(made) as it:
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["caller"], 9) == [second, first]
        assert await it.parts.words.lacks() == 0
        third = await it.ended("3")
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["12125550143"], 9) == [third, second, first]


async def test_it_is_followed_until_the_end_and_a_trouble_is_told_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(word_service, "LOOK", 0.01)
    looks, whole = [], word_service.WordService.follow

    async def follow(self):
        looks.append(1)
        if len(looks) < 4:
            raise StorageError("no room") if len(looks) < 3 else KeyError("a mistake")
        await whole(self, rest=0)

    monkeypatch.setattr(word_service.WordService, "follow", follow)
    async with edge(config(tmp_path)) as it:
        with structlog.testing.capture_logs() as said:
            task = asyncio.create_task(it.parts.words.run())
            call = await it.ended("1")

            async def found() -> bool:
                return await it.parts.words.find(["caller"], 9) == [call]

            await it.until(found)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = [one["event"] for one in said if "index of words" in one["event"]]
        assert told == ["cannot write the index of words; it is tried again, and nothing is lost meanwhile"]
        assert it.parts.words.trouble == ""


async def test_an_index_that_is_lost_or_damaged_is_made_again_of_what_is_here(tmp_path: Path, monkeypatch):
    made = config(tmp_path)
    async with edge(made) as it:
        calls = [await it.ended(str(number)) for number in range(3)]
        await it.parts.words.follow(rest=0)
    (tmp_path / "state" / NAME).unlink()
    async with edge(made) as it:
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["caller"], 9) == calls[::-1]
        count = WordIndex.count

        def damaged(self):
            monkeypatch.setattr(WordIndex, "count", count)
            why = sqlite3.DatabaseError("malformed")
            why.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise StorageError("cannot read") from why

        monkeypatch.setattr(WordIndex, "count", damaged)
        with pytest.raises(StorageError):
            await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["caller"], 9) == []
        assert await it.parts.words.lacks() == 3
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["caller"], 9) == calls[::-1]


async def test_what_goes_from_the_outbox_goes_from_the_index_whoever_removed_it(tmp_path: Path):
    made = config(tmp_path)
    async with edge(made) as it:
        calls = [await it.ended(str(number)) for number in range(4)]
        await it.parts.words.follow(rest=0)
        await it.parts.retention._doing.edge(calls[0])
        assert await it.parts.words.find(["caller"], 9) == calls[:0:-1], "retention's rule"
        assert (await it.write("forget", call=calls[1]))["state"] == "complete"
        assert await it.parts.words.find(["caller"], 9) == calls[:1:-1], "forgetting"
        set_gone = "UPDATE delivery_vcons SET stage = 'gone' WHERE uuid = ?"
        await it.parts.outbox.tell("expire", lambda db: db.execute(set_gone, (calls[2],)))
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["caller"], 9) == calls[3:], "its days"
    (tmp_path / "state" / "vcond.db").write_bytes(b"x" * 9000)
    async with edge(made) as it:  # the outbox begins anew, with other places
        await it.parts.words.follow(rest=0)
        there = [one.uuid for one in await it.parts.outbox.list() if one.stage != "gone"]
        assert await it.parts.words.find(["caller"], 9) == there
        assert calls[3] in there
        assert calls[0] not in there


async def test_a_file_that_goes_while_it_is_read_leaves_nothing(tmp_path: Path, monkeypatch):
    async with edge(config(tmp_path)) as it:
        call = await it.ended("1")
        words = it.parts.words._words

        def gone(*one):
            found = words(*one)
            asyncio.run_coroutine_threadsafe(it.parts.outbox.eraser.here(call), loop).result()
            return found

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(it.parts.words, "_words", gone)
        await it.parts.words.follow(rest=0)
        assert await it.stage(call, "gone")
        assert await it.parts.words.find(["caller"], 9) == []


async def test_what_cannot_be_read_is_counted_and_tried_again_at_the_next_start(tmp_path: Path, monkeypatch):
    made = config(tmp_path)
    async with edge(made) as it:
        call, large = await it.ended("1"), await it.ended("2")
        file = tmp_path / "state" / "outbox" / "kept" / f"{call}.vcon.json"
        body = file.read_bytes()
        file.write_bytes(b"{")
        for _ in range(2):
            await it.parts.words.follow(rest=0)
        assert (await it.parts.words.find(["caller"], 9), await it.parts.words.lacks()) == ([large], 1)
        file.write_bytes(body)
    monkeypatch.setattr(word_service, "LARGEST", 100)
    async with edge(made) as it:
        await it.parts.words.remove(large)
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.lacks() == 2, "both are too large"
    monkeypatch.undo()
    async with edge(made) as it:
        await it.parts.words.follow(rest=0)
        assert (await it.parts.words.find(["caller"], 9), await it.parts.words.lacks()) == ([large, call], 0)
