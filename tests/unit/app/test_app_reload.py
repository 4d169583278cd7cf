"""What a reload does not take is named, whatever the section; one that comes too early ends nothing."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from vcond.app import lifecycle
from vcond.config.load import Loaded
from vcond.config.schema import Config


@pytest.mark.parametrize("name", [name for name in Config.__struct_fields__ if name != "vcond"])
def test_every_section_that_is_not_taken_is_named(name: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(lifecycle.log, "configure", lambda *_: None)
    parts = SimpleNamespace(registry=SimpleNamespace(config=None))
    old = Config()
    new = msgspec.structs.replace(old)
    msgspec.structs.force_setattr(new, name, object())  # whatever it is, it is another
    reloader = lifecycle.Reloader(Loaded(old), parts, None)
    reloader._apply(Loaded(new))
    assert f"needs_restart=['{name}']" in capsys.readouterr().out


EARLY = """
import os, signal, sys
from pathlib import Path
from vcond.app import daemon
from vcond.config import load

class Starting(daemon.Daemon):
    async def run(self):
        os.kill(os.getpid(), signal.SIGHUP)

daemon.Daemon = Starting
daemon.main(load(Path(sys.argv[1]), {}))
"""


def test_a_reload_that_is_asked_for_before_it_can_be_heeded_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "vcond.toml").write_text("[adapters.twilio]\n")
    (tmp_path / "vcond.toml").chmod(0o600)
    ran = subprocess.run([sys.executable, "-c", EARLY, str(tmp_path / "vcond.toml")], timeout=60, check=False)
    assert ran.returncode == 0
