import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vcond.base.systemd import Notifier
from vcond.base.time import SECOND, Instant
from vcond.capture.clock import SteadyClock, since_boot
from vcond.capture.live_feed import MAX_WAITING, CaptionEvent, LiveFeed
from vcond.testing.time import NOON, ManualClock


def test_a_step_of_the_wall_clock_moves_nothing_until_it_is_taken_over():
    wall, monotonic = [1_000 * SECOND], [50 * SECOND]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    monotonic[0] += SECOND
    wall[0] += 3601 * SECOND
    assert clock.now() == 1_001 * SECOND
    assert clock.off() == 3600 * SECOND
    clock.anchor()
    assert clock.now() == 4_601 * SECOND
    assert clock.off() == 0


def test_time_in_suspend_counts(monkeypatch):
    asked = []
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: asked.append(which) or 7)
    assert since_boot()() == 7
    assert set(asked) == {time.CLOCK_BOOTTIME}
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert since_boot()() > 0


def test_a_clock_of_another_speed_is_right_at_first():
    passed = ManualClock(Instant(7 * SECOND))
    clock = SteadyClock.of_speed(1000, lambda: NOON, passed.now)
    assert clock.now() == NOON
    passed.advance(100_000)
    assert clock.now() == NOON + 100_000_000
    assert clock.off() == 0
    assert SteadyClock.of_speed(1, lambda: NOON, passed.now).now() == NOON


async def test_a_slow_watcher_loses_its_oldest_lines_and_nobody_waits():
    bus = LiveFeed()
    with bus.watch() as slow:
        for i in range(MAX_WAITING + 5):
            bus.publish(CaptionEvent("u", "final", str(i)))
        bus.close()
        texts = [line.text async for line in slow]
    assert len(texts) == MAX_WAITING - 1
    assert texts[-1] == str(MAX_WAITING + 4)
    assert not bus.watched()


async def test_watching_a_closed_bus_ends_at_once():
    bus = LiveFeed()
    bus.close()
    with bus.watch() as lines:
        assert [line async for line in lines] == []


def test_systemd_is_told_in_one_datagram(tmp_path: Path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
        assert notifier.watchdog == 30.0
        notifier.send(READY="1", STATUS="2 calls")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=2 calls"
    notifier.send(STOPPING="1")  # systemd is gone: no error
    notifier.close()


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    notifier.send(READY="1")
    assert notifier.watchdog == 0
    notifier.close()


PASSED = """
import os, socket, sys
from vcond.base.systemd import passed_socket
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.environ |= {"LISTEN_PID": str(os.getpid() + int(sys.argv[4])), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
found = passed_socket(sys.argv[3])
print(found and found.fileno(), [name for name in os.environ if name.startswith("LISTEN_")])
print(*(os.path.exists(f"/proc/self/fd/{number}") for number in (3, 4)), found is None or os.get_inheritable(4))
"""


@pytest.mark.parametrize(
    ("path", "other", "printed"),
    [
        ("admin", 0, "4 []\nTrue True False\n"),
        ("elsewhere", 0, "None []\nTrue False True\n"),  # admin_socket and the socket unit differ
        ("admin", 1, "None []\nTrue True True\n"),  # handed to another process
    ],
)
def test_the_socket_that_systemd_passes_is_known_by_its_path(tmp_path: Path, path, other, printed):
    with socket.socket(socket.AF_UNIX) as admin, (tmp_path / "no socket").open("w+") as file:
        admin.bind(str(tmp_path / "admin"))
        given = (file.fileno(), admin.fileno())
        command = [sys.executable, "-c", PASSED, *map(str, given), str(tmp_path / path), str(other)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, pass_fds=given)
    assert done.stdout == printed
