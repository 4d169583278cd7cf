"""vcon-server's API, as far as a hub has it, asked with a plain client: paths, statuses and bodies as there."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import shutil
from pathlib import Path

import aiohttp
import pytest
from hub_kit import CONFIG, KEY, TOKEN, body_of, hub, uuid_of, vcon

from vcond.base.errors import ConfigError
from vcond.base.tls import client as trusting
from vcond.config import load
from vcond.server.hub import memory
from vcond.storage.files import Files
from vcond.testing.certificates import certificate

INGRESS = "/api/vcon/external-ingress?ingress_list="


def detail(body: bytes):
    return json.loads(body)["detail"]


async def test_what_is_posted_is_given_back_byte_for_byte_on_both_roots(tmp_path: Path):
    async with hub(tmp_path) as one:
        for number, root in enumerate(("", "/api")):
            sent = body_of(number)
            assert (await one.ask("POST", f"{root}/vcon?ingress_lists=edge&ingress_lists=shop", sent))[:2] == (
                201,
                sent,
            )
            assert (await one.ask("GET", f"{root}/vcon/{uuid_of(number)}"))[:2] == (200, sent)
        assert (await one.ask("POST", f"{INGRESS}edge", body_of(2), KEY))[:2] == (204, b"")
        assert (await one.ask("GET", f"/api/vcon/{uuid_of(2).upper()}"))[:2] == (200, body_of(2))
        several = await one.told(f"/vcons?vcon_uuids={uuid_of(2)}&vcon_uuids={uuid_of(9)}&vcon_uuids={uuid_of(1)}")
        assert several == [vcon(2), None, vcon(1)]
        assert await one.told("/vcons") == []
        assert (await one.ask("GET", f"/vcon/{uuid_of(9)}"))[:2] == (404, b'{"detail":"vCon not found"}')


async def test_it_is_on_the_disk_when_it_is_answered_and_there_after_a_start_without_a_stop(tmp_path: Path):
    synced: list[str] = []

    class Watched(Files):
        def sync(self, fd: int) -> None:
            synced.append("file")
            super().sync(fd)

        def sync_folder(self, path: str) -> None:
            synced.append(Path(path).name)
            super().sync_folder(path)

    async with hub(tmp_path) as one:
        one.parts.outbox._thread._store._whole.files = Watched()
        assert await one.bring(body_of(1)) == 204
        assert synced == ["file", "kept"]
        state = tmp_path / "state"
        copy = tmp_path / "copy"
        copy.mkdir()
        # what a kill leaves: the files as they are now
        await asyncio.to_thread(shutil.copytree, state, copy / "state")
    async with hub(copy) as one:
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[:2] == (200, body_of(1))
        assert await one.told("/vcon") == [uuid_of(1)]


async def test_tokens_and_keys_open_what_they_are_for_and_nothing_else(tmp_path: Path):
    async with hub(tmp_path) as one:
        assert await one.bring(body_of(1), "edge", TOKEN) == 403
        assert await one.bring(body_of(1), "shop", KEY) == 403
        assert await one.bring(body_of(1), "nowhere", KEY) == 403
        status, body, _ = await one.ask("POST", f"{INGRESS}edge", body_of(1), "")
        assert (status, detail(body)) == (403, "API Key required")
        for method, path in (
            ("POST", "/vcon"), ("GET", "/vcon"), ("GET", f"/vcon/{uuid_of(1)}"), ("DELETE", f"/vcon/{uuid_of(1)}"),
            ("GET", "/vcons/search?tel=1"), ("GET", "/vcons"), ("GET", "/vcon/count?egress_list=x"),
        ):  # fmt: skip
            for key in ("", KEY, "wrong", "\xe4"):
                status, body, _ = await one.ask(method, path, body_of(1) if method == "POST" else None, key)
                assert (status, detail(body)) == (403, "Invalid API Key"), (method, path, key)
        assert await one.told("/vcon") == []
        assert (await one.ask("GET", "/vcon/count?egress_list=x"))[:2] == (200, b"0")
        assert (await one.ask("GET", "/stats/queue?list_name=edge", key=""))[:2] == (
            200, b'{"list_name":"edge","depth":0}',
        )  # fmt: skip
        assert json.loads((await one.ask("GET", "/api/health", key=""))[1]) == {"status": "healthy"}
        assert "version" in json.loads((await one.ask("GET", "/version", key=""))[1])


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ["body", 0]),
        (b"garbage", ["body", 0]),
        (b'{"vcon": "0.4.0", "uuid": "\xff"}', ["body", 0]),
        (b"[" * 100_000, ["body"]),
        (b'{"x":' * 100_000, ["body", 0]),
        (b"[]", ["body"]),
        (b"{}", ["body", "vcon"]),
        (body_of(1, uuid="x"), ["body", "uuid"]),
        (body_of(1, uuid=uuid_of(0xABC).upper()), ["body", "uuid"]),
        (body_of(1, uuid="../../../../etc/passwd"), ["body", "uuid"]),
        (body_of(1, vcon=None), ["body", "vcon"]),
        (body_of(1, created_at="yesterday"), ["body", "created_at"]),
        (body_of(1, created_at=True), ["body", "created_at"]),
        (body_of(1, redacted=None), ["body", "redacted"]),
        (body_of(1, subject=1), ["body", "subject"]),
        (body_of(1, parties=None), ["body", "parties"]),
        (body_of(1, parties=[1]), ["body", "parties"]),
        (body_of(1, dialog={}), ["body", "dialog"]),
        (body_of(1, analysis=["x"]), ["body", "analysis"]),
        (body_of(1, attachments="x"), ["body", "attachments"]),
        (body_of(1, group=[[]]), ["body", "group"]),
        (b'{"x":[' + b"{}," * 500_001 + b"{}]}", ["body", "vcon"]),
    ],
)
async def test_what_is_no_vcon_is_refused_with_its_place_and_nothing_of_it_is_kept(tmp_path: Path, body: bytes, where):
    async with hub(tmp_path) as one:
        status, answer, headers = await one.ask("POST", f"{INGRESS}edge", body, KEY)
        assert (status, headers["Content-Type"]) == (422, "application/json")
        assert detail(answer)[0]["loc"] == where
        assert await one.told("/vcon") == []
    assert not list((tmp_path / "state" / "outbox").glob("*/*"))


async def test_dates_that_libraries_write_are_taken_and_vcons_are_listed_by_them(tmp_path: Path):
    dates = ["2026-11-05T12:00:00Z", "2026-11-04T12:00:00", 1_762_000_000, "2026-11-03T12:00:00.5+02:00", "1969-01-01"]
    async with hub(tmp_path) as one:
        for number, date in enumerate(dates):
            assert await one.bring(body_of(number, created_at=date)) == 204
        assert await one.told("/vcon") == [uuid_of(n) for n in (0, 1, 3, 2, 4)]
        assert await one.told("/vcon?page=2&size=2") == [uuid_of(3), uuid_of(2)]
        assert await one.told("/vcon?since=2026-11-04T00:00:00&until=2026-11-04T13:00:00+00:00") == [uuid_of(1)]
        for query in ("page=0", "size=1001", "size=x", "since=yesterday", "page=٣"):
            assert (await one.ask("GET", f"/vcon?{query}"))[0] == 422


async def test_a_vcon_is_found_by_party_as_whole_numbers_addresses_and_names(tmp_path: Path):
    async with hub(tmp_path) as one:
        ann, bob = {"tel": "+12125550101", "name": "Ann Smith"}, {"mailto": "bob@example.com", "name": "Bob"}
        for number, parties in enumerate([[ann], [ann, bob], [bob]]):
            assert await one.bring(body_of(number, parties=parties)) == 204
        assert await one.told("/vcons/search?tel=%2B1 212 555-0101") == [uuid_of(1), uuid_of(0)]
        assert await one.told("/vcons/search?tel=+12125550101") == [uuid_of(1), uuid_of(0)]
        assert await one.told("/vcons/search?mailto=Bob@example.com") == [uuid_of(2), uuid_of(1)]
        assert await one.told("/vcons/search?name=ann smith&mailto=bob@example.com") == [uuid_of(1)]
        assert await one.told("/vcons/search?tel=+4930&name=Bob") == []
        assert await one.told("/vcons/search?tel=xyz ") == []
        status, body, _ = await one.ask("GET", "/vcons/search")
        assert (status, detail(body)) == (400, "At least one search parameter must be provided")
        what = [json.loads(line) for line in (tmp_path / "state" / "access.jsonl").read_bytes().splitlines()]
        assert {(line["who"], line["what"]) for line in what} == {("hub token console", "search")}
        assert b"Ann" not in (tmp_path / "state" / "access.jsonl").read_bytes()


async def test_the_same_uuid_again_is_the_same_once_and_other_content_is_refused(tmp_path: Path):
    async with hub(tmp_path) as one:
        for _ in range(2):
            assert await one.bring(body_of(1)) == 204
        changed = body_of(1, subject="changed", parties=[{"tel": "+12125559999"}])
        status, answer, _ = await one.ask("POST", f"{INGRESS}edge", changed, KEY)
        assert (status, detail(answer)[0]["loc"], detail(answer)[0]["type"]) == (422, ["body", "uuid"], "conflict")
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)
        assert await one.told("/vcons/search?tel=%2B12125559999") == []
        statuses = await asyncio.gather(*[one.bring(body_of(2)) for _ in range(4)])
        assert 204 in statuses
        assert set(statuses) <= {204, 503}
        assert await one.told("/vcon") == [uuid_of(2), uuid_of(1)]


async def test_what_is_deleted_is_gone_everywhere_and_not_taken_again(tmp_path: Path):
    async with hub(tmp_path) as one:
        await one.bring(body_of(1))
        await one.bring(body_of(2))
        assert (await one.ask("DELETE", f"/api/vcon/{uuid_of(1)}"))[:2] == (204, b"")
        assert (await one.ask("DELETE", f"/api/vcon/{uuid_of(1)}"))[0] == 204
        assert (await one.ask("DELETE", f"/api/vcon/{uuid_of(7)}"))[0] == 204
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 404
        assert await one.told("/vcon") == [uuid_of(2)]
        assert await one.told("/vcons/search?tel=%2B12125550001") == []
        assert not [path for path in (tmp_path / "state").rglob("*") if uuid_of(1) in path.name]
        status, answer, _ = await one.ask("POST", f"{INGRESS}edge", body_of(1), KEY)
        assert (status, detail(answer)[0]["type"]) == (422, "forgotten")
        assert (await one.ask("DELETE", "/vcon/x"))[0] == 422


async def test_what_is_on_legal_hold_is_not_deleted(tmp_path: Path):
    async with hub(tmp_path) as one:
        await one.bring(body_of(1))
        await one.parts.status.writes["hold"]({"call": uuid_of(1), "reason": "case 1"})
        assert (await one.ask("DELETE", f"/vcon/{uuid_of(1)}"))[0] == 409
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 200


async def test_tls_is_spoken_with_its_certificate_and_a_client_without_one_is_refused_where_it_is_wanted(
    tmp_path: Path,
):
    cert, key = certificate(tmp_path)
    own, own_key = certificate(tmp_path, "client")
    more = f'certificate = "{cert}"\nkey = "{key}"\nclient_ca = "{own}"'
    async with hub(tmp_path, more) as one:
        assert one.parts.hub.base_url.startswith("https://127.0.0.1:")
        known, unknown = trusting(str(cert), "test"), trusting(str(cert), "test")
        known.load_cert_chain(own, own_key)
        async with one.client.get("/health", ssl=known) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await one.client.get("/version", ssl=unknown)


async def test_a_vcon_of_30_mb_passes_and_what_is_larger_than_may_be_is_413(tmp_path: Path):
    audio = {"type": "recording", "start": "2026-11-05T12:00:00Z", "parties": [0], "encoding": "base64url"}
    large = body_of(1, dialog=[{**audio, "body": "A" * 30_000_000}])
    async with hub(tmp_path, "max_bytes = 31_000_000\nmax_memory = 62_000_000") as one:
        assert await one.bring(large) == 204
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == large
        status, body, _ = await one.ask("POST", f"{INGRESS}edge", b" " * 31_000_001, KEY)
        assert (status, detail(body)) == (413, "a vCon may have 31000000 bytes here")
        assert one.parts.hub._api._room.used == 0


async def test_bodies_that_are_packed_of_another_kind_or_without_a_length(tmp_path: Path):
    async with hub(tmp_path, "max_bytes = 1_000_000\nmax_memory = 1_000_000") as one:
        path = f"{INGRESS}edge"
        packed = gzip.compress(b" " * 10_000_000)
        status, body, _ = await one.ask("POST", path, packed, KEY, **{"Content-Encoding": "gzip"})
        assert (status, detail(body)) == (400, "There was an error parsing the body")
        assert (await one.ask("POST", path, body_of(1), KEY, **{"Content-Type": "text/plain"}))[0] == 422
        assert (await one.ask("POST", path, body_of(1), KEY, **{"Content-Type": "application/vcon+json"}))[0] == 204
        assert (await one.ask("POST", "/vcon/external-ingress", body_of(1), KEY))[0] == 422
        assert (await one.ask("POST", "/vcon?ingress_lists=edge,shop", body_of(1)))[0] == 422
        for method in ("PUT", "PATCH"):
            status, body, _ = await one.ask(method, f"/vcon/{uuid_of(1)}", b"{}")
            assert (status, detail(body)) == (405, "Method Not Allowed")

        async def endless():
            for _ in range(20):
                yield b" " * 100_000

        headers = {"x-conserver-api-token": KEY, "Content-Type": "application/json"}
        async with one.client.post(path, data=endless(), headers=headers) as answer:
            assert answer.status == 413


async def test_a_disk_that_is_full_is_503_and_the_vcon_is_taken_when_there_is_room(tmp_path: Path):
    class Full(Files):
        full = True

        def pwrite(self, fd: int, data, offset: int) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().pwrite(fd, data, offset)

    async with hub(tmp_path) as one:
        disk = one.parts.outbox._thread._store._whole.files = Full()
        status, body, headers = await one.ask("POST", f"{INGRESS}edge", body_of(1), KEY)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "No space left" in detail(body)
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 404
        disk.full = False
        assert await one.bring(body_of(1)) == 204
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)


async def test_low_disk_space_refuses_what_comes_and_deletes_nothing_that_is_kept(tmp_path: Path):
    async with hub(tmp_path) as one:
        assert await one.bring(body_of(1)) == 204
        pressure = one.parts.registry.pressure
        pressure._free_space = lambda _: 0
        pressure.look(load(tmp_path / "vcond.toml", {"VCOND_VCOND__MIN_FREE_MB": "1"}).config.vcond, 0)
        assert await one.bring(body_of(2)) == 503
        maintenance = one.parts.outbox._maintenance
        await maintenance._spare()
        await maintenance._expire()
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)


async def test_memory_is_given_out_in_turn_and_not_for_ever(monkeypatch):
    room, order = memory.Room(10), []

    async def use(size: int, until: asyncio.Event) -> None:
        async with room.hold(size):
            order.append(size)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(use(size, first if size == 8 else rest)) for size in (8, 10, 1)]
    await asyncio.sleep(0)
    assert order == [8]
    monkeypatch.setattr(memory, "WAIT", 0.001)
    with pytest.raises(memory.NoRoomError):
        async with room.hold(3):
            raise AssertionError
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    await asyncio.sleep(0)
    assert order == [8, 1]
    first.set()
    rest.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert room.used == 0


async def test_a_forward_gets_what_its_match_takes_and_the_rest_is_kept(tmp_path: Path):
    out = tmp_path / "out"
    match = '{ adapter = "hub", attributes = { ingress_list = "edge", queue = "sales" } }'
    more = f'[[sinks]]\ntype = "folder"\npath = "{out}"\nmatch = {match}\n'
    async with hub(tmp_path, more) as one:
        run = asyncio.create_task(one.parts.outbox.run())
        try:
            await one.bring(body_of(1))
            await one.bring(body_of(2), "shop", "shop-key-0123456789")
            while not out.is_dir() or not list(out.glob("*.json")):  # noqa: ASYNC110 - files that another thread writes
                await asyncio.sleep(0)
            assert [path.name for path in out.glob("*.json")] == [f"{uuid_of(1)}.vcon.json"]
            for number in (1, 2):
                assert (await one.ask("GET", f"/vcon/{uuid_of(number)}"))[1] == body_of(number)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


def test_a_hub_keeps_for_ever_transcribes_nothing_and_shows_no_secret(tmp_path: Path):
    file = tmp_path / "vcond.toml"
    file.write_text(CONFIG.format(tmp_path, TOKEN, KEY, ""))
    config = load(file, {}).config
    assert (config.delivery.keep_days, config.speech.engine) == (36_500, "none")
    assert TOKEN not in repr(config)
    assert KEY not in repr(config)
    file.write_text(CONFIG.format(tmp_path, TOKEN, KEY, "keep_days = 30\nmax_memory = 1_000_000"))
    with pytest.raises(ConfigError, match="max_memory must be no less than max_bytes"):
        load(file, {})
    file.write_text(CONFIG.format(tmp_path, "short", KEY, ""))
    with pytest.raises(ConfigError, match=r"hub\.tokens"):
        load(file, {})


async def test_what_is_kept_is_encrypted_where_there_is_a_master_key(tmp_path: Path):
    keys = f'[keys]\nmaster = "{base64.b64encode(bytes(range(32))).decode()}"\nstore = "{tmp_path}/keys"\n'
    async with hub(tmp_path, keys) as one:
        assert await one.bring(body_of(1)) == 204
        (file,) = (tmp_path / "state" / "outbox" / "kept").glob("*.json")
        assert b"Ann" not in file.read_bytes()
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)
        await one.ask("DELETE", f"/vcon/{uuid_of(1)}")
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[0] == 404


async def test_what_has_no_moment_in_its_uuid_is_found_by_the_day_that_it_was_made(tmp_path: Path):
    uuid = "8c2f9e0a-1b2c-4d3e-9f40-112233445566"
    async with hub(tmp_path) as one:
        assert await one.bring(body_of(1, uuid=uuid, created_at="2026-10-05T12:00:00+00:00")) == 204
        await one.parts.admin.start()
        socket = aiohttp.UnixConnector(one.parts.config.vcond.admin_socket)
        async with aiohttp.ClientSession("http://vcond", connector=socket) as local:
            for since, until, found in (
                ("2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z", [uuid]),
                ("2026-10-06T00:00:00Z", "2026-12-31T00:00:00Z", []),
            ):
                wanted = {"since": since, "until": until}
                async with local.post("/api/v1/search", json=wanted) as answer:
                    assert answer.status == 200, await answer.text()
                    assert [hit["uuid"] for hit in (await answer.json())["vcons"]] == found
        await one.parts.admin.close()
