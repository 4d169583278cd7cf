"""The golden vCons of every adapter's scenarios: made again byte for byte, and as the draft wants them.

When a difference is right: ``python tests/golden/make.py`` writes them anew; read it before you commit it.
"""

from __future__ import annotations

import msgspec
import pytest
from golden_all import ADAPTERS
from golden_kit import GOLDEN, made

SCENARIOS = [(adapter, name) for adapter, scripts in ADAPTERS.items() for name in scripts]
KINDS = {
    "asterisk": ("plain", "hold", "dtmf", "blind-transfer", "attended-transfer", "conference", "busy", "no-answer",
                 "cancelled", "loss", "crash"),
    "freeswitch": ("plain", "hold", "dtmf", "blind-transfer", "attended-transfer", "conference", "busy", "no-answer",
                   "cancelled", "loss", "crash"),
    "siprec": ("plain", "hold", "pause", "mixed", "placeholder", "failover"),
    "twilio": ("plain", "dtmf", "loss", "crash"),
    "janus": ("plain", "conference", "loss", "crash"),
    "webrtc": ("plain", "conference", "loss", "crash"),
}  # fmt: skip
"""Twilio streams nothing of a call that is not answered, and tells neither holds nor transfers; browsers have neither."""


def golden(adapter, name):
    return (GOLDEN / adapter / f"{name}.vcon.json").read_bytes()


@pytest.mark.parametrize(("adapter", "name"), SCENARIOS, ids=["/".join(one) for one in SCENARIOS])
def test_it_is_made_again(adapter, name):
    """``made`` looks at the validator's errors, and at the contract of the host."""
    assert made(ADAPTERS[adapter][name]()) == golden(adapter, name), "python tests/golden/make.py; read the difference"


def test_every_scenario_has_its_file_and_every_file_its_scenario():
    files = {(path.parent.name, path.name.removesuffix(".vcon.json")) for path in GOLDEN.glob("*/*.vcon.json")}
    assert files == set(SCENARIOS)
    for adapter, kinds in KINDS.items():
        for kind in kinds:
            assert any(kind in name for one, name in SCENARIOS if one == adapter), (adapter, kind)


def test_they_stay_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize(
    ("name", "disposition"),
    [("asterisk/busy-pbx", "busy"), ("asterisk/busy-phone", "busy"), ("asterisk/no-answer", "no-answer"),
     ("asterisk/cancelled", "hung-up"), ("freeswitch/busy", "busy"), ("freeswitch/no-answer", "no-answer"),
     ("freeswitch/cancelled", "hung-up")],
)  # fmt: skip
def test_an_attempt_says_what_became_of_it(name, disposition):
    (dialog,) = msgspec.json.decode(golden(*name.split("/")))["dialog"]
    assert (dialog["type"], dialog["disposition"]) == ("incomplete", disposition)
    assert "body" not in dialog


@pytest.mark.parametrize(("adapter", "name"), SCENARIOS, ids=["/".join(one) for one in SCENARIOS])
def test_a_gap_is_told_where_there_was_one_and_nowhere_else(adapter, name):
    document = msgspec.json.decode(golden(adapter, name))
    tags = next(one["body"] for one in document["attachments"] if one["purpose"] == "tags")
    gaps = {"asterisk": {"loss", "crash"}, "freeswitch": {"loss", "crash"},
            "twilio": {"loss", "crash", "cut-and-back", "no-audio"},
            "webrtc": {"loss", "crash"}, "janus": {"loss", "crash"}, "siprec": {"placeholder"}}  # fmt: skip
    assert ("vcond_gap:true" in tags) == (name in gaps[adapter])
