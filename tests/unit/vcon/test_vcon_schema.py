"""A judge that shares no code with us: jsonschema with our own rendering of the draft's rules as a schema."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vcond.call.state import fold
from vcond.vcon import BuildOptions, build, read, serialize, validate


def neighbour(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = neighbour("test_vcon_rules")
JOURNALS = neighbour("test_vcon_properties")

# Errors that a schema cannot see, or that are of extensions whose schema is not rendered.
BEYOND = {
    "index-range", "index-kind", "set-disagrees", "channels", "session-shape", "wtf-times", "wtf-id", "wtf-word",
    "lawful-basis", "critical", "own-uuid", "hash", "base64url", "date",
}  # fmt: skip


@pytest.fixture(scope="session")
def judge(data) -> Draft202012Validator:
    schema = msgspec.json.decode((data / "core-04.schema.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_judge_takes_every_golden_vcon(scenario, data, judge):
    judge.validate(read((data / f"{scenario}.vcon.json").read_bytes()))


def test_the_judge_takes_the_example_and_the_base_of_the_rules(data, judge):
    judge.validate(read((data / "example.vcon.json").read_bytes()))
    judge.validate(RULES.base())


@pytest.mark.parametrize("rule", RULES.RULES, ids=lambda rule: f"{rule.code}-{rule.path}")
def test_the_judge_and_the_validator_agree_on_the_rules(rule, judge):
    """Whatever the judge refuses the validator calls an error, and the other way round as far as a schema can see."""
    for patches in (rule.good, rule.bad):
        document = RULES.base()
        for where, value in patches.items():
            RULES.put(document, where, value)
        ours = {finding.code for finding in validate(document) if finding.level == "error"}
        theirs = [error.message for error in judge.iter_errors(document)]
        if patches is rule.good:
            assert not ours
            assert not theirs
        elif (
            rule.level == "error"
            and not ours <= BEYOND | {"type"}
            and not rule.path.startswith("$.attachments[1].body")
        ):
            assert theirs, f"the judge takes what is {ours}"


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(journal=JOURNALS.journals(), seed=st.integers(0, 3))
def test_the_judge_takes_any_history(journal, seed, judge):
    call = fold(journal)
    audio = {track.index: JOURNALS.np.full(500 * seed, 8, JOURNALS.np.int16) for track in call.tracks}
    limit = 30_000 if JOURNALS.is_long(call) else None
    document = read(serialize(build(call, audio, BuildOptions(inline_limit=limit))))
    problems = [error.message[:200] for error in judge.iter_errors(document)]
    assert problems == []
