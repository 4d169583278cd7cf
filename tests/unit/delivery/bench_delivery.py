"""What the outbox costs here: ``PYTHONPATH=. python tests/unit/delivery/bench_delivery.py [FOLDER]``.

Publish latency with fsync, deliveries per second to the fake conserver (in a process of its own) and to a folder, and
a start with 10,000 vCons waiting. FOLDER decides which disk is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
CONSERVER = HERE.parents[1] / "peers" / "conserver" / "fake_conserver.py"


async def main() -> None:
    import structlog
    from delivery_kit import MemorySink, Running, body_of, make_outbox, uuid_of

    from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
    from vcond.delivery.sinks.folder import FolderConfig, FolderSink

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    where = sys.argv[1] if len(sys.argv) > 1 else None

    class WallClock:
        now = staticmethod(time.time_ns)

    def folder() -> Path:
        return Path(tempfile.mkdtemp(prefix="bench-", dir=where))

    def report(name: str, spent: list[float]) -> None:
        p50, p95 = statistics.median(spent), statistics.quantiles(spent, n=20)[-1]
        print(f"{name:44} p50 {p50 * 1000:7.2f} ms   p95 {p95 * 1000:7.2f} ms")

    for size in (20_000, 700_000, 7_000_000):
        root = folder()
        count = 200 if size < 5_000_000 else 40
        bodies = [body_of(n, size=size) for n in range(count)]
        async with make_outbox(root, MemorySink(), clock=WallClock()) as outbox:
            spent = []
            for n, body in enumerate(bodies):
                begin = time.perf_counter()
                await outbox.publish(uuid_of(n), body)
                spent.append(time.perf_counter() - begin)
        report(f"publish {size / 1e6:.2f} MB", spent)
        shutil.rmtree(root)

    server = await asyncio.create_subprocess_exec(
        sys.executable, str(CONSERVER), "--list", "edge=key", stdout=asyncio.subprocess.PIPE, limit=1 << 26
    )
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().strip()
    drain = asyncio.create_task(server.stdout.read())
    for size, count in ((20_000, 1000), (700_000, 150)):
        for kind in ("conserver", "folder"):
            root = folder()
            if kind == "conserver":
                sink = ConserverSink(ConserverConfig(url=url, ingress_lists=["edge"], token="key"))
            else:
                sink = FolderSink(FolderConfig(path=str(root / "out")))
            running = Running(root, sink, clock=WallClock())
            bodies = [body_of(n, size=size) for n in range(count)]
            async with running as it:
                begin = time.perf_counter()
                for n, body in enumerate(bodies):
                    await it.outbox.publish(uuid_of(n), body)
                await it.wait_for(count)
                spent_all = time.perf_counter() - begin
            name = f"publish to removed, {kind}, {size / 1e6:.2f} MB"
            print(f"{name:44} {count / spent_all:7.0f} vCons/s, {count * size / spent_all / 1e6:.0f} MB/s")
            shutil.rmtree(root)
    server.terminate()
    await drain
    await server.wait()

    root = folder()
    async with make_outbox(root, MemorySink(), clock=WallClock()) as outbox:
        pass
    for n in range(10_000):
        (root / "outbox" / "pending" / f"{uuid_of(n)}.vcon.json").write_bytes(body_of(n, size=20_000))
    os.sync()
    for name in ("start with 10,000 waiting, database lost", "start with 10,000 waiting"):
        begin = time.perf_counter()
        async with make_outbox(root, MemorySink(), clock=WallClock()):
            print(f"{name:44} {time.perf_counter() - begin:7.2f} s")
    shutil.rmtree(root)
    print(json.dumps({"cpus": os.cpu_count(), "load": os.getloadavg()}))


if __name__ == "__main__":
    asyncio.run(main())
