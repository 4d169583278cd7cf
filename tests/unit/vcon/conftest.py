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


def neighbour(name: str) -> ModuleType:
    """A module of this folder; test folders are no packages."""
    full = f"vcon_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def pki():
    """Authorities, signers and receivers, made once."""
    return neighbour("pki").Pki()


@pytest.fixture(scope="session")
def certify():
    """The maker of further certificates, ``pki.entity``."""
    return neighbour("pki").entity


@pytest.fixture(scope="session")
def at():
    """The moment at which the certificates of ``pki`` are valid."""
    return neighbour("pki").AT
