"""The golden vCons of tests/data/vcon: byte for byte what build makes of the journals written by hand."""

from __future__ import annotations

import msgspec

from vcond.call.events import decode, encode
from vcond.call.state import fold
from vcond.vcon import build, read, serialize, validate


def test_the_golden_vcon_is_made_again(scenario, scenarios, data):
    script = scenarios.SCENARIOS[scenario]()
    made = msgspec.json.format(serialize(build(fold(script.events), script.audio)), indent=1) + b"\n"
    golden = (data / f"{scenario}.vcon.json").read_bytes()
    assert made == golden, "vCon changed: python tests/data/vcon/make.py, then read the difference"


def test_a_journal_read_back_gives_the_same_bytes(scenario, scenarios):
    script = scenarios.SCENARIOS[scenario]()
    again = [decode(msgspec.json.decode(msgspec.json.encode(encode(event)))) for event in script.events]
    first = serialize(build(fold(script.events), script.audio))
    assert serialize(build(fold(again), script.audio)) == first


def test_golden_vcons_are_valid_and_survive_reading(scenario, data):
    golden = (data / f"{scenario}.vcon.json").read_bytes()
    document = read(golden)
    findings = validate(document)
    allowed = {"no-content"} if scenario == "no-audio" else set()
    assert {finding.code for finding in findings} <= allowed
    assert read(serialize(document)) == document


def test_the_example_of_the_specification_is_valid(data):
    assert validate(read((data / "example.vcon.json").read_bytes())) == []
