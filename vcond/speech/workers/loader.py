"""A process that has loaded a model and does nothing but warm it and fork workers, which share the model with it.

It has one thread and no state of any call, so a fork of it is a worker as good as new: no second copy of the model in
memory, no second load, and warm at once (docs/decisions/0009-speech-processes.md).
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

from vcond.base.errors import ProtocolError
from vcond.speech.workers import messages

PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends, whatever is done here then. Forks do not inherit it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def alone() -> bool:
    """Whether this process has one thread: others would not be in a fork, and what they held locked would stay so."""
    return sum(1 for _ in Path("/proc/self/task").iterdir()) == 1


def tend(channel: socket.socket, warming: Iterator[None] | None, work: Callable[[socket.socket], None]) -> None:
    """Fork a worker whenever ``channel`` asks for one, which does ``work``; warm in between. Until the parent is gone.

    Raises ProtocolError, and whatever ``warming`` raises.
    """
    gc.freeze()  # what is there already is not looked at again, and so not copied
    while True:
        if warming is not None and not select.select([channel], [], [], 0)[0]:
            warming = _warm(channel, warming)
            continue
        descriptors = _asked(channel)
        if descriptors is None:
            return
        _reap()
        pid = os.fork()
        if pid == 0:
            _become_worker(channel, *descriptors, work)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(messages.pack(messages.Forked(pid)))


def _warm(channel: socket.socket, warming: Iterator[None]) -> Iterator[None] | None:
    for _ in warming:
        return warming
    gc.freeze()
    channel.sendall(messages.pack(messages.Warmed()))
    return None


def _asked(channel: socket.socket) -> tuple[int, int] | None:
    """The descriptors of a ``Fork``: the worker's socket and its output. None when the parent is gone."""
    data, descriptors, _, _ = socket.recv_fds(channel, 1 << 12, 2)
    if not data:
        return None
    if len(data) < messages.HEAD.size or messages.length(data[: messages.HEAD.size]) != len(data) - messages.HEAD.size:
        raise ProtocolError("not one whole request")
    if not isinstance(messages.request(data[messages.HEAD.size :]), messages.Fork) or len(descriptors) != 2:
        raise ProtocolError("cannot be forked")
    return descriptors[0], descriptors[1]


def _reap() -> None:
    """Forget workers that are gone; their parent noticed when their sockets closed."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _become_worker(channel: socket.socket, ours: int, output: int, work: Callable[[socket.socket], None]) -> Never:
    """The worker's socket takes the place of the one that this process was asked on."""
    code = 1
    try:
        os.dup2(ours, channel.fileno(), inheritable=False)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(ours)
        os.close(output)
        work(channel)
        code = 0
    except ProtocolError:
        code = 2
    except OSError:
        code = 0  # the parent went away while it was answered
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(code)
