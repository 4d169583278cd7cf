from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
SCRIPT = """
import os, sys
from pathlib import Path
from vcond.cli.recover import as_its_owner
folder = Path(sys.argv[1])
as_its_owner(folder)
print(os.getuid(), os.geteuid(), os.getgid())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("owner", "becomes"), [(NOBODY, f"{NOBODY} {NOBODY} {NOBODY}"), (0, "0 0 0")])
def test_root_leaves_nothing_that_the_daemon_cannot_read(tmp_path: Path, owner: int, becomes: str) -> None:
    os.chown(tmp_path, owner, owner)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, capture_output=True, text=True)
    os.chown(tmp_path, 0, 0)
    assert done.stdout.strip() == becomes
