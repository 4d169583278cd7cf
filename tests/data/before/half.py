"""Some of the work on an outbox, by whichever version of vcond is on the path. See README.md.

``half.py FOLDER FIRST LAST CRM_TAKES``: hands the vCons FIRST to LAST over, delivers what is due until nothing changes, and
leaves. The sink ``archive`` takes all, ``crm`` the numbers in CRM_TAKES (``1,2``); the others it puts off.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random

from vcond.delivery import Outbox, OutboxConfig

try:
    from vcond.sdk.sink import Receipt, Retry
except ImportError:  # at commit f19b440
    from vcond.delivery import Receipt, Retry

NOON = 1_767_614_400_000_000_000
"""2026-01-05T12:00:00Z."""
OF_THE_RECEIVER = '{"detail":[{"loc":["body","parties"],"msg":"field required"}]}'


class Clock:
    """Stands still."""

    def __init__(self, now: int = NOON) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


class Sink:
    """Takes everything but what ``says`` names, by the subject of the vCon."""

    profile, concurrency, address, max_bytes = "core", 1, "", 0

    def __init__(self, name: str, says: dict[str, Exception]) -> None:
        self.name, self.says = name, says
        self.tried: set[str] = set()
        self.got: list[str] = []

    async def deliver(self, record) -> Receipt:
        subject = json.loads(record.body).get("subject", "")
        self.tried.add(record.uuid)
        if subject in self.says:
            raise self.says[subject]
        self.got.append(record.uuid)
        return Receipt(0, self.name, "taken")

    async def erase(self, uuid: str) -> Receipt:
        raise NotImplementedError

    async def look(self) -> list[object]:
        return []

    async def close(self) -> None:
        pass


def document(n: int, subject: str) -> tuple[str, bytes]:
    """A vCon that is handed to the outbox."""
    uuid = f"019b8e1c-0000-8000-8000-{n:012x}"
    plain = {
        "vcon": "0.4.0", "uuid": uuid, "created_at": "2026-01-05T12:00:00Z", "subject": subject,
        "parties": [{"tel": "+15550100"}],
        "dialog": [{"type": "incomplete", "start": "2026-01-05T12:00:00Z", "parties": [0], "disposition": "no-answer"}],
        "analysis": [], "attachments": [],
    }  # fmt: skip
    return uuid, json.dumps(plain).encode()


async def work(folder: Path, numbers: range, taken: set[int], all_of_it: int) -> dict[str, list[str]]:
    """What each sink took."""
    later = {str(n): Retry("busy", status=503) for n in range(all_of_it) if n not in taken}
    sinks = [Sink("archive", {}), Sink("crm", later)]
    outbox = Outbox(folder / "outbox", sinks, database=folder / "vcond.db", clock=Clock(), rng=Random(1),
                    config=OutboxConfig(retry_first=3600, retry_most=3600, drain=0))  # fmt: skip
    await outbox.open()
    running = asyncio.create_task(outbox.run())
    for n in numbers:
        await outbox.publish(*document(n, str(n)))
    new = {document(n, "")[0] for n in numbers}
    while not all(new <= sink.tried for sink in sinks):  # noqa: ASYNC110 - run by hand
        await asyncio.sleep(0.05)
    await outbox.retry()
    await asyncio.sleep(0.5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await outbox.close()
    return {sink.name: sink.got for sink in sinks}


if __name__ == "__main__":
    where, first, last, takes = sys.argv[1:]
    told = asyncio.run(work(Path(where), range(int(first), int(last)), {int(n) for n in takes.split(",")}, 9))
    print(json.dumps(told))
