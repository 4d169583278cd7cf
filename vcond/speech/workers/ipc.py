"""What connects the parent with a worker: a socket for messages, one for what it prints, and the process itself."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from vcond.speech.workers.allocator import Allocator, environment, jemalloc

KEPT_ENV: Final = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHON\w*|LD_LIBRARY_PATH|(OMP|MKL|OPENBLAS|CT2|VOSK)_\w+)"
)
"""Nothing else of our environment goes to a worker: it may hold secrets, and a worker needs none."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Ends:
    """Our ends of what connects us with a worker: a socket for messages, and one where its output arrives."""

    def __init__(self, channel: socket.socket, messages: Stream, output: Stream) -> None:
        self._channel = channel
        self.reader, self.writer = messages
        self.output, self._output_writer = output

    async def send(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send, with descriptors only what is short and alone on the way. Raises OSError."""
        if descriptors:
            socket.send_fds(self._channel, [data], descriptors)
        else:
            self.writer.write(data)
            await self.writer.drain()

    async def close(self) -> None:
        """Both, also when this is cancelled. The worker notices, and ends."""
        writers = self.writer, self._output_writer
        for writer in writers:
            writer.close()
        for writer in writers:
            with suppress(OSError):
                await writer.wait_closed()


@dataclass(frozen=True)
class Theirs:
    """The other ends."""

    channel: socket.socket
    output: socket.socket

    @property
    def descriptors(self) -> tuple[int, int]:
        """As ``Fork`` wants them."""
        return self.channel.fileno(), self.output.fileno()

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.output.close()


async def make_ends() -> tuple[Ends, Theirs]:
    """Both ends. Raises OSError when the machine has no more of them."""
    sockets: list[socket.socket] = []
    streams: list[Stream] = []
    try:
        for _ in range(2):
            sockets += socket.socketpair()
        for ours in sockets[::2]:
            streams.append(await asyncio.open_connection(sock=ours))  # noqa: PERF401 - what is made is to be closed
    except BaseException:
        for _, writer in streams:
            writer.close()
        for one in sockets:
            one.close()
        raise
    return Ends(sockets[0], streams[0], streams[1]), Theirs(sockets[1], sockets[3])


async def spawn(threads: int, allocator: Allocator) -> tuple[Ends, Process]:
    """A worker process and our ends. Raises OSError when the machine has no more of either."""
    ours, theirs = await make_ends()
    try:
        with theirs:
            return ours, await _execute(theirs, threads, allocator)
    except BaseException:
        await ours.close()
        raise


def variables(threads: int, allocator: Allocator) -> dict[str, str]:
    """The environment of a worker; what it starts inherits all of it."""
    env = {name: value for name, value in os.environ.items() if KEPT_ENV.fullmatch(name)}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    env["HF_HUB_OFFLINE"] = "1"
    env["OMP_NUM_THREADS"] = str(threads)
    env["OPENBLAS_NUM_THREADS"] = "1"  # numpy's: never used here, and a process with two threads cannot be forked
    return env | environment(allocator, jemalloc())


async def _execute(theirs: Theirs, threads: int, allocator: Allocator) -> Process:
    # -P: what the parent imports is what the worker imports; the folder it happens to run in is not looked at.
    fd = theirs.channel.fileno()
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "vcond.speech.workers.worker", str(fd),
        stdin=DEVNULL, stdout=theirs.output.fileno(), stderr=theirs.output.fileno(), pass_fds=(fd,),
        env=variables(threads, allocator),
    )  # fmt: skip


async def gone(handle: int) -> None:
    """Wait until the process of a descriptor (pidfd_open(2)) has ended, whosever child it is."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(handle, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(handle)
