"""The daemon's own loop with an adapter that misbehaves: a process of its own for each, as it leaves by os._exit."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = (Path(__file__).resolve().parents[2] / "data" / "daemon.toml").read_text()
SCRIPT = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from vcond.app import daemon as module, lifecycle, supervisor
from vcond.config import load
from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.journal import Store

mode, file = sys.argv[1], Path(sys.argv[2])
supervisor.RESTART, lifecycle.DETACH_LIMIT, lifecycle.VERDICT = Backoff(0.0, 0.0), 0.5, 3600.0
runs = 0

class Adapter:
    async def run(self, host):
        global runs
        if mode == "says-nothing":
            print("run 1", flush=True)
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        runs += 1
        print("run", runs, flush=True)
        if mode == "cancels-itself" and runs == 1:
            inner = asyncio.ensure_future(asyncio.sleep(9))
            inner.cancel()
            await inner
        host.attached(True)
        if mode == "asks":
            print("stopping", host.stopping, flush=True)
        if mode == "reload-fails":
            await reload_fails()
        while mode == "speech-crashes" and crashes < 2:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            if mode == "asks":
                print("stopping", host.stopping, flush=True)
            if mode == "fails-in-clean-up":
                raise OSError("the PBX is gone")
            while mode.startswith("hangs"):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass

never = threading.Event()

async def reload_fails():
    while not the_daemon.parts.started:
        await asyncio.sleep(0)
    told = []
    told_more = asyncio.Event()
    def send(self, **words):
        told.extend(word for word in words if word in {"RELOADING", "READY"})
        told_more.set()
    lifecycle.Notifier.send = send
    before = the_daemon.parts.registry.config
    for number, why in enumerate((ValueError("a plug-in"), RecursionError(), LookupError()), 1):
        def read(self, why=why):
            if isinstance(why, LookupError):  # a disk that does not answer
                never.wait(60)
            raise why
        lifecycle.Reloader._read_again = read
        lifecycle.RELOAD_LIMIT = 0.01 if isinstance(why, LookupError) else 60.0
        os.kill(os.getpid(), signal.SIGHUP)
        while told.count("READY") < number:
            told_more.clear()
            await told_more.wait()
    never.set()
    print(*told, the_daemon.parts.registry.config is before, flush=True)

class Known(module.Daemon):
    def __init__(self, *given, **more):
        global the_daemon
        the_daemon = self
        super().__init__(*given, **more)
module.Daemon = Known

crashes = 0
if mode == "speech-crashes":
    async def crash(self):
        global crashes
        crashes += 1
        raise ExceptionGroup("listeners", [ZeroDivisionError()])
    from vcond.speech.dispatcher import Speech
    Speech.run = crash

if mode == "told-twice":  # a call that ended does not reach the outbox
    from vcond.publish.finisher import Finisher
    lifecycle.FINISH_LIMIT = 3600.0
    async def idle(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
    Finisher.idle = idle

module.plugins.adapters = lambda config: {"twilio": Adapter()}
if mode == "journal-unreadable":
    def names(self):
        raise StorageError("the journal cannot be read: look at the disk")
    Store.names = names
if mode == "hangs-and-disk":
    async def close(self, **_):
        raise StorageError("the disk did not answer")
    Store.close = close
try:
    module.main(load(file, os.environ))
except BaseException as why:
    print("raised", type(why).__name__, why, flush=True)
print("left", flush=True)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "vcond.toml"
    file.write_text(CONFIG.format(folder=tmp_path, sink="vcons", more=""))
    return file


@pytest.mark.parametrize(
    ("mode", "printed", "code"),
    [
        ("well-behaved", ["run 1"], 0),
        ("asks", ["run 1", "stopping False", "stopping True"], 0),
        ("says-nothing", ["run 1"], 0),  # READY would wait for its word for half a minute
        ("fails-in-clean-up", ["run 1"], 0),  # and is not started again
        ("cancels-itself", ["run 1", "run 2"], 0),  # and is started again
        ("speech-crashes", ["run 1"], 0),  # twice; calls are captured all the same
        ("reload-fails", ["run 1", "RELOADING READY RELOADING READY RELOADING READY True"], 0),
        ("told-twice", ["run 1"], 0),  # and does not wait for calls that ended
        ("hangs", ["run 1"], 0),  # the process leaves without it
        ("hangs-and-disk", ["run 1"], 1),
        ("journal-unreadable", ["raised StorageError the journal cannot be read: look at the disk", "left"], 0),
    ],
)
def test_an_adapter_that_misbehaves_at_a_stop_keeps_nobody(config: Path, mode: str, printed: list[str], code: int):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode, str(config)], check=False, capture_output=True, text=True
    )
    assert (done.stdout.splitlines(), done.returncode) == (printed, code), done.stderr
    if mode.startswith("hangs"):
        assert "did not clean up in time" in done.stderr
