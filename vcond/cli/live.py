"""What is looked at while it changes: ``vcond calls --live`` and ``vcond watch``. Ctrl-C ends them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from vcond.cli.admin_client import ask, follow
from vcond.cli.render import calls
from vcond.config import DaemonConfig

EVERY = 1.0
"""Seconds between two looks at the calls."""
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def live_calls(config: DaemonConfig, out: TextIO, wait: Callable[[float], None] = time.sleep) -> None:
    """The calls of the daemon, again and again: redrawn on a terminal, elsewhere printed when something is new of them.

    Raises NotRunningError when the daemon ends.
    """
    before = ""
    while True:
        shown = "\n".join(_line(row) for row in calls(ask(config.admin_socket, "calls"))) + "\n"
        if out.isatty():
            out.write(f"{CLEAR}{time.strftime('%H:%M:%S')}\n{shown}")
        elif shown != before:
            out.write(f"{shown}\n")
        out.flush()
        before = shown
        wait(EVERY)


def _line(text: str) -> str:
    """A name that came from outside cannot steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def watch(config: DaemonConfig, call: str, out: TextIO, *, as_json: bool = False) -> None:
    """What is said in a call from now on, as it is said, until its end. Raises RefusedError, AmbiguousError."""
    found: dict[str, Any] = ask(config.admin_socket, "call", call=call)
    events = follow(config.admin_socket, found["call"])
    if as_json:
        for event in events:
            print(json.dumps(event, ensure_ascii=False), file=out, flush=True)
        return
    import msgspec

    from vcond.cli.with_rich import let_rich_in

    let_rich_in()
    from vcond.demo.terminal import Terminal
    from vcond.sdk.contract import CaptionEvent

    names = [party["name"] or party["tel"] for party in found["parties"]]
    with Terminal(names, out=out) as terminal:
        for line in calls([found | {"daemon": True}]):
            terminal.say(line, dim=True)
        for event in events:
            terminal.caption(msgspec.convert(event, CaptionEvent))
        terminal.say(f"the call is over: vcond show {found['call']}", dim=True)


def until_interrupted(look: Callable[[], None]) -> None:
    """Ctrl-C is how it is left, and no error."""
    try:
        look()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
