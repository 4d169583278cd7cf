"""The outbox against a model of what it promises, through crashes, lost and damaged databases, and changing sinks.

Promised: what was published reaches every sink with the same bytes, or is in the outbox and says why not; the core is
told of a vCon only when every configured sink has it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from crash_kit import Crash, Steps, open_counted
from delivery_kit import NOON, SECOND, body_of, make_store, uuid_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vcond.base.errors import StorageError
from vcond.delivery import ConflictError, rows
from vcond.delivery.rows import Outcome, Probe

SINKS = ("a", "b", "c")
crashes = st.one_of(st.none(), st.integers(1, 16))
numbers = st.integers(1, 4)
sinks = st.sampled_from(SINKS)
some_sinks = st.sets(sinks, min_size=1).map(lambda found: tuple(sorted(found)))


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.now = NOON
        self.configured = ("a", "b")
        self.published: dict[int, bytes] = {}
        self.received: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.told: set[int] = set()
        self.open()

    def open(self):
        self.store = open_counted(lambda: make_store(self.root, self.configured, now=self.now))

    def teardown(self):
        self.retry()
        for _ in range(50):
            for sink in self.configured:
                self.deliver(sink, "delivered", None)
        self.finish(keep=False, at=None)
        assert set(self.published) == self.told
        self.store.close()
        shutil.rmtree(self.root)

    def crashing(self, at, work):
        """Do it; killed at a step, the next run begins. Whether it came to its end."""
        if at is None:
            work()
            return True
        ended = False
        with Steps(at).watch() as steps, suppress(Crash):
            work()
            ended = not steps.dead
        if not ended:
            self.restart(self.configured)
        return ended

    @rule(n=numbers, size=st.sampled_from([0, 0, 0, 50]), at=crashes)
    def publish(self, n, size, at):
        body = body_of(n, size=size)
        known = self.published.get(n)
        if known is not None and known != body:
            with pytest.raises(ConflictError):
                self.store.publish(uuid_of(n), body, {}, self.now)
            return
        self.crashing(at, lambda: self.store.publish(uuid_of(n), body, {}, self.now))
        if self.entry(n) is not None:  # acknowledged, or the crash came after it was durable
            self.published[n] = body
            self.told.discard(n)
        else:
            assert at is not None

    @rule(sink=sinks, state=st.sampled_from(["delivered", "delivered", "pending", "dead"]), at=crashes)
    def deliver(self, sink, state, at):
        if sink not in self.configured:
            return
        jobs, _ = self.store.due(sink, self.now, 1, probe=Probe())
        for job in jobs:
            n = int(job.uuid[-12:], 16)
            body, sha512 = self.store.read(job.uuid)
            assert sha512 == job.sha512
            if state == "delivered":
                self.received[sink, n].append(body)
            outcome = Outcome(state, self.now, self.now + 100 * SECOND, 0, "" if state == "delivered" else "why")
            self.crashing(at, lambda job=job, outcome=outcome: self.store.record(sink, job.seq, outcome))

    @rule(keep=st.booleans(), at=crashes)
    def finish(self, keep, at):
        def work():
            for vcon in self.store.done():
                n = int(vcon.uuid[-12:], 16)
                assert all(self.received[sink, n] for sink in self.configured)
                self.told.add(n)
                self.store.put_away(vcon, keep=keep)

        self.crashing(at, work)

    @rule()
    def retry(self):
        self.store.tell("", lambda db: rows.put_back(db, None, None))

    @rule(configured=some_sinks)
    def restart(self, configured):
        self.store.close()
        self.configured = configured
        self.open()

    @rule(how=st.sampled_from(["lost", "cut", "garbage"]), at=st.integers(0, 100))
    def break_database(self, how, at):
        self.store.close()
        file = self.root / "vcond.db"
        size = file.stat().st_size
        if how == "lost":
            file.unlink()
        elif how == "cut":
            with file.open("r+b") as handle:
                handle.truncate(size * at // 100)
        else:
            with file.open("r+b") as handle:
                handle.seek(min(size * at // 100, size - 8192) // 4096 * 4096)
                handle.write(b"\xa5" * 8192)
        with suppress(StorageError):
            self.open()
        for n in list(self.told):
            if self.entry(n) is None:  # the ledger is gone with the database
                self.told.discard(n)
                del self.published[n]
                for sink in SINKS:
                    self.received.pop((sink, n), None)

    @rule(seconds=st.sampled_from([1, 200, 5000, -5000, 10**8, -(10**8)]))
    def clock_jumps(self, seconds):
        self.now = max(NOON, self.now + seconds * SECOND)

    def entry(self, n):
        return self.store.get(uuid_of(n), {})

    @invariant()
    def nothing_is_lost_or_changed(self):
        for n, body in self.published.items():
            entry = self.entry(n)
            assert entry is not None
            if entry.stage in {"open", "done"}:
                on_disk = self.root / "outbox" / "pending" / f"{uuid_of(n)}.vcon.json"
                assert not on_disk.exists() or on_disk.read_bytes() == body
                assert on_disk.exists() or n in self.told
            else:
                assert n in self.told
            if entry.stage == "open":
                assert {each.sink for each in entry.sinks} >= set(self.configured)
                for each in entry.sinks:
                    assert each.state != "dead" or each.reason
        for (_, n), bodies in self.received.items():
            assert set(bodies) <= {self.published[n]}


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=50, stateful_step_count=25, deadline=None, derandomize=True)
