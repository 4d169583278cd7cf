from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from vcond.base.time import SECOND
from vcond.media.rtp.reading import Batch, Reader
from vcond.testing.time import NOON, LoopClock, ManualClock, run_virtual


def test_an_hour_of_sleep_takes_no_time():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3600)
        return loop.time()

    before = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600)
    assert time.monotonic() - before < 60


def test_timers_fire_in_order_at_their_times():
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        async with asyncio.TaskGroup() as group:
            for delay in (3.0, 1.0, 2.0):

                async def wait(delay=delay):
                    await asyncio.sleep(delay)
                    seen.append((delay, round(loop.time(), 6)))

                group.create_task(wait())
        return seen

    assert run_virtual(main()) == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_sockets_deliver_before_time_jumps():
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readexactly(5))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello")
            async with asyncio.timeout(1):
                assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 1


@pytest.mark.parametrize("batch", [Batch, lambda: None], ids=["at once", "singly"])
def test_a_datagram_comes_when_it_is_read_however_long_the_machine_took(batch):
    async def main():
        clock = LoopClock()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            reader = Reader(sock, clock, batch())
            sock.sendto(b"x", sock.getsockname())
            time.sleep(0.02)  # noqa: ASYNC251 - a machine that is busy
            await asyncio.sleep(5)
            [(_, _, came)] = reader.read(9)
        assert came == clock.now()

    run_virtual(main())


def test_threads_hold_time_still():
    async def main():
        async with asyncio.timeout(0.001):
            await asyncio.to_thread(time.sleep, 0.05)
        return True

    assert run_virtual(main())


def test_a_loop_waits_for_its_threads_in_real_time():
    """Since Python 3.12 with a time-out, to which virtual time must not jump."""
    ended = threading.Event()

    def work():
        time.sleep(0.05)
        ended.set()

    async def main():
        asyncio.get_running_loop().run_in_executor(None, work).cancel()  # nobody waits for it any more

    run_virtual(main())
    assert ended.is_set()


def test_a_task_that_waits_for_ever_is_reported(monkeypatch):
    monkeypatch.setattr("vcond.testing.time.STUCK", 0.05)

    async def main():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="nothing will ever happen"):
        run_virtual(main())


def test_the_manual_clock_stands_until_it_is_moved():
    clock = ManualClock()
    assert clock.now() == clock.now() == NOON
    assert clock.advance(5 * SECOND) == NOON + 5 * SECOND == clock.now()


def test_the_loop_clock_counts_virtual_time():
    async def main():
        clock = LoopClock()
        first = clock.now()
        await asyncio.sleep(90)
        return first, clock.now()

    assert run_virtual(main()) == (NOON, NOON + 90 * SECOND)
