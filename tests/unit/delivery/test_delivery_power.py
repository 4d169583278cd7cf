"""A power failure at any moment of the outbox, with files and database as old as each may be, also without the database.

Promise: what ``publish`` has returned for is there and goes to each sink that the database does not say has it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from delivery_kit import NOON, body_of, make_store, uuid_of
from power_log import PowerLog

from vcond.delivery.rows import Outcome, Probe
from vcond.delivery.store import OutboxStore

SINKS = ["a", "b"]
VCONS = 4


@dataclass
class Script:
    """vCons are published, delivered and put away, as chance will have it."""

    root: Path
    disk: PowerLog = field(default_factory=PowerLog)
    published: dict[int, int] = field(default_factory=dict)
    """When ``publish`` had returned."""
    away: dict[int, int] = field(default_factory=dict)
    """When its file began to be removed."""
    states: list[tuple[int, Path | None]] = field(default_factory=lambda: [(-1, None)])
    """The database after each change, and when that was."""

    def run(self, chance: Random) -> None:
        self.root.mkdir()
        with closing(make_store(self.root, SINKS, files=self.disk)) as store:
            self.store = store
            self._keep_state()
            for n in range(40):
                self._act(n, chance)

    def _act(self, n: int, chance: Random) -> None:
        number = chance.randrange(VCONS)
        if number not in self.published:
            self.store.publish(uuid_of(number), body_of(number, 900), {}, NOON + n)
            self.published[number] = self.disk.moment
        elif done := [vcon for vcon in self.store.done() if chance.random() < 0.5]:
            for vcon in done:
                self.away.setdefault(int(vcon.uuid[-12:], 16), self.disk.moment)
                self.store.put_away(vcon, keep=chance.random() < 0.5)
        elif jobs := self.store.due(sink := chance.choice(SINKS), NOON * 2, 1, probe=Probe())[0]:
            self.store.record(sink, jobs[0].seq, Outcome("delivered", NOON + n))
        self._keep_state()

    def _keep_state(self) -> None:
        copy = self.root / f"state-{len(self.states)}"
        with closing(sqlite3.connect(copy)) as target:
            self.store._db.backup(target)
        self.states.append((self.disk.moment, copy))

    def state(self, moment: int, chance: Random) -> Path | None:
        """A database that may be there at a moment, however old."""
        found = [state for at, state in self.states if at <= moment]
        return chance.choice([found[-1], found[-1], chance.choice(found)])


def reopened(script: Script, moment: int, place: Path, chance: Random) -> OutboxStore:
    script.disk.left(script.root / "outbox", moment, place / "outbox", chance)
    state = script.state(moment, chance)
    if state is not None:
        (place / "vcond.db").write_bytes(state.read_bytes())
    return make_store(place, SINKS)


def delivered(store: OutboxStore, number: int) -> set[str]:
    entry = store.get(uuid_of(number), {})
    return {one.sink for one in entry.sinks if one.state == "delivered"} if entry else set()


def due(store: OutboxStore, sink: str) -> set[str]:
    return {job.uuid for job in store.due(sink, NOON * 2, 100, probe=Probe())[0]}


def check(script: Script, moment: int, store: OutboxStore) -> None:
    for number, at in script.published.items():
        if at > moment or script.away.get(number, moment) < moment:
            continue
        assert store.read(uuid_of(number))[0] == body_of(number, 900), "a published vCon is gone"
        for sink in SINKS:
            assert uuid_of(number) in due(store, sink) or sink in delivered(store, number)
    for job in {job.uuid: job for sink in SINKS for job in store.due(sink, NOON * 2, 100, probe=Probe())[0]}:
        assert store.read(job)[0] == body_of(int(job[-12:], 16), 900), "half a vCon would be sent"


@pytest.mark.parametrize("seed", range(int(os.environ.get("VCOND_POWER", "6"))))
def test_what_was_published_is_there_and_goes_out_whatever_a_power_failure_left(tmp_path: Path, seed: int):
    chance = Random(seed)
    script = Script(tmp_path / "script")
    script.run(chance)
    for n in range(30):
        moment = chance.randrange(script.disk.moment + 1)
        place = tmp_path / f"left-{n}"
        with closing(reopened(script, moment, place, Random(seed * 1000 + n))) as store:
            check(script, moment, store)
    assert len(script.published) == VCONS
    assert script.away
