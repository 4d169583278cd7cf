"""A power failure at any moment, on a disk that keeps of what was not synced whatever it likes.

Promise: what was acknowledged is there, sample for sample; of anything younger each sample is right or was never written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pytest
from power_log import PowerLog

from vcond.base.errors import JournalError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import CallJournal
from vcond.journal.commands import Flush, Remove
from vcond.journal.recovery import Found, examine

SAMPLES = 400
"""Of one write: not a whole number of sectors."""
SCRIPTS = int(os.environ.get("VCOND_POWER", "12"))
FAILURES = 25
"""Power failures of each script."""

ACTS = ["event", "audio", "wait", "round", "flush", "merge", "remove", "clear"]
CHANCES = [9, 12, 6, 2, 3, 1, 0.4, 2]


@dataclass
class Said:
    """What was acknowledged at a moment: so many events, so many writes in the call's own track."""

    at: int
    events: int
    writes: int


@dataclass
class Recorded:
    """One call of a script."""

    number: int
    journal: CallJournal
    writes: int = 0
    said: list[Said] = field(default_factory=list)
    merged: int | None = None
    """Which call took it in."""
    removal: int | None = None
    """When its removal was asked for."""
    removed: int | None = None
    """When that was done."""

    def pcm(self, write: int) -> np.ndarray:
        return np.full(SAMPLES, 1 + self.number * 9000 + write * 13, np.int16)

    def all(self) -> np.ndarray:
        return np.concatenate([self.pcm(n) for n in range(self.writes)] or [np.zeros(0, np.int16)])

    def known(self, moment: int) -> Said:
        return max((one for one in self.said if one.at <= moment), key=lambda one: one.at, default=Said(-1, 0, 0))


class Script:
    """Calls begin, are recorded, flushed, merged and removed, as chance will have it."""

    def __init__(self, hands, root: Path, chance: Random) -> None:
        self.disk = PowerLog()
        self.hand = hands(root, disk=self.disk)
        self.calls = [Recorded(n, self.hand.call(n)) for n in range(3)]
        self.time = 0
        for _ in range(60):
            self._act(chance)
        self._wait(2.5)

    def _act(self, chance: Random) -> None:
        self.time += 1
        alive = [call for call in self.calls if call.merged is None and call.removed is None]
        call = chance.choice(alive or self.calls[:1])
        match chance.choices(ACTS, CHANCES)[0]:
            case "event" if alive:
                call.journal.append(ev.Tagged(at=Instant(self.time), name=f"n{self.time}"))
            case "audio" if alive:
                call.journal.write("0.pcm", call.writes * SAMPLES, call.pcm(call.writes))
                call.writes += 1
            case "wait":
                self.hand.step(0.25)
            case "round":
                self._wait(2.5)
            case "flush" if alive:
                self._flush(call)
            case "merge" if len(alive) > 1:
                self._merge(call, chance.choice([one for one in alive if one is not call]))
            case "remove" if len(alive) > 1:
                self._remove(call)
            case "clear":
                for one in self.calls:
                    if one.merged is not None and one.removal is None:
                        self._remove(one)

    def _wait(self, seconds: float) -> None:
        """Longer than the interval of syncing: what was there before is safe."""
        before = [(call, len(call.journal.events), call.writes) for call in self.calls]
        self.hand.step(seconds)
        self.hand.settle()
        self.hand.step(seconds)
        self.hand.settle()
        for call, events, writes in before:
            call.said.append(Said(self.disk.moment, events, writes))

    def _flush(self, call: Recorded) -> None:
        done: list[Exception | None] = []
        tracks = call.journal._tracks.values()
        self.hand.queue.ask(Flush([call.journal._log, *tracks], done.append))
        while not done:
            self.hand.step()
        assert done == [None]
        call.said.append(Said(self.disk.moment, len(call.journal.events), call.writes))

    def _merge(self, into: Recorded, other: Recorded) -> None:
        name = f"{len(into.journal._tracks) + 5}.pcm"
        into.journal.adopt(other.journal, {"0.pcm": name})
        into.journal.append(ev.Merged(at=Instant(self.time), call=other.journal.uuid))
        into.journal.append(ev.Tagged(at=Instant(self.time), name=f"{name}={other.number}"))
        if self.time % 2:  # else it is removed before it could say so
            other.journal.append(ev.MergedInto(at=Instant(self.time), call=into.journal.uuid))
        other.merged = into.number

    def _remove(self, call: Recorded) -> None:
        call.removal = self.disk.moment
        self.hand.queue.ask(Remove(call.journal._folder))
        call.journal.close()
        self.hand.step()
        call.removed = self.disk.moment


