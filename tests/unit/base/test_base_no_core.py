"""No core file of a process, nor of what it forks, and what it may still do."""

import subprocess
import sys

SCRIPT = """
import ctypes, os, resource, sys
from pathlib import Path
from vcond.base.no_core import no_core_files
prctl = ctypes.CDLL(None).prctl
before = prctl(3)
no_core_files()
if not os.fork():
    sys.exit(prctl(3) or any(resource.getrlimit(resource.RLIMIT_CORE)))
forked = os.waitpid(-1, 0)[1]
if os.geteuid() == 0:  # as the daemon, which is nobody's superuser
    os.setresuid(65534, 65534, 65534)
Path("/proc/self/statm").read_bytes()
print(before, prctl(3), resource.getrlimit(resource.RLIMIT_CORE), forked, len(os.listdir("/proc/self/fd")) > 2)
"""


def test_neither_it_nor_what_it_forks_leaves_one_and_it_may_look_at_itself():
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1 0 (0, 0) 0 True\n", "")
