"""A TCP line to a peer, or to vcond, that can go dead: connections stay open, and nothing passes."""

from __future__ import annotations

import asyncio
from typing import Self


class Line:
    """Forwards connections of a free port of 127.0.0.1 to another one. ``url`` is its address."""

    def __init__(self, target: int) -> None:
        self.url = ""
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._dead: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def die(self) -> None:
        """What is open takes everything and brings it nowhere, as when a firewall forgets it. New connections work."""
        self._dead |= self._tasks

    async def carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Bring what came to the other side."""
        writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self._target)
        for one, other in ((reader, there), (back, writer)):
            task = asyncio.create_task(self._pass(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if asyncio.current_task() not in self._dead:
                    await self.carry(data, writer)
        except OSError:
            pass
        finally:
            writer.close()
