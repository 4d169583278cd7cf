"""Workers get jemalloc where the machine has it, glibc with huge pages where not, and nothing where it is not wanted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vcond.speech import allocator, ends


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


async def variables(wanted: allocator.Allocator) -> dict[str, str]:
    """The environment of a worker's process."""
    ours, process = await ends.spawn(1, wanted)
    try:
        text = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_text, "utf-8")
    finally:
        await ours.close()
        await process.wait()
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("\0"))}


async def test_a_worker_is_started_with_it_or_without() -> None:
    wanted = allocator.environment("auto", allocator.jemalloc())
    assert wanted.items() <= (await variables("auto")).items()
    assert not {"LD_PRELOAD", "MALLOC_CONF", "GLIBC_TUNABLES"} & (await variables("system")).keys()
