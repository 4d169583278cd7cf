from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from vcond.base.errors import OperatorError, StorageError
from vcond.journal import lock


def test_a_second_holder_is_told_who_the_first_is_and_what_to_do(tmp_path):
    first = lock.acquire(tmp_path)
    with pytest.raises(OperatorError, match=rf"process {os.getpid()}\): stop that one, or set another state_dir"):
        lock.acquire(tmp_path)
    os.close(first)
    os.close(lock.acquire(tmp_path))
    assert stat.S_IMODE((tmp_path / lock.LOCK).stat().st_mode) == 0o600


def test_another_process_holds_it_until_it_is_dead(tmp_path):
    code = (
        "import sys, pathlib; from vcond.journal import lock; "
        "fd = lock.acquire(pathlib.Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(StorageError, match=f"process {child.pid}"):
            lock.acquire(tmp_path)
        child.kill()
        child.wait()
        os.close(lock.acquire(tmp_path))


def test_a_folder_that_cannot_be_used_is_the_operators_to_mend(tmp_path):
    with pytest.raises(StorageError, match="another program removed"):
        lock.acquire(tmp_path / "nowhere")
    (tmp_path / lock.LOCK).symlink_to("/dev/null")
    with pytest.raises(StorageError):
        lock.acquire(tmp_path)
