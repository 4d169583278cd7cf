"""The worker process: ``python -m vcond.speech.workers.worker <fd>``. Holds one engine and does one step after another.

Asked to, and if its engine can be forked, it becomes what workers are forked from instead (``vcond.speech.workers.loader``).

It ends when its parent is gone, and only then: signals that a terminal or a service manager sends to the whole group are
not for it, so that a stop can drain. What native code prints goes to the parent, which counts it and keeps no word.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from vcond.base.errors import OperatorError, ProtocolError
from vcond.base.no_core import no_core_files
from vcond.speech.engine import Engine, EngineOptions, Recognition, Warms, load
from vcond.speech.workers import loader, messages

MOST_OPEN = 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Open:
    """A recognition and what it cost so far."""

    recognition: Recognition
    cpu: float = 0.0


class Bench:
    """Does what the messages say with an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._open: dict[int, Open] = {}

    def ready(self) -> messages.Ready:
        """What the engine is."""
        caps = self.engine.caps
        told = caps.warning[: messages.LONGEST_WARNING]
        return messages.Ready(
            self.engine.name, self.engine.model, caps.streaming, caps.languages, memory(), warning=told
        )

    def do(self, message: messages.Request) -> messages.Answer | None:
        """One message. An exception of the engine costs the recognition and is answered, with nothing said in it.

        Raises ProtocolError for a message that makes no sense here, and MemoryError: both end the worker.
        """
        if isinstance(message, messages.Start | messages.Fork):
            raise ProtocolError("started twice, or cannot be forked")
        before = time.process_time()
        try:
            reply = self._do(message)
        except (ProtocolError, MemoryError):
            raise
        except Exception as why:  # noqa: BLE001 - a plug-in engine may raise anything
            self._open.pop(message.job, None)
            if isinstance(message, messages.Drop):
                return None
            return messages.Failed(type(why).__name__, message.job, str(why) if isinstance(why, OperatorError) else "")
        spent = time.process_time() - before
        if isinstance(reply, messages.Done):
            done = self._open.pop(message.job)
            return messages.Done(reply.job, reply.final, round((done.cpu + spent) * 1000), memory())
        if message.job in self._open:
            self._open[message.job].cpu += spent
        return reply

    def _do(
        self, message: messages.Open | messages.Feed | messages.Ask | messages.Finish | messages.Drop
    ) -> messages.Answer | None:
        job = message.job
        if isinstance(message, messages.Open):
            if job in self._open or len(self._open) >= MOST_OPEN:
                raise ProtocolError("opened twice, or too many")
            self._open[job] = Open(self.engine.open(message.hint))
            return None
        if isinstance(message, messages.Drop):
            dropped = self._open.pop(job, None)
            if dropped is not None:
                dropped.recognition.reset()
            return None
        if job not in self._open:
            # Its engine raised before, in this same step: the answer to that was sent.
            return None
        recognition = self._open[job].recognition
        if isinstance(message, messages.Feed):
            recognition.feed(np.frombuffer(message.pcm, np.int16))
            return None
        if isinstance(message, messages.Ask):
            return messages.Said(job, recognition.partial().text if message.text else "")
        return messages.Done(job, recognition.finish(), 0, 0)


def memory() -> int:
    """Bytes of resident memory."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read for every answer; a Path is slower
        return int(file.read().split()[1]) * PAGE


def limit(growth: int) -> None:
    """Let this process take only so many bytes more: then it fails, and no other process of the machine.

    The limit is on private memory (RLIMIT_DATA), not on addresses (RLIMIT_AS): files that are mapped, as models may be,
    are not counted, nor is what was there before.
    """
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - as in ``memory``
        most = int(file.read().split()[5]) * PAGE + growth
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def serve(channel: socket.socket) -> None:
    """Load what ``Start`` says, then do steps, or fork who does, until the parent is gone. Raises ProtocolError."""
    first = messages.receive(channel)
    if first is None:
        return
    start = messages.request(first)
    if not isinstance(start, messages.Start):
        raise ProtocolError("not started")
    os.nice(start.nice)
    try:
        options = EngineOptions(
            start.model,
            start.threads,
            start.server,
            start.streams,
            start.vocabulary,
            start.vocabularies,
            start.max_active,
        )
        engine = load(start.engine, options)
    except Exception as why:  # noqa: BLE001 - a plug-in engine may raise anything; the operator is told which
        text = str(why)[:2000] if isinstance(why, OperatorError) else ""
        channel.sendall(messages.pack(messages.Failed(type(why).__name__, text=text)))
        return
    bench = Bench(engine)
    if start.forks and engine.caps.forks and loader.alone():
        channel.sendall(messages.pack(msgspec.structs.replace(bench.ready(), forks=True)))
        warming = engine.warm() if start.warm and isinstance(engine, Warms) else None
        loader.tend(channel, warming, lambda channel: work(channel, bench, start.growth))
    else:
        work(channel, bench, start.growth)


def work(channel: socket.socket, bench: Bench, growth: int) -> None:
    """Do steps until the parent is gone. Raises ProtocolError."""
    threading.Thread(target=leave_with_parent, args=(channel,), daemon=True).start()
    if growth:
        limit(growth)
    channel.sendall(messages.pack(bench.ready()))
    while (body := messages.receive(channel)) is not None:
        reply = bench.do(messages.request(body))
        if reply is not None:
            channel.sendall(packed(reply))


def packed(reply: messages.Answer) -> bytes:
    """A frame. An engine's answer that cannot be one (numbers of numpy, a text of a megabyte) counts as an exception."""
    try:
        return messages.pack(reply)
    except (TypeError, ValueError, OverflowError, ProtocolError) as why:
        job = reply.job if isinstance(reply, messages.Said | messages.Done | messages.Failed) else None
        return messages.pack(messages.Failed(type(why).__name__, job))


def leave_with_parent(channel: socket.socket) -> None:
    """End this process at once when the other end is closed, also in the middle of native code that takes minutes."""
    poll = select.poll()
    poll.register(channel, select.POLLRDHUP)
    poll.poll()
    os._exit(0)


def main(fd: int) -> int:
    """Serve on an inherited socket. 0 = the parent is gone, 2 = it said something that makes no sense."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        # When memory runs out, the kernel shall take a worker and not the capture of calls.
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")
    no_core_files()  # after the file above, which is root's from then on
    faulthandler.enable()
    loader.die_with_parent()
    channel = socket.socket(fileno=fd)
    try:
        serve(channel)
    except ProtocolError:
        return 2
    except OSError:
        return 0  # the parent went away while it was answered
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
