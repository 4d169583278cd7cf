"""kill -9 of a real process at every step it makes on the disk, from a vCon's coming to its link's end."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hub_kit import body_of, uuid_of
from kill_links import TWO
from links_kit import at_once, linking, settled

from vcond.sdk.link import linked_uuid

HERE = Path(__file__).parent
FOLDERS = HERE, HERE.parent / "server", HERE.parent / "vcon", HERE.parent / "delivery", HERE.parents[2]


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
async def test_killed_at_every_step_each_vcon_of_a_link_is_there_once_and_what_came_is_as_it_came(
    tmp_path, monkeypatch, every
):
    at_once(monkeypatch.setattr)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "kill_links.py"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
    )  # fmt: skip
    kills, moments, there = 0, set(), set()
    while True:
        root = tmp_path / str(kills)
        root.mkdir()
        process.stdin.write(json.dumps({"root": str(root), "at": kills * every + 1}).encode() + b"\n")
        answer = json.loads(await process.stdout.readline())
        moments.add(tuple(answer["said"]))
        there.add(await goes_on(root, answered="answered" in answer["said"]))
        if not answer["killed"]:
            assert answer["said"] == ["answered", "linked"]
            break
        kills += 1
    process.stdin.close()
    await process.wait()
    assert kills * every > 40
    if every == 1:
        assert moments == {(), ("answered",), ("answered", "linked")}
        assert there == {0, 1, 2, 3}  # before, between and after what is stored


async def goes_on(root: Path, *, answered: bool) -> int:
    """What the next start and the edge's next try do. How many vCons were here before."""
    first, second = (linked_uuid(uuid_of(1), "two", place) for place in range(2))
    async with linking(root, TWO) as one:
        before = await one.told("/vcon")
        assert not answered or uuid_of(1) in before
        assert await one.bring(body_of(1)) == 204
        await settled(one, uuid_of(1), link_two="delivered")
        assert (await one.ask("GET", f"/vcon/{uuid_of(1)}"))[1] == body_of(1)
        assert sorted(await one.told("/vcon")) == sorted([uuid_of(1), first, second])
        assert [(await one.told(f"/vcon/{uuid}"))["subject"] for uuid in (first, second)] == ["first", "second"]
        assert len(await one.told("/vcons/search?tel=%2B12125550001")) == 3
        await one.parts.records.follow(one.parts.outbox)
        rows = await one.parts.records.ask(lambda ledger, _: ledger.rows())
        made = sorted(row["vcon"] for row in rows if row["event"] in {"vcon_created", "vcon_received"})
        assert made == sorted([uuid_of(1), first, second])
    assert not list((root / "state" / "outbox" / "aside").iterdir())
    return len(before)
