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


def test_all_that_is_missing_is_installed_at_once(tmp_path: Path) -> None:
    found = re.search(r"^missing=\n.*?^installed\(\).*?^}$", SETUP.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "apt-get").write_text('#!/bin/sh\necho "$@" >>asked\n')
    (tmp_path / "apt-get").chmod(0o755)
    script = f"""set -eu
PATH={tmp_path}:$PATH
say() {{ :; }}; id() {{ echo 0; }}; unstarted() {{ "$@"; }}
{found[0]}
need true here; need false one; need "test -e /none" two "three*"; installed; installed
"""
    subprocess.run(["sh", "-c", script], check=True, cwd=tmp_path)
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-qq update", "-qq -y --no-install-recommends install one two three*"
    ]  # fmt: skip
