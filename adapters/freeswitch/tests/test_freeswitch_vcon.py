"""Captures as vCons: the golden files, byte for byte, and those with recorded audio, valid.

When a difference is right: ``python adapters/freeswitch/tests/test_freeswitch_vcon.py`` writes them anew; read it.
"""

from __future__ import annotations

import msgspec
import pytest
from fskit import DATA, drive

from vcond.vcon import build, serialize, validate

GOLDEN = DATA / "golden"
NAMES = (
    "basic.json", "hold_unhold.plain", "dtmf.json", "blind_transfer_by_callee.json", "blind_transfer_by_caller.plain",
    "attended_transfer.json", "uuid_transfer_api.json", "queue_callcenter.plain", "conference.json", "busy.json",
    "no_answer_timeout.json", "cancelled_by_caller.plain", "echo_single_leg.plain", "callerid_latin1.json",
    "proto_shutdown_midcall",
)  # fmt: skip


def made(name: str) -> bytes:
    return msgspec.json.format(serialize(build(drive(name).call.state, {})), indent=1) + b"\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_vcon_is_made_again(name):
    assert made(name) == (GOLDEN / f"{name}.vcon.json").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid(name):
    found = validate(build(drive(name).call.state, {}))
    allowed = {"no-content"}  # without audio
    if name.startswith("uuid_transfer"):
        allowed.add("missing-should")  # no party transferred it: the switch was told to
    assert {finding.code for finding in found} <= allowed
    assert {finding.level for finding in found} <= {"warning"}


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for one in NAMES:
        (GOLDEN / f"{one}.vcon.json").write_bytes(made(one))
