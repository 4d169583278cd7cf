"""A disk that is really full: a small tmpfs where the test may mount one, a limit on file sizes everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vcond.base.errors import StorageError
from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.journal import Store, read_folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=512k", "vcond-test", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_keeps_every_event_and_heals(small_disk, call):
    store = Store(small_disk / "j")
    journal = store.open(call())
    await journal.flush()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="space"):
        ballast.write_bytes(b"x" * 1_000_000)
    for i in range(500):
        journal.append(ev.Tagged(at=Instant(i), name=f"name-{i}", value="v" * 50))
        journal.write("0.pcm", 160 * i, np.full(160, i, np.int16))
    late = store.open(call(2))
    for stuck in (journal, late):
        with pytest.raises(StorageError, match="full: free space"):
            await stuck.flush()
    assert "full" in store.trouble
    assert (journal.read("0.pcm", 0, 80_000) == np.repeat(np.arange(500), 160)).all()
    got, _ = read_folder(journal.folder)
    assert got == journal.events[: len(got)]
    assert len(got) < 501
    ballast.unlink()
    await journal.flush()
    await late.flush()
    assert read_folder(journal.folder) == (journal.events, "")
    assert (np.fromfile(journal.folder / "0.pcm", "<i2") == np.repeat(np.arange(500), 160)).all()
    assert store.trouble == ""
    await store.close()


async def test_removing_a_call_makes_room_on_a_full_disk(small_disk, call):
    store = Store(small_disk / "j")
    done, live = store.open(call(1)), store.open(call(2))
    await live.flush()
    while True:
        done.write("0.pcm", done.length("0.pcm"), np.ones(8000, np.int16))
        try:
            await done.flush()
        except StorageError:
            break
    live.append(ev.Tagged(at=Instant(1), name="n", value="v" * 100_000))
    with pytest.raises(StorageError):
        await live.flush()
    done.remove()
    while True:
        try:
            await live.flush()
        except StorageError:
            continue
        break
    assert read_folder(live.folder) == (live.events, "")
    assert not done.folder.exists()
    await store.close()


CHILD = """
import asyncio, pathlib, resource, sys
import numpy as np
from vcond.call import events as ev
from vcond.journal import Store

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    store = Store(pathlib.Path(sys.argv[1]))
    journal = store.open(ev.CallOpened(at=1, call=sys.argv[2], adapter="a", key="k"))
    lost = []
    journal.on_lost = lambda *what: lost.append(what)
    for i in range(10):
        journal.write("0.pcm", i * 8000, np.ones(8000, np.int16))
        journal.append(ev.Tagged(at=i, name="n"))
        await journal.flush()
    print(lost[0][1], lost[-1][2], store.trouble or "fine", flush=True)
    await store.close()

asyncio.run(main())
"""


def test_a_limit_on_file_sizes_costs_audio_beyond_it_and_nothing_else(tmp_path, call):
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "j"), call().call], capture_output=True, text=True, check=True
    )
    assert child.stdout.split()[-3:] == ["48000", "80000", "fine"]
    folder = tmp_path / "j" / call().call
    events, damage = read_folder(folder)
    assert (len(events), damage) == (11, "")
    assert (np.fromfile(folder / "0.pcm", "<i2")[:48000] == 1).all()
