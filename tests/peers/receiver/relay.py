"""What stands between a sink and a real receiver in tests: a TCP relay that can be cut, stall, and lose answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from vcond.testing.sink_rig import SinkRig


class Relay:
    """Listens on ``port`` of loopback once it is up, and brings everything to ``target`` and back."""

    def __init__(self, target: int = 0) -> None:
        self.target, self.port = target, 0
        self.stalled = asyncio.Event()
        self.passed = 0
        """Bytes from the sink."""
        self._lose: Callable[[bytes], bool] | None = None
        self._stall = False
        self._lost = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Nobody listens, and what is open is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """From here on no answer passes, until the connection ends; ``stalled`` is set once one is held."""
        self._stall = True
        self.stalled.clear()

    def lose(self, when: Callable[[bytes], bool]) -> None:
        """Once something that the sink sends fulfils this, the next answer is not passed on and its connection is cut."""
        self._lose = when

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there = None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self.target)
            done, left = await asyncio.wait(
                {asyncio.create_task(self._to(reader, there)), asyncio.create_task(self._back(back, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
            for one in left:
                one.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, there):
                if one is not None:
                    one.close()
            self._tasks.discard(task)

    async def _to(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                self.passed += len(data)
                if self._lose is not None and self._lose(data):
                    self._lose, self._lost = None, True
                there.write(data)
                await there.drain()

    async def _back(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await back.read(1 << 16):
                if self._stall:
                    self._stall = False
                    self.stalled.set()
                    await asyncio.Event().wait()
                if self._lost:
                    self._lost = False
                    return
                writer.write(data)
                await writer.drain()


class RelayRig(SinkRig):
    """A rig whose sink reaches its receiver through ``relay``."""

    relay: Relay

    async def down(self, *, on):
        await (self.relay.down() if on else self.relay.up())

    async def stall(self):
        self.relay.stall()

    async def stalled(self):
        await self.relay.stalled.wait()
