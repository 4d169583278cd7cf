from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[2] / "data" / "vcon"


def _scenarios() -> ModuleType:
    name = "vcon_scenarios"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DATA / "scenarios.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def scenarios() -> ModuleType:
    """The calls written by hand, tests/data/vcon/scenarios.py."""
    return _scenarios()


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", sorted(_scenarios().SCENARIOS))
