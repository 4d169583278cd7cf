"""A hub with links, whose outbox runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import links_of_others
from hub_kit import Hub, hub

from vcond.app import installed
from vcond.publish.apart import Apart
from vcond.publish.link_process import made

OTHERS = "Two", "Waits", "Gone", "Large", "Odd", "Heavy"
Set = Callable[[Any, str, Any], None]


def install(set_to: Set = setattr) -> None:
    """The links of ``links_of_others`` are plug-ins, by their names in lower case."""
    real, path = installed.entry_points, str(Path(links_of_others.__file__).parent)
    points = [EntryPoint(name.lower(), f"links_of_others:{name}", installed.LINKS) for name in OTHERS]

    def entry_points(group: str):
        return [*real(group=group), *(points if group == installed.LINKS else [])]

    set_to(installed, "entry_points", entry_points)
    set_to(sys, "path", [*sys.path, path] if path not in sys.path else sys.path)


def at_once(set_to: Set = setattr) -> None:
    """The same without a process: what it does on the disk is nothing."""
    install(set_to)
    set_to(Apart, "asked", lambda self, body: made(self._start)(body))


@asynccontextmanager
async def linking(root: Path, more: str) -> AsyncIterator[Hub]:
    async with hub(root, more) as one:
        run = asyncio.create_task(one.parts.outbox.run())
        try:
            yield one
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


async def settled(one: Hub, uuid: str, **wanted: str) -> dict[str, Any]:
    """The deliveries of a vCon by sink, as soon as they are in these states (``link_tag="delivered"``)."""
    async with asyncio.timeout(60):
        while True:
            entry = await one.parts.outbox.get(uuid)
            found = {} if entry is None else {each.sink: each for each in entry.sinks}
            states = {name.replace(":", "_"): each.state for name, each in found.items()}
            if all(states.get(name) == state for name, state in wanted.items()):
                return found
            await asyncio.sleep(0.005)
