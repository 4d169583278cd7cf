"""Ended calls are found by number, name, time and word; what was looked for is written nowhere, what was found is."""

import asyncio
import json
from pathlib import Path

import pytest
import structlog
from api_kit import ZERO, daemon

from vcond.base.errors import StorageError
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.records.ledger import Made
from vcond.server.api import search as module
from vcond.server.api.stored import Stored
from vcond.vcon import read

SAID = "a caller for you"
UUID = "019f155a-5131-80ec-832a-{:012x}"


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch):
    """However slow the machine is."""
    monkeypatch.setattr(module, "BUDGET", 60.0)


def person(number: int, name: str, tel: str, said: str = "good morning"):
    """A change that makes a vCon one of somebody who says something."""

    def change(document) -> None:
        document.update(uuid=UUID.format(number))
        document["parties"][0] = {"name": name, "tel": tel}
        document["analysis"][0]["body"]["segments"][0].update(text=said, speaker=0, start=1.5, end=2.0)

    return change


async def search(one, role: str = "read", **query):
    return await one.told("/search", role, "POST", json=query)


async def uuids(one, **query) -> list[int]:
    return [int(row["uuid"][-12:], 16) for row in (await search(one, **query))["vcons"]]


async def made(one) -> None:
    for number, (name, tel, said) in enumerate(
        [
            ("Ann Smith", "+12125550143", "the blue parcel"),
            ("Björn", "+4930123456", "Der BLAUE Brief"),
            ("Carla", "tel:+12125550143", "nothing"),
        ]
    ):
        await one.vcon("plain", person(number, name, tel, said))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ann", [0]), ("ANN  smith", [0]), ("bJÖRN", [1]), ("blaue brief", [1]), ("parcel", [0]), ("", [2, 1, 0]),
        ("12125550143", [2, 0]), ("(212) 555-01", [2, 0]), ("+49 30 12", [1]), ("99", []), ("nobody", []), ("parcel blue", []),
    ],
)  # fmt: skip
async def test_a_text_is_found_in_words_names_and_numbers_whatever_its_case(tmp_path: Path, text: str, found):
    async with daemon(tmp_path) as one:
        await made(one)
        assert await uuids(one, text=text) == found


async def test_what_is_found_says_who_when_how_long_and_where_it_was_said(tmp_path: Path):
    async with daemon(tmp_path) as one:
        await made(one)
        (row,) = (await search(one, text="parcel"))["vcons"]
        assert row["parties"][0] == {"name": "Ann Smith", "tel": "+12125550143"}
        assert row["lines"] == [{"start": 1.5, "name": "Ann Smith", "text": "the blue parcel"}]
        document = await one.told(f"/vcons/{row['uuid']}", "read")
        assert row["seconds"] == pytest.approx(document["dialog"][0]["duration"], abs=0.1)
        assert row["began"].startswith("2026-")


async def test_what_recorded_a_call_is_nobody_in_it(tmp_path: Path):
    async with daemon(tmp_path) as one:
        bot = {"name": "ann-pbx", "validation": "none", "type": "bot"}
        await one.vcon("plain", lambda document: document["parties"].append(bot))
        assert (await search(one, text="ann-pbx"))["vcons"] == []
        (row,) = (await search(one))["vcons"]
        assert "ann-pbx" not in [who["name"] for who in row["parties"]]


def test_of_a_long_line_what_is_around_the_text_is_shown():
    text = "x" * 500 + " parcel " + "y" * 500
    shown = module._around(text, "parcel")
    assert ("parcel" in shown, len(shown)) == (True, module.LONGEST_LINE + 1)
    assert module._around("parcel", "parcel") == "parcel"


async def test_times_are_those_of_the_beginning_and_what_is_older_is_not_looked_at(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        began = int("019f155a5131", 16) * 10**6
        for number in range(3):
            one.time[0] = ZERO + number * 60 * SECOND
            await one.vcon("plain", person(number, "Ann", "+12125550143"))
        before, after = rfc3339(Instant(began - SECOND)), rfc3339(Instant(began + SECOND))
        assert await uuids(one, since=before, until=after) == [2, 1, 0]
        assert await uuids(one, since=after) == []
        assert await uuids(one, until=before) == []
        looked: list[str] = []
        reading = Stored.read
        monkeypatch.setattr(Stored, "read", lambda self, uuid: looked.append(uuid) or reading(self, uuid))
        await search(one, since=rfc3339(Instant(ZERO + 61 * SECOND)))
        assert looked == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"since": "yesterday"}, 400), ({"until": "2026-11-30T09:00:00"}, 400), ({"since": "9999-12-31T23:59:59-23:59"}, 400),
        ({"text": "x" * 201}, 400), ({"limit": 51}, 400), ({"limit": 0}, 400), ({"limit": "5"}, 400), ({"text": 7}, 400),
        ({"of": "Ann"}, 400), ({"of": "tel:"}, 400), ({"before": UUID.format(99)}, 400), ({"before": "x"}, 400), ({"q": "x"}, 400),
        ({"text": "\ud800"}, 400), ({"text": "\x00%_'\"--"}, 200), ({"of": "tel:+12125550199"}, 200),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_said_without_saying_what_was_looked_for(tmp_path: Path, query, status: int):
    async with daemon(tmp_path) as one:
        await made(one)
        headers = {"Content-Type": "application/json"}
        got, _, body = await one.asked("/search", "read", "POST", data=json.dumps(query), headers=headers)
        assert got == status, body
        if status == 400 and "of" in query:
            assert query["of"].encode() not in body


