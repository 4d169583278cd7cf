"""What is said of an adapter of another package that is none."""

import sys
from importlib.metadata import EntryPoint

import pytest

from vcond.app import installed, plugins
from vcond.base.errors import ConfigError
from vcond.config import Config

HERE = "adapter_plugins_of_a_test"
ADAPTER = """
import msgspec
class Config(msgspec.Struct):
    pass
class AcmeAdapter:
    name, Config = "acme", Config
    def __init__(self, config): pass
    async def run(self, host): pass
"""


@pytest.fixture
def acme(monkeypatch, tmp_path):
    """An adapter from a module that holds what it is given."""
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("acme", f"{HERE}:AcmeAdapter", "vcond.adapters")
    monkeypatch.setattr(installed, "entry_points", lambda *, group: [point])

    def put(module):
        (tmp_path / f"{HERE}.py").write_text(module)
        return plugins.adapters(Config(adapters={"acme": {}}))["acme"]

    yield put
    sys.modules.pop(HERE, None)


def test_one_that_is_whole_is_made(acme):
    assert acme(f"{ADAPTER}    async def check(self): yield").name == "acme"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("", "has no attribute 'AcmeAdapter'"),
        (ADAPTER, "AcmeAdapter has no check)"),
        ("class AcmeAdapter: pass", "has no Config, run, check)"),
        (f"{ADAPTER}    async def check(self): pass", "has a check() that yields nothing"),
    ],
)
def test_one_that_is_none_is_said_with_what_it_lacks(acme, module, words):
    with pytest.raises(ConfigError, match=r"^adapters\.acme: ") as why:
        acme(module)
    assert words in str(why.value)
