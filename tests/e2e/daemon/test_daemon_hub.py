"""A call at an edge becomes a vCon at a hub: two real processes, and what is left when one of them dies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from daemon_kit import House
from hub_house import HubHouse

from vcond.vcon import validate


def plain(number: int = 1, size: int = 0) -> bytes:
    return json.dumps({
        "vcon": "0.4.0", "uuid": f"019b8d1a-0000-8000-8000-{number:012x}", "created_at": "2026-11-30T12:00:00Z",
        "parties": [{"tel": "+12125550143"}], "dialog": [{"type": "text", "parties": [0], "body": "A" * size}],
    }).encode()  # fmt: skip


async def test_a_call_is_at_the_hub_byte_for_byte_and_still_there_after_kill_9(tmp_path: Path):
    edge = House(tmp_path / "edge")
    edge.root.mkdir()
    hub = HubHouse(tmp_path / "hub", edge.run_dir)
    out = tmp_path / "out"
    async with hub.running() as first:
        edge.sinks = f'{hub.sink}[[sinks]]\ntype = "folder"\npath = "{out}"\n'
        async with edge.running() as vcond, vcond.stream() as stream:
            await stream.play(0.5)
            await stream.stop()
            await vcond.until("status", lambda status: not status["outbox"] and list(out.glob("*.vcon.json")))
        await first.kill()
    (file,) = out.glob("*.vcon.json")
    uuid = file.name.removesuffix(".vcon.json")
    async with hub.running() as second:
        status, body = await second.ask("GET", f"/api/vcon/{uuid}")
        assert (status, body) == (200, file.read_bytes())
        assert [one for one in validate(json.loads(body)) if one.level == "error"] == []
        assert json.loads((await second.ask("GET", "/api/vcon"))[1]) == [uuid]
        assert json.loads((await second.ask("GET", "/api/vcons/search?name=Rita"))[1]) == [uuid]
    hub_commands = House(tmp_path / "hub")
    hub.config.rename(hub_commands.config)
    code, printed = await hub_commands.command("subject", "name:Rita")
    assert (code, uuid in printed) == (0, True), printed
    code, printed = await hub_commands.command("ledger", "--json")
    assert code == 0, printed
    assert '"vcon_received"' in printed


async def test_a_hub_that_was_down_gets_the_vcon_later_and_erases_it_when_the_edge_does(tmp_path: Path):
    edge = House(tmp_path / "edge")
    edge.root.mkdir()
    hub = HubHouse(tmp_path / "hub", edge.run_dir)
    async with hub.running():
        edge.sinks = hub.sink
    async with edge.running() as vcond, vcond.stream() as stream:
        await stream.play(0.5)
        await stream.stop()
        (row,) = await vcond.until("outbox", lambda rows: rows and rows[0]["attempts"])
        async with hub.running() as running:
            await vcond.until("outbox", lambda rows: not rows)
            assert (await running.ask("GET", f"/vcon/{row['uuid']}"))[0] == 200
            code, printed = await edge.command("check")
            assert "it takes `admin_token`" in printed, (code, printed)
            await vcond.ask("forget", "POST", call=row["uuid"])
            await vcond.until("forgetting", lambda open_ones: not open_ones)
            assert (await running.ask("GET", f"/vcon/{row['uuid']}"))[0] == 404


async def test_a_full_disk_refuses_what_comes_and_keeps_what_was_answered(tmp_path: Path, small_disk: Path):
    edge = House(tmp_path / "edge")
    hub = HubHouse(tmp_path / "hub", edge.run_dir)
    hub.root.mkdir()
    hub.state.symlink_to(small_disk)
    filler = small_disk / "filler"
    async with hub.running() as running:
        assert [await running.bring(plain(number, 1_000_000)) for number in range(3)] == [204] * 3
        filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 500_000))
        assert await running.bring(plain(3, 1_000_000)) == 503
        await running.kill()
    filler.unlink()
    async with hub.running() as running:
        assert await running.bring(plain(3, 1_000_000)) == 204
        for number in range(4):
            status, body = await running.ask("GET", f"/vcon/019b8d1a-0000-8000-8000-{number:012x}")
            assert (status, body) == (200, plain(number, 1_000_000))


async def test_run_and_hub_refuse_the_configuration_of_the_other(tmp_path: Path):
    edge = House(tmp_path / "edge")
    edge.root.mkdir()
    edge.write()
    code, printed = await edge.command("hub")
    assert code == 2, printed
    assert "hub.listen" in printed
    edge.extra = '[hub]\nlisten = "127.0.0.1:0"\n'
    edge.write()
    code, printed = await edge.command("run")
    assert (code, "start it with vcond hub" in printed) == (2, True), printed
    code, printed = await edge.command("hub")
    assert (code, "a hub records no calls" in printed) == (2, True), printed