async def test_a_request_looks_for_so_long_and_says_where_to_go_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "BUDGET", -1.0)
    monkeypatch.setattr(module, "PAGE", 2)
    async with daemon(tmp_path) as one:
        for number in range(5):
            await one.vcon("plain", person(number, "Ann", "+12125550143", "parcel" if number == 1 else "no"))
        before, seen, asked = "", [], 0
        while asked == 0 or before:
            found = await search(one, text="parcel", before=before)
            before, asked = found["next"], asked + 1
            seen += [row["uuid"] for row in found["vcons"]]
            assert found["until"] or not before
        assert (seen, asked) == ([UUID.format(1)], 6)
        monkeypatch.setattr(module, "BUDGET", 60.0)
        first = await search(one, limit=2)
        rest = await search(one, before=first["next"])
        assert [row["uuid"] for row in first["vcons"] + rest["vcons"]] == [UUID.format(n) for n in range(4, -1, -1)]
        assert rest["next"] == ""


async def test_a_thread_is_handed_several_at_once_by_number_and_bytes_and_looks_no_further_than_the_request(
    tmp_path: Path, monkeypatch
):
    handed: list[int] = []
    looked: list[str] = []
    look, reading = module.Search._look_into, Stored.read
    monkeypatch.setattr(
        module.Search,
        "_look_into",
        lambda self, entries, *more: handed.append(len(entries)) or look(self, entries, *more),
    )
    monkeypatch.setattr(Stored, "read", lambda self, uuid: looked.append(uuid) or reading(self, uuid))
    async with daemon(tmp_path) as one:
        for number in range(5):
            await one.vcon("plain", person(number, "Ann", "+12125550143"))
        assert await uuids(one, text="nobody") == []
        assert (handed.copy(), len(looked)) == ([5], 5)
        monkeypatch.setattr(module, "TOGETHER", 2)
        handed.clear()
        assert await uuids(one, text="ann", limit=5) == [4, 3, 2, 1, 0]
        assert handed == [2, 2, 1]
        handed.clear()
        looked.clear()
        assert await uuids(one, text="ann", limit=3) == [4, 3, 2]
        assert (handed.copy(), len(looked)) == ([2, 2], 3)
        monkeypatch.setattr(module, "TOGETHER", 20)
        monkeypatch.setattr(module, "LARGEST", 2 * (await one.parts.outbox.list(limit=1))[0].bytes)
        handed.clear()
        assert (await search(one, text="nobody"))["unread"] == 0
        assert handed == [2, 2, 1]


async def test_one_vcon_that_is_nested_without_end_hides_no_other(tmp_path: Path):
    async with daemon(tmp_path) as one:
        await made(one)
        deep = b'{"parties":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        (tmp_path / "state" / "outbox" / "pending" / f"{UUID.format(2)}.vcon.json").write_bytes(deep)
        found = await search(one, text="parcel")
        assert ([row["uuid"] for row in found["vcons"]], found["unread"]) == ([UUID.format(0)], 1)