def holds(script: Script, moment: int, left: Path) -> dict[str, int]:
    """Check what is left of each call; how many were found, lack events, or have a damaged end."""
    seen = {"found": 0, "short": 0, "damaged": 0}
    for call in script.calls:
        known = call.known(moment)
        found = looked_at(left / call.journal.uuid)
        if found is None:
            assert known.events == 0 or (call.removal is not None and call.removal <= moment), "a safe call is gone"
            if known.events and call.merged is not None:
                taken_in(script, call, left)
            continue
        assert call.removed is None or moment < call.removed, "a removed call is back"
        seen["found"] += 1
        seen["short"] += len(found.events) < len(call.journal.events)
        seen["damaged"] += bool(found.damage)
        assert found.events == call.journal.events[: len(found.events)]
        assert len(found.events) >= known.events
        heard(call, left / call.journal.uuid / "0.pcm", known.writes)
        for event in found.events:
            if isinstance(event, ev.Tagged) and "=" in event.name:
                name, _, number = event.name.partition("=")
                other = script.calls[int(number)]
                heard(other, left / call.journal.uuid / name, other.known(moment).writes)
        if any(isinstance(event, ev.MergedInto) for event in found.events):
            taken_in(script, call, left)
    return seen


def taken_in(script: Script, call: Recorded, left: Path) -> None:
    """Whoever took a call in says so, before that call does or goes, and has its audio."""
    into = script.calls[call.merged]
    found = looked_at(left / into.journal.uuid)
    if into.removal is None:
        assert found is not None
        assert any(isinstance(event, ev.Merged) and event.call == call.journal.uuid for event in found.events)


def looked_at(folder: Path) -> Found | None:
    """None when nothing is there, or so little that it is no journal: its first second was not over."""
    try:
        return examine(folder) if folder.exists() else None
    except JournalError:
        return None


def heard(call: Recorded, file: Path, writes: int) -> None:
    """Each sample is right or was not written; those that are safe are right."""
    there = np.frombuffer(file.read_bytes(), "<i2") if file.exists() else np.zeros(0, np.int16)
    right = call.all()
    assert writes * SAMPLES <= len(there) <= len(right)
    assert (there[: writes * SAMPLES] == right[: writes * SAMPLES]).all()
    assert ((there == right[: len(there)]) | (there == 0)).all()


@pytest.mark.parametrize("seed", range(SCRIPTS))
def test_what_was_acknowledged_is_there_whatever_the_disk_kept_of_the_rest(hands, tmp_path: Path, seed: int):
    chance = Random(seed)
    root = tmp_path / "journal"
    script = Script(hands, root, chance)
    seen = {"found": 0, "short": 0, "damaged": 0}
    ends = [call.removed for call in script.calls if call.removed is not None]
    moments = [chance.randrange(script.disk.moment + 1) for _ in range(FAILURES)]
    for n, moment in enumerate([*ends, *ends, *moments]):
        left = tmp_path / f"left-{n}"
        script.disk.left(root, moment, left, Random(seed * 1000 + n))
        for what, count in holds(script, moment, left).items():
            seen[what] += count
    assert seen["found"] > FAILURES
    assert seen["short"] > 0
