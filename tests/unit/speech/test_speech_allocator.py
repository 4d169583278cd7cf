"""Workers get jemalloc where the machine has it, glibc with huge pages where not, and nothing where it is not wanted."""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vcond.speech.workers import allocator, ipc
from vcond.testing.needs import needs


@pytest.mark.parametrize("place", allocator.FOLDERS)
def test_jemalloc_is_found_where_distributions_put_it(tmp_path: Path, place: str) -> None:
    assert allocator.jemalloc(tmp_path) == ""
    library = tmp_path / place / "libjemalloc.so.2"
    library.parent.mkdir(parents=True)
    library.touch()
    assert allocator.jemalloc(tmp_path) == str(library)


def test_without_it_glibc_is_tuned_and_system_changes_nothing() -> None:
    assert allocator.environment("auto", "/lib/libjemalloc.so.2")["LD_PRELOAD"] == "/lib/libjemalloc.so.2"
    assert allocator.environment("auto", "") == {"GLIBC_TUNABLES": allocator.TUNED}
    assert allocator.environment("system", "/lib/libjemalloc.so.2") == {}


PROBE = """
import ctypes, json, os, subprocess, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
class Mallinfo(ctypes.Structure):
    _fields_ = [(f"n{i}", ctypes.c_size_t) for i in range(10)]
libc.mallinfo2.restype = Mallinfo
def look():
    for block in [libc.malloc(40) for _ in range(64)]:
        libc.free(block)
    quick = libc.mallinfo2().n6
    kept = [libc.malloc(100_000) for _ in range(100)]
    flags = [part.partition("\\n")[0].split() for part in open("/proc/self/smaps").read().split("VmFlags:")[1:]]
    return {"quick": quick, "huge": any("hg" in each for each in flags), "jemalloc": "jemalloc" in open("/proc/self/maps").read()}
seen = [look()]
if sys.argv[1:] == ["outer"]:
    ours, theirs = os.pipe()
    if not (child := os.fork()):
        os.write(theirs, json.dumps(look()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    seen.append(json.loads(os.read(ours, 1000)))
    seen += json.loads(subprocess.check_output([sys.executable, "-c", sys.orig_argv[2]]))
print(json.dumps(seen))
"""
"""What is in effect in this process, in one that it forks and in one that it starts: glibc's quick lists of small blocks that are
free (bytes), huge pages, jemalloc. The environment in /proc is no witness: glibc 2.36 cuts its own copy there at the first colon."""


def in_effect(wanted: allocator.Allocator) -> list[dict[str, int | bool]]:
    command = [sys.executable, "-c", PROBE, "outer"]
    return json.loads(subprocess.check_output(command, env=ipc.variables(1, wanted)))


def test_what_glibc_is_asked_for_is_in_effect_in_a_worker_and_in_what_it_forks_and_starts(monkeypatch) -> None:
    needs(platform.libc_ver()[0] == "glibc", "this is about glibc, and Python here has another libc")
    monkeypatch.setattr(ipc, "jemalloc", lambda: "")
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    huge = pages.exists() and "[madvise]" in pages.read_text()
    assert in_effect("auto") == [{"quick": 0, "huge": huge, "jemalloc": False}] * 3
    assert all(each["quick"] and not each["jemalloc"] for each in in_effect("system"))


def test_jemalloc_is_in_effect_where_it_is_installed() -> None:
    needs(allocator.jemalloc(), "jemalloc is missing: apt-get install libjemalloc2")
    assert [each["jemalloc"] for each in in_effect("auto")] == [True] * 3


async def test_a_worker_has_the_variables_of_a_worker(monkeypatch) -> None:
    monkeypatch.setenv("LC_TEST", "of the worker")
    monkeypatch.setenv("SECRET_TEST", "of nobody")
    ours, process = await ipc.spawn(1, "system")
    try:
        text = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_text, "utf-8")
    finally:
        await ours.close()
        await process.wait()
    assert dict(pair.split("=", 1) for pair in text.split("\0") if pair) == ipc.variables(1, "system")
    assert "LC_TEST=of the worker" in text.split("\0")
    assert "SECRET_TEST" not in text