async def test_somebody_is_found_in_the_index_without_looking_into_other_vcons(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        await made(one)
        for number in range(3):
            uuid = UUID.format(number)
            document = read(Stored(one.parts.outbox, one.parts.store.files.files).read(uuid))
            await one.parts.records.note(uuid, uuid, document, Made(machine="edge-1", adapter="test"))
            one.time[0] += SECOND
        looked: list[str] = []
        reading = Stored.read
        monkeypatch.setattr(Stored, "read", lambda self, uuid: looked.append(uuid) or reading(self, uuid))
        assert await uuids(one, of="+1 (212) 555-0143") == [2, 0]
        assert looked == [UUID.format(2), UUID.format(0)]
        assert await uuids(one, of="name:björn") == [1]
        assert await uuids(one, of="+12125550143", text="parcel") == [0]
        first = await search(one, of="+12125550143", limit=1)
        assert await uuids(one, of="+12125550143", before=first["next"]) == [0]
        status, _, _ = await one.asked("/search", "read", "POST", json={"of": "name:björn", "before": first["next"]})
        assert status == 400


@pytest.mark.parametrize("uuid", ["f19f155a-5131-40ec-832a-bc92ac6830cd", "019f155a-5131-40ec-832a-bc92ac6830cd"])
async def test_a_vcon_whose_uuid_carries_no_moment_is_found_at_the_time_it_was_made(tmp_path: Path, uuid: str):
    async with daemon(tmp_path) as one:
        await made(one)
        said = person(9, "Dan", "+12125550199", "a zebra")
        await one.vcon("plain", lambda document: (said(document), document.update(uuid=uuid)))
        at = rfc3339(Instant(ZERO))
        found = await search(one, since=at)
        assert ([(row["uuid"], row["began"]) for row in found["vcons"]], found["unread"]) == ([(uuid, at)], 0)
        assert uuid not in [row["uuid"] for row in (await search(one, until=at))["vcons"]]
        assert len((await search(one))["vcons"]) == 4
        await one.parts.words.follow(rest=0)
        for since in ("1960-01-01T00:00:00Z", at):
            found = await search(one, words="zebra", since=since, until="9999-12-31T00:00:00Z")
            assert [row["uuid"] for row in found["vcons"]] == [uuid]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ann", [0]), ("SMITH, Ann", [0]), ("bJÖRN", [1]), ("brief blaue", [1]), ("parcel", [0]), ("parc", []), ("nobody", []),
        ("+12125550143", [2, 0]), ("parcel ann", [0]), ("blue blaue", []),
    ],
)  # fmt: skip
async def test_words_are_found_whole_in_any_order_without_looking_into_other_vcons(
    tmp_path: Path, monkeypatch, words: str, found
):
    async with daemon(tmp_path) as one:
        await made(one)
        await one.parts.words.follow(rest=0)
        looked: list[str] = []
        reading = Stored.read
        monkeypatch.setattr(Stored, "read", lambda self, uuid: looked.append(uuid) or reading(self, uuid))
        assert await uuids(one, words=words) == found
        assert looked == [UUID.format(number) for number in found]


async def test_lines_with_the_most_of_the_words_are_shown_in_their_order(tmp_path: Path):
    said = ["a parcel", "the blue parcel", "nothing", "blue", "the parcel is blue", "blue again"]

    def change(document) -> None:
        document["analysis"][0]["body"]["segments"] = [
            {"start": number, "end": number + 1, "text": text, "speaker": 0} for number, text in enumerate(said)
        ]

    async with daemon(tmp_path) as one:
        await one.vcon("plain", change)
        await one.parts.words.follow(rest=0)
        (row,) = (await search(one, words="Blue parcel"))["vcons"]
        assert [line["text"] for line in row["lines"]] == ["a parcel", "the blue parcel", "the parcel is blue"]


async def test_words_go_on_where_they_ended_and_say_how_many_vcons_are_not_in_the_index(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "INDEXED", 2)
    async with daemon(tmp_path) as one:
        for number in range(5):
            await one.vcon("plain", person(number, "Ann", "+12125550143", "the blue parcel"))
        await one.parts.words.follow(rest=0)
        await one.vcon("plain", person(5, "Ann", "+12125550143", "the blue parcel"))
        first = await search(one, words="parcel", limit=3)
        rest = await search(one, words="parcel", limit=3, before=first["next"])
        assert [row["uuid"] for row in first["vcons"] + rest["vcons"]] == [UUID.format(n) for n in range(4, -1, -1)]
        assert (first["unindexed"], rest["next"]) == (1, "")
        assert (await search(one, text="parcel"))["unindexed"] == 0, "those are all looked into"
        assert await uuids(one, words="parcel", text="the blue", limit=1) == [4]
        assert await uuids(one, words="parcel", text="the red") == []
        set_gone = "UPDATE delivery_vcons SET stage = 'gone' WHERE uuid = ?"
        await one.parts.outbox.tell("erase", lambda db: db.execute(set_gone, (UUID.format(3),)))
        assert await uuids(one, words="parcel") == [4, 2, 1, 0], (
            "what is not here is not shown, whatever the index says"
        )
        status, _, _ = await one.asked("/search", "read", "POST", json={"words": "parcel", "before": UUID.format(5)})
        assert status == 400


async def test_words_of_a_time(tmp_path: Path):
    began = int("019f155a5131", 16) * 10**6
    async with daemon(tmp_path) as one:
        await made(one)
        await one.parts.words.follow(rest=0)
        before, after = rfc3339(Instant(began - SECOND)), rfc3339(Instant(began + SECOND))
        assert await uuids(one, words="ann", since=before, until=after) == [0]
        assert await uuids(one, words="ann", since=after) == []
        assert await uuids(one, words="ann", until=before) == []
        assert await uuids(one, words="ann", until="1960-01-01T00:00:00Z") == []
        assert await uuids(one, words="ann", since="1960-01-01T00:00:00Z", until="9999-12-31T00:00:00Z") == [0]


