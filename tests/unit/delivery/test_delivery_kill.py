"""kill -9 of a real process at every step it makes on the disk, while it publishes and delivers to real sinks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from delivery_kit import Running, body_of, uuid_of
from fake_conserver import FakeConserver

from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink

KEY = "list-key"
HERE = Path(__file__).parent


class WallClock:
    now = staticmethod(time.time_ns)


async def test_killed_at_every_step_it_arrives_at_least_once_and_unchanged(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "kill_child.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])])},
    )
    kills = 0
    moments = set()
    while True:
        async with FakeConserver(ingress_auth={"edge": KEY}) as conserver:
            root = tmp_path / str(kills)
            root.mkdir()
            command = {"root": str(root), "url": conserver.url, "token": KEY, "at": kills + 1, "number": kills}
            process.stdin.write(json.dumps(command).encode() + b"\n")
            answer = json.loads(await process.stdout.readline())
            moments.add((tuple(answer["said"]), len(conserver.received)))
            await arrives(root, conserver, kills, published="published" in answer["said"])
            if not answer["killed"]:
                assert answer["said"] == ["published", "told"]
                break
            kills += 1
    process.stdin.close()
    await process.wait()
    assert kills > 30
    # before and after the publish, before and after the conserver had it, and after the core was told
    assert {((), 0), (("published",), 0), (("published",), 1), (("published", "told"), 1)} <= moments


async def arrives(root, conserver, number, *, published):
    """What the next start does, with the core publishing again what it does not know to be delivered."""
    sink = ConserverSink(ConserverConfig(url=conserver.url, ingress_lists=["edge"], token=KEY))
    folder = FolderSink(FolderConfig(path=str(root / "out")))
    async with Running(root, sink, folder, clock=WallClock()) as it:
        if published:
            assert await it.outbox.get(uuid_of(number)) is not None
        await it.outbox.publish(uuid_of(number), body_of(number))
        await it.wait_for(1)
        await it.outbox.publish(uuid_of(number), body_of(number))
        await it.wait_for(2)
    assert conserver.bodies() == {uuid_of(number): {body_of(number)}}
    assert [path.name for path in (root / "out").iterdir()] == [f"{uuid_of(number)}.vcon.json"]
    assert (root / "out" / f"{uuid_of(number)}.vcon.json").read_bytes() == body_of(number)
    assert list((root / "outbox" / "pending").iterdir()) == []
    assert list((root / "outbox" / "aside").iterdir()) == []
