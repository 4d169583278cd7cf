"""Which tests may be left out, and where: nothing that a package could bring is ever left out in CI."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.testing.needs import needs

TOP = Path(__file__).resolve().parents[3]
MAY_SKIP = {
    "vcond/testing/needs.py": "the one place that decides",
    "vcond/testing/session.py": "what a system cannot do, its rig does not promise",
    "vcond/testing/sinks.py": "what a sink cannot do, its rig does not promise",
    "tests/unit/journal/test_journal_fulldisk.py": "mounting needs rights",
    "tests/unit/delivery/test_delivery_full_disk.py": "mounting needs rights",
    "tests/e2e/daemon/conftest.py": "mounting needs rights",
    "tests/e2e/daemon/test_daemon_seams.py": "mounting needs rights",
    "tests/e2e/webrtc/test_webrtc_network.py": "network namespaces need rights",
    "tests/e2e/deb/test_deb.py": "files of other users need rights",
    "tests/e2e/deb/test_deb_container.py": "a root of one's own needs rights, and one that is a mount",
    "tests/e2e/deb/test_deb_first_vcon.py": "files of other users need rights",
    "tests/unit/base/test_base_journald.py": "mounting needs rights, and a kernel has cgroups or not",
    "tests/unit/house/test_house_install.py": "to install needs rights",
    "tests/unit/cli/test_cli_broken_setups.py": "to become somebody else needs rights",
    "tests/unit/cli/test_cli_check_sinks.py": "to become somebody else needs rights",
    "tests/unit/cli/test_cli_recover.py": "to become somebody else needs rights",
    "tests/unit/cli/test_cli_state_folder.py": "to become somebody else and mounting need rights",
    "tests/unit/media/test_media_rtp_reading.py": "a kernel without IPv6",
    "tests/unit/media/test_media_rtp_socket.py": "a kernel without IPv6",
    "adapters/webrtc/tests/test_webrtc_check.py": "a kernel without PR_SET_MDWE",
}


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip), ("false", pytest.skip), ("true", pytest.fail)])
def test_what_is_missing_is_a_skip_and_in_ci_a_failure(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    needs("here", "unused")
    with pytest.raises(outcome.Exception, match="apt-get install peer"):
        needs(there=False, what="apt-get install peer")


def test_only_rights_and_kernels_are_other_reasons_to_leave_a_test_out():
    skips = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|importorskip|xfail)\b")
    files = [file for folder in ("vcond", "adapters", "tests") for file in TOP.glob(f"{folder}/**/*.py")]
    found = {str(file.relative_to(TOP)) for file in files if skips.search(file.read_text("utf-8"))}
    assert found - {str(Path(__file__).relative_to(TOP))} == MAY_SKIP.keys()


def collected(*options: str) -> set[str]:
    """Names of files with tests, as pytest finds them."""
    command = [sys.executable, "-m", "pytest", "--co", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    return {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}


def test_quick_and_slow_are_everything_and_quick_starts_no_peer():
    adapter = "adapters/webrtc/tests"
    where = (f"{adapter}/test_webrtc_turn.py", f"{adapter}/test_webrtc_limits.py", "tests/unit/house/test_house_tiers.py",
             "tests/e2e/webrtc")  # fmt: skip
    quick, slow = collected("-m", "not slow", *where), collected("-m", "slow", *where)
    assert quick == {*where[1:3]}
    assert slow == {where[0], *(str(file.relative_to(TOP)) for file in TOP.glob(f"{where[3]}/test_*.py"))}
    recipes = re.findall(r"^(\w+):.*\n((?:\t.*\n)+)", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert [name for name, lines in recipes if '-m "not slow"' in lines and name == "quick"] == ["quick"]
    assert re.search(r"^test: peers quick slow$", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert (TOP / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


@pytest.fixture
def house(monkeypatch):
    monkeypatch.setenv("VCOND_FUZZ_SEED", "7")
    spec = importlib.util.spec_from_file_location("house_conftest", TOP / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_fuzz_test_ends_with_its_rounds_or_its_share_of_the_time_and_has_one_round_at_least(house, monkeypatch):
    assert len(list(house.Fuzz("test", None, 1).rounds(5))) == 5
    assert len(list(house.Fuzz("test", 0, 1).rounds(5))) == 1
    passed = itertools.count()
    monkeypatch.setattr(house.time, "monotonic", lambda: next(passed))
    assert len(list(house.Fuzz("test", 40, 4).rounds(5))) == 10, "for longer than its rounds when a time was asked for"


def test_a_seed_gives_the_same_rounds_again_and_each_test_its_own(house):
    def rounds(name: str) -> list[float]:
        return [chance.random() for chance in house.Fuzz(name, None, 1).rounds(3)]

    assert rounds("a") == rounds("a")
    assert len({*rounds("a"), *rounds("b")}) == 6
    seen = []

    @given(st.integers())
    def one(number):
        seen.append(number)

    house.Fuzz("c", None, 1).examples(40, one)
    assert len(seen) == 40
