"""The real Asterisk of ``tests/peers/asterisk`` and what drives it, by path: test folders are no packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "peers" / "asterisk"


def _load(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


peer = _load("vcond_test_asterisk_peer", PEERS / "peer.py")
farm = _load("vcond_test_asterisk_farm", PEERS / "farm.py")
proxy = _load("vcond_test_asterisk_proxy", PEERS / "proxy.py")
house = _load("vcond_test_asterisk_house", HERE / "asterisk" / "house.py")
