"""Captures of a real FreeSWITCH, and what drives the adapter with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, decode, number
from vcond_freeswitch.tracker import ChannelTracker
from vcond_freeswitch.wire import Decoder, Frame

DATA = Path(__file__).parent / "data"


def raw(name: str) -> bytes:
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in raw(name).splitlines()]


def names(suffix: str = ".s2c.bin") -> list[str]:
    found = [path.name.removesuffix(f"{suffix}.gz") for path in DATA.glob(f"*{suffix}.gz")]
    return sorted(found)


def recut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def frames(data: bytes, size: int = 4096) -> list[Frame]:
    decoder = Decoder()
    found = [frame for part in recut(data, size) for frame in decoder.feed(part)]
    assert decoder.idle
    return found


def events(name: str, size: int = 4096, variables: list[str] | None = None) -> list[Event]:
    told = frames(raw(f"{name}.s2c.bin"), size)
    return [decode(frame, variables or ()) for frame in told if frame.kind.startswith("text/event-")]


class Ears:
    """Notes which legs would be listened to, and when."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []

    def start(self, leg, *, both=False) -> None:
        assert leg.up is not None, "a leg that was not answered must never be tapped"
        if leg.channel not in self.started:
            self.started.append(leg.channel)

    def stop(self, leg, at) -> None:
        self.stopped.append(leg.channel)


class Run(NamedTuple):
    """What became of a capture."""

    host: MemoryHost
    tracker: ChannelTracker
    ears: Ears
    zero: int
    """The stamp of the first event, microseconds."""

    @property
    def call(self):
        (call,) = [call for call in self.host.calls if not any(type(e).__name__ == "MergedInto" for e in call.events)]
        return call

    def seconds(self, at: int) -> float:
        return round((at - self.call.state.opened) / 1e9, 2)

    def history(self) -> list[tuple[float, int | None, str]]:
        return [(self.seconds(m.at), m.party, m.event) for m in self.call.state.history]


LATE = 20_000_000
"""Nanoseconds from an event's stamp to its arrival."""


def drive(name: str, *, size: int = 4096, config: Config | None = None, unmergeable: str = "", drops: int = 0) -> Run:
    clock = ManualClock()
    host, ears = MemoryHost("freeswitch", clock=clock), Ears()
    host.unmergeable = unmergeable
    tracker = ChannelTracker(host, (config or Config()).checked(), ears)
    zero = 0
    for event in events(name, size, config.variables if config else None):
        zero = zero or number(event.stamp)
        arrived = NOON + max(0, number(event.stamp) - zero) * 1000 + LATE
        clock.advance(max(0, arrived - clock.now()))
        tracker.event(event, clock.now())
    assert host.faults == []
    assert host.drops.total() == drops
    for call in host.calls:
        host.state_from_events(call)
        assert call.state.odd == 0
    return Run(host, tracker, ears, zero)
