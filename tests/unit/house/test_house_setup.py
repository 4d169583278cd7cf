"""``tools/setup.sh``: what it does to the machine, it takes back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[3] / "tools" / "setup.sh"


@pytest.mark.parametrize("broken_off", [False, True])
def test_the_policy_against_starting_services_is_gone_at_the_end(tmp_path: Path, *, broken_off: bool) -> None:
    policy = tmp_path / "policy-rc.d"
    found = re.search(r"^unstarted\(\).*?^[)}]$", SETUP.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    function = found[0].replace("/usr/sbin/policy-rc.d", str(policy))
    then = "exec sleep 60" if broken_off else "exit 3"
    script = f"set -eu\n{function}\nunstarted sh -c 'ls {policy}; {then}'\n"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline().strip() == str(policy)
        if broken_off:
            os.killpg(shell.pid, signal.SIGTERM)
        assert not shell.stdout.read()  # until all of it has ended
        assert shell.wait(30) == (-signal.SIGTERM if broken_off else 3)
    assert not policy.exists()
