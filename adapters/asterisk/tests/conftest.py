"""The fake Asterisk, loaded by path because test folders are no packages, and what tests of parts share."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from vcond.testing.desk import MemoryDesk
from vcond.testing.time import ManualClock

HERE = Path(__file__).resolve().parent


def _load(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


fake_ari = _load("vcond_test_fake_ari", HERE / "fake_ari.py")


class NoTaps:
    """Notes who is listened to, and listens to nobody."""

    def __init__(self):
        self.on = {}
        self.stopped = []

    def start(self, leg):
        self.on.setdefault(leg.channel, leg)

    def stop(self, leg, at):
        if self.on.pop(leg.channel, None):
            self.stopped.append(leg.channel)

    def own(self, name):
        return name.startswith(("vcond.", "s3993", "e3993", "b3993", "s39946", "e39946", "b39946"))

    def last_heard(self, leg):
        return None


@pytest.fixture
def data():
    return HERE / "data"


@pytest.fixture
def capture(data):
    """The events of a captured call."""

    def read(name):
        return [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def taps():
    return NoTaps()


@pytest.fixture
def desk():
    return MemoryDesk("asterisk", clock=ManualClock())


@pytest.fixture
def make_fake():
    return fake_ari.FakeAsterisk


@pytest.fixture
def login():
    return {"user": fake_ari.USER, "password": fake_ari.PASSWORD}
