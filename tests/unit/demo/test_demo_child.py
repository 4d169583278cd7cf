from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from vcond.demo import child
from vcond.demo.errors import DemoError

NOTIFY = """
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def notify(text): s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
"""


def script(*lines: str) -> tuple[str, ...]:
    return (sys.executable, "-c", NOTIFY + "\n".join(lines))


def paths(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "vcond.toml", folder / "log", folder / "notify"


async def ended(pidfd: int) -> None:
    """Wait for a process that is not our child; pytest's time-out is the limit."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, over.set)
    await over.wait()
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


async def test_ready_is_heard_among_other_notes_and_the_child_is_ended(tmp_path: Path) -> None:
    command = script("notify('STATUS=starting')", "notify('READY=1\\nSTATUS=0 calls')", "import signal; signal.pause()")
    async with child.daemon(*paths(tmp_path), command) as daemon:
        await daemon.ready()
        assert daemon.alive
        await daemon.check()
    assert not daemon.alive


async def test_a_status_that_talks_of_ready_is_not_it(tmp_path: Path) -> None:
    command = script("notify('STATUS=not yet READY=1')", "import signal; signal.pause()")
    async with child.daemon(*paths(tmp_path), command) as daemon:
        with pytest.raises(DemoError, match=r"not ready within 0\.3 s"):
            await daemon.ready(0.3)


async def test_a_daemon_that_does_not_start_says_so_and_its_words_are_in_the_log(tmp_path: Path) -> None:
    async with child.daemon(*paths(tmp_path), script("import sys; sys.exit('no such key')")) as daemon:
        with pytest.raises(DemoError, match=r"did not start \(exit code 1\)"):
            await daemon.ready()
    assert child.tail(tmp_path / "log") == ["no such key"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


async def test_a_daemon_that_is_killed_is_noticed(tmp_path: Path) -> None:
    command = script("notify('READY=1')", "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    async with child.daemon(*paths(tmp_path), command) as daemon:
        with pytest.raises(DemoError, match=r"stopped too early \(killed by SIGKILL\)"):
            await daemon.check(patience=30)


async def test_one_that_ignores_sigterm_is_killed_with_its_workers(tmp_path: Path) -> None:
    command = script(
        "import signal, subprocess, sys",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "worker = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])",
        "print(worker.pid, flush=True)",
        "notify('READY=1')",
        "signal.pause()",
    )
    async with child.daemon(*paths(tmp_path), command) as daemon:
        await daemon.ready()
        worker = os.pidfd_open(int((tmp_path / "log").read_text()))
        await daemon.stop(0.2)
        assert not daemon.alive
    await ended(worker)


async def test_it_is_ended_also_when_the_demo_is_cancelled(tmp_path: Path) -> None:
    started: asyncio.Future[child.Child] = asyncio.get_running_loop().create_future()

    async def demo() -> None:
        async with child.daemon(*paths(tmp_path), script("notify('READY=1')", "import signal; signal.pause()")) as it:
            await it.ready()
            started.set_result(it)
            await asyncio.Event().wait()

    task = asyncio.create_task(demo())
    daemon = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not daemon.alive


async def test_it_is_ended_also_when_the_demo_is_killed(tmp_path: Path) -> None:
    daemon = script("import signal", "print(os.getpid(), flush=True)", "notify('READY=1')", "signal.pause()")
    demo = f"""
import asyncio, os, signal
from pathlib import Path
from vcond.demo import child

async def demo():
    async with child.daemon(*map(Path, {[str(path) for path in paths(tmp_path)]!r}), {daemon!r}) as it:
        await it.ready()
        print((Path({str(tmp_path)!r}) / "log").read_text(), flush=True)
        signal.pause()

asyncio.run(demo())
"""
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", demo, stdout=asyncio.subprocess.PIPE)
    pidfd = os.pidfd_open(int(await running.stdout.readline()))
    running.kill()
    await running.communicate()  # the pipe is closed too
    await ended(pidfd)


async def test_it_gets_the_configuration_and_is_out_of_reach_of_ctrl_c(tmp_path: Path) -> None:
    command = script("import sys; print(sys.argv[1]); print(os.getsid(0) == os.getpid())")
    async with child.daemon(*paths(tmp_path), command) as daemon:
        with pytest.raises(DemoError):
            await daemon.check(patience=30)
    assert child.tail(tmp_path / "log") == [str(tmp_path / "vcond.toml"), "True"]


def test_environment_keeps_what_is_the_users_and_drops_what_would_configure_the_daemon() -> None:
    inherited = {"PATH": "/bin", "VCOND_WEB__LISTEN": "0.0.0.0:1", "WATCHDOG_USEC": "1", "VOSK_MODEL_PATH": "/m"}
    made = child.environment(inherited, Path("/run/x/notify"))
    assert made == {"PATH": "/bin", "VOSK_MODEL_PATH": "/m", "NOTIFY_SOCKET": "/run/x/notify"}


def test_tail_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert child.tail(log) == []
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(100)) + b"x" * 5000 + b"\xff\n")
    lines = child.tail(log)
    assert len(lines) == child.TAIL
    assert lines[0] == "line 86"
    assert len(lines[-1]) == child.MAX_LINE


def test_the_signal_of_a_killed_child_is_named() -> None:
    assert child._exit(-signal.SIGSEGV) == "killed by SIGSEGV"
