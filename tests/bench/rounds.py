"""One round of a bench of servers: the server on one core, its client on another, what it says at the end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence


def one_round(script: str, server: Sequence[str], client: Sequence[str], *, limit: float) -> dict[str, float]:
    """What ``server`` measured under the load of ``client``, both arguments of ``script``.

    The server prints where it is reached, which the client gets as its last argument, and, when it has had its load, one
    line of JSON. The bench ends when that does not come within ``limit`` seconds.
    """
    cores = sorted(os.sched_getaffinity(0))
    run = [sys.executable, script]
    with (
        subprocess.Popen([*run, *server], stdout=subprocess.PIPE, text=True) as serving,
        contextlib.ExitStack() as stack,
    ):
        os.sched_setaffinity(serving.pid, {cores[0]})
        stack.callback(serving.kill)
        where = serving.stdout.readline().strip()
        loading = stack.enter_context(subprocess.Popen([*run, *client, where]))
        os.sched_setaffinity(loading.pid, {cores[-1]})
        stack.callback(loading.kill)
        late = threading.Timer(limit, serving.kill)
        late.start()
        stack.callback(late.cancel)
        said = serving.stdout.readline()
    if not said:
        sys.exit(f"the {server[0]} server never got its load, or lost some of it")
    return json.loads(said)
