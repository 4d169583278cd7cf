"""What a daemon that starts spares every later search for garbage, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONFIG = (Path(__file__).resolve().parents[2] / "data" / "daemon.toml").read_text()
DAEMON = """
import gc, json, os, signal, sys, weakref
from pathlib import Path
from vcond.app import plugins
from vcond.app.daemon import main
from vcond.app.old_journals import OldJournals
from vcond.config import load


class Circle:
    def __init__(self):
        self.itself = self


told = {}
real = OldJournals.take_back


async def take_back(*given):
    told["before_calls"] = gc.get_freeze_count()
    return await real(*given)


class Adapter:
    async def run(self, host):
        told["adapter_is_spared"] = not any(one is self for one in gc.get_objects())
        later = Circle()
        told["later_is_looked_at"] = any(one is later for one in gc.get_objects())
        seen, later = weakref.ref(later), None
        gc.collect()
        told["later_is_collected"] = seen() is None
        print(json.dumps(told), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


OldJournals.take_back = take_back
plugins.adapters = lambda _: {"twilio": Adapter()}
main(load(Path(sys.argv[1]), os.environ))
"""


def test_what_a_daemon_is_made_of_is_not_looked_at_for_garbage_and_what_comes_later_is(tmp_path: Path):
    config = tmp_path / "vcond.toml"
    config.write_text(CONFIG.format(folder=tmp_path, more="", sink="vcons"))
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(config)], check=False, capture_output=True, text=True, timeout=120
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("before_calls") > 10_000, done.stderr
    assert told == {"adapter_is_spared": True, "later_is_looked_at": True, "later_is_collected": True}
