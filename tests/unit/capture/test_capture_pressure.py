"""A machine that runs short: calls that go on are recorded whole, new ones are not, and everybody is told."""

import os
import resource

import pytest
import structlog
from capture_kit import FRAME

from vcond.base import metrics
from vcond.call import events as ev
from vcond.capture.no_journal import NoJournal
from vcond.capture.resources import Used, memory_left, open_files
from vcond.config import DaemonConfig
from vcond.sdk.contract import ArrivalClock, Codec

MB = 1_000_000


def talking(house, key="k"):
    call = house.host.call(key, at=house.now(0))
    party = call.party("a", at=house.at(0))
    return call, call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())


def speak(house, track, begin, seconds):
    for frame in range(round(50 * seconds)):
        track.write(FRAME, arrived=house.now(begin + 0.02 * (frame + 1)))


def level(what: str) -> float:
    return metrics.pressure.labels(what)._value.get()


def refused(what: str) -> float:
    return metrics.dropped_total.labels("call", what)._value.get()


async def test_short_of_memory_words_go_then_texts_then_new_calls_and_all_comes_back(house):
    call, track = talking(house)
    for second, left in enumerate((140, 90, 50), 1):
        house.memory = left * MB
        house.registry.tick(house.now(second))
    assert house.speech.best == ["finals", "deferred"]
    assert level("memory") == 3
    before = refused("memory")
    with structlog.testing.capture_logs() as said:
        lost = house.host.call("new", at=house.now(4))
    assert isinstance(lost.journal, NoJournal)
    assert lost.not_recorded == "memory: 50 MB left, 60 wanted"
    assert refused("memory") == before + 1
    assert [(line["event"], line["log_level"]) for line in said if "not recorded" in line["event"]] == [
        ("call not recorded", "error")
    ]
    assert "MemoryMax" in next(line["hint"] for line in said if "hint" in line)
    speak(house, track, 4, 1)
    house.memory = 10**12
    for second in (6, 16):
        house.registry.tick(house.now(second))
    assert house.speech.best == ["finals", "deferred", "live"]
    assert not house.registry.pressure.trouble
    assert not house.host.call("newer", at=house.now(16)).not_recorded
    call.end(at=house.now(17))
    assert call.state.tracks[0].spans.total(ev.SpanKind.RECEIVED) == 8000


async def test_open_files_are_counted_before_each_new_call(house):
    talking(house)
    house.registry.tick(house.now(1))
    house.files = Used(801, 1000)
    assert house.host.call("new", at=house.now(1)).not_recorded == "files: 801 of 1000 open files in use"
    assert house.speech.best == [], "texts give no file back"


async def test_so_many_calls_are_recorded_and_the_next_when_one_has_ended(house):
    house.registry.config = DaemonConfig(state_dir=house.config.state_dir, max_calls=2)
    calls = [talking(house, key)[0] for key in "abc"]
    assert [call.not_recorded for call in calls] == ["", "", "calls: 2 of 2 calls (vcond.max_calls)"]
    calls[0].end(at=house.now(1))
    assert not house.host.call("d", at=house.now(1)).not_recorded
    assert house.host.call("c", at=house.now(1)) is calls[2], "what is not recorded stays so to its end"


async def test_a_call_that_goes_on_after_a_restart_is_never_refused(house):
    call, _ = talking(house)
    await call.journal.flush()
    house.registry.interrupt_all("stop")
    await house.store.close()
    house.open()
    for journal in house.store.recover():
        house.registry.recovery.take_back(journal, house.clock.now())
    house.files = Used(1000, 1000)
    house.registry.tick(house.now(1))
    assert not house.host.call("k", at=house.now(1)).not_recorded


async def test_changes_are_told_once_and_the_status_shows_all(house):
    with structlog.testing.capture_logs() as said:
        house.memory = 90 * MB
        for second in range(1, 60):
            house.registry.tick(house.now(second))
    assert [line["event"] for line in said] == ["running short: calls are transcribed later"]
    shown = house.registry.pressure.status()
    assert set(shown) == {"disk", "memory", "files", "calls"}
    assert shown["memory"]["gives_up"] == "texts"
    assert shown["memory"]["hint"]
    assert shown["disk"] == {
        "gives_up": "nothing",
        "detail": "1000000 MB free, 500 wanted (vcond.min_free_mb)",
        "hint": "",
    }


def test_open_files_are_as_the_kernel_counts_them():
    before = open_files()
    read, write = os.pipe()
    after = open_files()
    os.close(read)
    os.close(write)
    assert after.used == before.used + 2
    assert after.limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


MEMINFO = "MemTotal:  16000000 kB\nMemFree:  100000 kB\nMemAvailable:  2000000 kB\n"
STAT = "anon 700\nactive_file 30\ninactive_file 20\n"


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"/proc/meminfo": MEMINFO}, 2_048_000_000),
        ({"/proc/meminfo": "MemTotal: 1 kB\n"}, None),
        ({}, None),
        ({"/proc/meminfo": MEMINFO, "/proc/self/cgroup": "1:cpu:/x\n0::/a/b\n", "max": "max", "high": "max"}, 2_048_000_000),
        ({"/proc/meminfo": MEMINFO, "/proc/self/cgroup": "0::/a/b\n", "max": "1000", "high": "max"}, 150),
        ({"/proc/meminfo": MEMINFO, "/proc/self/cgroup": "0::/a/b\n", "max": "1000", "high": "950"}, 100),
        ({"/proc/meminfo": MEMINFO, "/proc/self/cgroup": "0::/a/b\n", "max": "what", "high": "950"}, 2_048_000_000),
    ],
)  # fmt: skip
def test_memory_is_what_the_machine_and_the_service_can_still_give(files: dict[str, str], left: int | None):
    def read(path: str) -> str:
        group = {
            "memory.max": files.get("max"),
            "memory.high": files.get("high"),
            "memory.stat": STAT,
            "memory.current": "900\n",
        }
        name = path.rpartition("/")[2]
        found = group[name] if path.startswith("/sys/fs/cgroup/a/") and name in group else files.get(path)
        if found is None:
            raise FileNotFoundError(path)
        return found

    assert memory_left(read) == left


def test_of_this_machine_something_is_left():
    assert memory_left() > 0