@pytest.mark.parametrize("words", ["-- !", " ".join(map(str, range(21))), "x" * 201, "\ud800"])
async def test_words_that_make_no_sense_are_refused(tmp_path: Path, words: str):
    async with daemon(tmp_path) as one:
        await made(one)
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"words": words})
        assert (await one.asked("/search", "read", "POST", data=body, headers=headers))[0] == 400
        both = {"words": "ann", "of": "+12125550143"}
        assert (await one.asked("/search", "read", "POST", json=both))[0] == 400


@pytest.mark.parametrize("role", ["watch", "operate", "erase"])
async def test_who_may_not_read_finds_nothing(tmp_path: Path, role: str):
    async with daemon(tmp_path) as one:
        await made(one)
        for query in ({}, {"words": "parcel"}):
            assert (await one.asked("/search", role, "POST", json=query))[0] == 403


async def test_that_somebody_searched_and_what_was_found_is_written_down_and_not_what_was_looked_for(tmp_path: Path):
    with structlog.testing.capture_logs() as said:
        async with daemon(tmp_path) as one:
            await made(one)
            await search(one, text="parcel")
            await search(one, text="secretword")
            await search(one, of="+12125559999")
            await one.parts.words.follow(rest=0)
            await search(one, words="secretword parcel")
            rows = [(row["what"], row["of"]) for row in one.accesses()]
            assert rows == [("search", "*"), ("found", UUID.format(0)), *[("search", "*")] * 3]
            told = await one.parts.records.ask(lambda ledger, _: list(ledger.rows()))
            assert [(row["vcon"], row["reason"]) for row in told if row["event"] == "read"] == [
                (UUID.format(0), "found")
            ]
    everything = str(said).encode() + b"".join(f.read_bytes() for f in (tmp_path / "state").glob("*") if f.is_file())
    assert not [word for word in (b"parcel", b"secretword", b"5559999") if word in everything]


async def test_what_cannot_be_written_down_is_not_found(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        await made(one)

        async def full(*_: object) -> None:
            raise StorageError("no space left on device")

        monkeypatch.setattr(one.parts.api.access, "add_each", full)
        assert (await one.asked("/search", "read", "POST", json={"text": "parcel"}))[0] == 503


async def test_what_is_not_here_is_not_found_and_what_cannot_be_looked_into_is_counted(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        await made(one)
        words = "UPDATE delivery_vcons SET stage = 'gone' WHERE uuid = ?"
        await one.parts.outbox.tell("erase", lambda db: db.execute(words, (UUID.format(1),)))
        (tmp_path / "state" / "outbox" / "pending" / f"{UUID.format(2)}.vcon.json").write_bytes(b"{")
        found = await search(one)
        assert ([row["uuid"] for row in found["vcons"]], found["unread"]) == ([UUID.format(0)], 1)
        monkeypatch.setattr(module, "LARGEST", 100)
        assert (await search(one))["unread"] == 2


async def test_so_many_search_at_once(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        await made(one)
        go_on, began = asyncio.Event(), asyncio.Event()
        listing = one.parts.outbox.list

        async def slow(**query):
            began.set()
            await go_on.wait()
            return await listing(**query)

        monkeypatch.setattr(one.parts.outbox, "list", slow)
        monkeypatch.setattr(module, "WAITING", 1)
        first = asyncio.create_task(search(one, text="parcel"))
        await began.wait()
        status, headers, _ = await one.asked("/search", "read", "POST", json={})
        assert (status, headers["Retry-After"]) == (429, "2")
        go_on.set()
        assert len((await first)["vcons"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"parties": 7, "analysis": 7, "dialog": 7}, {"parties": [7, {"name": 7, "tel": ["x"]}], "analysis": [7, {"type": 7}]},
        {"dialog": [{"start": "x", "duration": 1e308}, {"start": "0001-01-01T00:00:00Z", "duration": -1}, {"start": "9999-12-31T00:00:00Z"}]},
        {"analysis": [{"type": "wtf_transcription", "body": {"segments": [{}]}}, {"type": "wtf_transcription", "body": "x"}]},
    ],
)  # fmt: skip
async def test_a_vcon_that_is_not_as_it_should_be_is_found_all_the_same(tmp_path: Path, wrong):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain", lambda document: document.update(wrong))
        found = await search(one)
        assert ([row["uuid"] for row in found["vcons"]], found["unread"]) == ([uuid], 0)
        assert (await search(one, text="zzz"))["vcons"] == []
