"""For every test, of the house and of the adapters: which tier it belongs to, and how long fuzzing may take."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import random
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
import structlog
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from vcond.testing.memory import resident
from vcond.testing.time import VirtualLoop

SLOW: Final = ("peer", "speech", "fuzz")
"""Marks of tests that ``make quick`` leaves out."""
SLOW_FOLDERS: Final = ("tests/e2e", "tests/bench")
BUSY: Final = (
    *(f"tests/unit/{room}/" for room in ("delivery", "house", "links", "media", "sip", "speech", "vcon")),
    "tests/e2e/api/",
    *(f"tests/e2e/daemon/test_daemon_{name}.py" for name in ("commands", "hub", "life", "speech_queue", "wer")),
    "tests/e2e/page/",
    "tests/e2e/test_demo.py",
)
"""Where slow tests keep a processor busy; the others mostly wait for calls."""
ANYHOW: Final = ("tests/e2e/deb/",)
"""Where they ask nothing of time, as those of fuzzing do: what the others leave of the processors is for them."""
NICE: Final = {"calls": 0, "busy": 10, "anyhow": 15}
FUZZ_SECONDS: Final = 180.0
"""For all fuzz tests together, in equal shares."""
HANG: Final = 1.0
"""Seconds of the processor that no input of a fuzz test takes."""
SETTLED: Final = 1000
"""Rounds after which what a fuzz test needs is there."""
GROWTH: Final = 32 << 20
"""Bytes by which its process may grow from there."""

hypothesis.settings.register_profile(
    "house", deadline=None, print_blob=True, max_examples=50
)  # no test fails because a machine is busy
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folders = tuple(config.rootpath / folder for folder in SLOW_FOLDERS)
    for item in items:
        if any(item.get_closest_marker(mark) for mark in SLOW) or any(map(Path(item.path).is_relative_to, folders)):
            item.add_marker("slow")


class SideBySide(LoadScopeScheduling):
    """The slow tests in three rows, each with a process: those that wait for calls, those that are busy, and the rest."""

    def _split_scope(self, nodeid: str) -> str:
        return _row(nodeid)


def _row(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    if file.startswith(ANYHOW) or "_fuzz" in file:
        return "anyhow"
    return "busy" if file.startswith(BUSY) else "calls"


@pytest.hookimpl(optionalhook=True)  # nobody has it with -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide | None:
    return SideBySide(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(autouse=True)
def _journals_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of a journal knows nothing of virtual time: no timer overtakes what it is asked for."""
    journals = sys.modules.get("vcond.journal.store")
    if journals is None:
        return
    ask = journals.Store.ask

    async def asked(*given: Any) -> None:
        loop = asyncio.get_running_loop()
        with loop.still() if isinstance(loop, VirtualLoop) else nullcontext():
            await ask(*given)

    monkeypatch.setattr(journals.Store, "ask", asked)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Calls are of real time: the other rows, and what they start, stand back."""
    if getattr(item.config.option, "loadgroup", False) and os.nice(0) == 0:
        os.nice(NICE[_row(item.nodeid)])


def pytest_collection_finish() -> None:
    """All that collecting made stays to the end: no search for garbage looks through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # processes of xdist get the seed by the environment
        os.environ.setdefault("VCOND_FUZZ_SEED", str(random.SystemRandom().randrange(10**9)))
        _know_plugins(config.rootpath)


def _know_plugins(root: Path) -> None:
    """Install the checkout anew when it has other plug-ins than what is installed says: it came here with a pull."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"].items()
    if all({point.name for point in entry_points(group=group)} == set(known) for group, known in groups):
        return
    how = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", str(root)]
    subprocess.run([sys.executable, *how], check=True)
    sys.path += [str(folder) for folder in root.glob("adapters/*") if str(folder) not in sys.path]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command's log goes to the standard error of its own test, which is closed when others log."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)


def pytest_report_header() -> str:
    seconds = os.environ.get("VCOND_FUZZ_SECONDS", f"{FUZZ_SECONDS:.0f}")
    return f"fuzz: {seconds} s; the same again with VCOND_FUZZ_SEED={os.environ['VCOND_FUZZ_SEED']}"


class Fuzz:
    """A test's share of the time, as rounds; each has a seed that follows from the run's seed and the test's name.

    No input may take ``HANG`` seconds of the processor (of a round of several: on average), nor the process grow by ``GROWTH`` bytes after the first ``SETTLED``.
    """

    def __init__(self, name: str, seconds: float | None, shares: int, inputs: int | None = None) -> None:
        """``inputs``: how many there shall be, however long it takes, unless ``seconds`` end it before."""
        self.name, self.seed = name, os.environ["VCOND_FUZZ_SEED"]
        self.endless = seconds is not None or inputs is not None
        self.inputs = inputs or 0
        self.until = time.monotonic() + (FUZZ_SECONDS if seconds is None else seconds) / shares
        if inputs is not None and seconds is None:
            self.until = math.inf
        self.told = ""
        """What there was to measure; empty before the first round is over."""

    def rounds(self, most: int, each: int = 1) -> Iterator[random.Random]:
        """At least one of ``each`` inputs, then more until the time or the inputs are used up; else ``most`` at most."""
        done, slowest, slow, settled = 0, 0.0, 0, 0
        begun = time.process_time()
        while not done or (time.monotonic() < self.until and (self.endless or done < most)):
            if self.inputs and done * each >= self.inputs:
                break
            done += 1
            chance = random.Random(f"{self.seed} {self.name} {done}")
            before = time.process_time()
            yield chance
            took = time.process_time() - before
            if took > slowest and done > 1:  # the first one imports
                slowest, slow = took, done
            if done == SETTLED:
                settled = resident()
        grown = resident() - settled if settled else 0
        rate = done * each / max(time.process_time() - begun, 1e-6)
        self.told = (
            f"{done * each:,} inputs, {rate:,.0f} for a second of a processor, "
            f"the slowest {'round' if each > 1 else 'one'} {slowest * 1000:.0f} ms (number {slow})"
            + (f", grown by {grown >> 10:,} kB" if settled else "")
        )
        assert slowest < HANG * each, self.told
        assert grown < GROWTH, self.told

    def examples(self, most: int, test: Callable[[], Any]) -> None:
        """Run a test made with ``hypothesis.given``, without settings of its own, for ``most`` examples in rounds of 20."""
        test = hypothesis.settings(
            max_examples=20, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )(test)
        for chance in self.rounds(-(-most // 20), 20):
            hypothesis.seed(chance.getrandbits(64))(test)()


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Iterator[Fuzz]:
    """The rounds of a test marked ``fuzz``."""
    shares = sum(item.get_closest_marker("fuzz") is not None for item in request.session.items)
    seconds, inputs = os.environ.get("VCOND_FUZZ_SECONDS"), os.environ.get("VCOND_FUZZ_INPUTS")
    made = Fuzz(
        request.node.nodeid,
        None if seconds is None else float(seconds),
        max(shares, 1),
        int(inputs) if inputs else None,
    )
    yield made
    request.node.user_properties.append(("fuzz", made.told))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each fuzz test did, when it was asked for by numbers."""
    if "VCOND_FUZZ_INPUTS" not in os.environ:
        return
    for report in terminalreporter.stats.get("", []):
        for kind, told in report.user_properties if report.when == "teardown" else ():
            if kind == "fuzz":
                terminalreporter.write_line(f"{report.nodeid}: {told}")
