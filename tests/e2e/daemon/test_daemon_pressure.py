"""A daemon with few open files, and more calls than those are enough for."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from daemon_kit import House

from vcond.demo import child
from vcond.demo.player import Sids

FILES = 120
CALLS = 60


def report(document: dict) -> dict:
    return next(a["body"] for a in document["attachments"] if a.get("purpose") == "vcond-capture-report")


def sids(number: int) -> Sids:
    return Sids(call=f"CA{number:032x}", stream=f"MZ{number:032x}")


async def test_without_open_files_new_calls_are_refused_and_those_that_go_on_are_recorded_whole(tmp_path: Path):
    start = ("sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"')
    house = House(tmp_path, command_line=(*start, *child.COMMAND))
    async with house.running() as vcond, AsyncExitStack() as peers:
        first = await peers.enter_async_context(vcond.stream(sids(0)))
        goes_on = asyncio.create_task(first.play(0.5, after=(seen := asyncio.Event())))
        for number in range(1, CALLS):
            await peers.enter_async_context(vcond.stream(sids(number)))
        rows = await vcond.until("calls", lambda rows: len(rows) == CALLS)
        refused = [row for row in rows if not row["recorded"]]
        assert refused, "every call found enough open files: the test needs more calls"
        assert all("open files in use" in row["not_recorded"] for row in refused)
        status = await vcond.ask("status")
        assert "files" in status["ready"]
        assert status["pressure"]["files"]["gives_up"] == "calls"
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{status['ops']}/readyz") as answer:
                assert answer.status == 503
                assert "open files in use" in await answer.text()
            async with client.get(f"{status['ops']}/metrics") as answer:
                metrics = await answer.text()
        assert 'vcond_pressure{resource="files"} 3.0' in metrics
        assert f'vcond_dropped_total{{reason="files",what="call"}} {len(refused)}.0' in metrics
        seen.set()
        await goes_on
        await first.stop()
        (document,) = await vcond.delivered(1)
    assert document["uuid"] == rows[0]["call"]
    kept = [party["seconds"]["received"] + party["seconds"]["silent"] for party in report(document)["parties"][:2]]
    assert kept == pytest.approx([first.sent * 0.02] * 2, abs=0.1)
    lines = [json.loads(line) for line in house.log.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "call not recorded"]
    assert len(told) == len(refused)
    assert all("LimitNOFILE" in line["hint"] for line in told)
