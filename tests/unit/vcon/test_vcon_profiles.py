from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest

from vcond.base.errors import ConfigError, OperatorError
from vcond.call.state import fold
from vcond.vcon import BuildOptions, Profile, build, fit, preflight, read, serialize, validate
from vcond.vcon.profiles import CONSERVER_LIMIT


def neighbour(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = neighbour("test_vcon_rules")


@pytest.mark.parametrize("profile", list(Profile))
def test_what_we_build_fits_everywhere_as_it_is(scenario, data, profile):
    document = read((data / f"{scenario}.vcon.json").read_bytes())
    made = fit(document, profile)
    for before, after in zip(document.get("analysis", []), made.get("analysis", []), strict=True):
        if profile is Profile.CONSERVER and "recording_set" in document["dialog"][before["dialog"]]:
            before["body"].pop("paragraphs")  # see the next test
        assert after == before
    assert serialize(made) == serialize(document)


def test_a_call_with_a_file_a_party_is_put_to_a_language_model_once(data):
    """Links take each analysis of type ``transcript`` that has ``body.paragraphs.transcript``."""
    document = read((data / "conference.vcon.json").read_bytes())
    made = fit(document, Profile.CONSERVER)

    def read_by_links(vcon):
        found = [one for one in vcon["analysis"] if one["type"] == "transcript"]
        return [one["dialog"] for one in found if one["body"].get("paragraphs", {}).get("transcript")]

    assert len(read_by_links(document)) > 1
    assert read_by_links(made) == [0]
    assert [one["dialog"] for one in made["analysis"]] == [one["dialog"] for one in document["analysis"]]
    assert all("words" in one["body"] for one in made["analysis"] if one["type"] == "transcript")
    assert preflight(document) == []


@pytest.mark.parametrize("rule", RULES.RULES, ids=lambda rule: f"{rule.code}-{rule.path}")
def test_whatever_is_wrong_with_it_the_conserver_takes_what_was_fitted(rule):
    document = RULES.base()
    for where, value in rule.bad.items():
        RULES.put(document, where, value)
    before = copy.deepcopy(document)
    left = {finding.path for finding in preflight(fit(document, Profile.CONSERVER))}
    assert left <= {"$.uuid", "$.created_at"}
    assert document == before


def test_fitting_a_valid_document_keeps_it_valid():
    document = RULES.base()
    document["parties"][0]["tel"] = "tel:+15551230001"
    document["parties"][1] = {"tel": "1001"}
    document["dialog"][5]["parties"] = 0
    document["redacted"] = {"type": "x"}
    made = fit(document, Profile.CONSERVER, domain="pbx.example.com")
    assert made["parties"][0]["tel"] == "+15551230001"
    assert made["parties"][1] == {"sip": "1001@pbx.example.com"}
    assert made["dialog"][5]["parties"] == [0]
    assert [one for one in validate(made) if one.level == "error"] == []
    assert preflight(made) == []


def test_nested_and_unused_channels_are_flattened():
    document = RULES.base()
    document["dialog"][6]["parties"] = [0, [1, 0], None]
    document["dialog"][6]["session_id"] = [{}, {}, {}]
    made = fit(document, Profile.CONSERVER)
    assert made["dialog"][6]["parties"] == [0, 1]
    assert "session_id" not in made["dialog"][6]


def test_nulls_and_reserved_words_go():
    document = {"vcon": None, "uuid": "x", "redacted": None, "group": [], "parties": [{"tel": None}], "dialog": []}
    made = fit(document, Profile.CONSERVER)
    assert made == {"vcon": "0.4.0", "uuid": "x", "parties": [{}]}
    assert fit(document, Profile.CORE_04) == {"uuid": "x", "group": [], "parties": [{}]}


def test_a_null_that_is_content_stays():
    item = {"purpose": "x", "encoding": "json", "body": None, "filename": None}
    assert fit({"attachments": [item]}, Profile.CORE_04)["attachments"] == [
        {"purpose": "x", "encoding": "json", "body": None}
    ]


def test_tags_become_what_the_conserver_appends_to():
    document = {"attachments": [{"purpose": "tags", "body": {"a": "b"}}]}
    assert fit(document, Profile.CONSERVER)["attachments"][0]["body"] == ["a:b"]


def test_an_analysis_always_names_a_dialog():
    document = RULES.base()
    del document["analysis"][1]["dialog"]
    assert preflight(document)
    assert fit(document, Profile.CONSERVER)["analysis"][1]["dialog"] == 0


def test_too_large_leaves_the_largest_recording_at_the_edge(scenarios):
    script = scenarios.plain()
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=None))
    document["dialog"].append({**document["dialog"][0], "body": "A" * CONSERVER_LIMIT})
    made = fit(document, Profile.CONSERVER)
    assert len(serialize(made)) <= CONSERVER_LIMIT
    assert "body" in made["dialog"][0]
    assert {"body", "encoding", "mediatype"}.isdisjoint(made["dialog"][1])
    assert "vcond_audio:edge" in made["attachments"][0]["body"]
    assert "vcond_audio:edge" not in document["attachments"][0]["body"]
    assert preflight(made) == []


@pytest.mark.parametrize("sealed", [{"payload": "x", "signatures": []}, {"ciphertext": "x", "recipients": []}])
def test_a_sealed_vcon_is_not_for_the_conserver(sealed):
    with pytest.raises(ConfigError) as caught:
        fit(sealed, Profile.CONSERVER)
    assert isinstance(caught.value, OperatorError)
    assert fit(sealed, Profile.CORE_04) is sealed


def test_preflight_sees_what_fit_mends():
    wrong = {
        "uuid": "x", "created_at": "x", "redacted": 1, "parties": {}, "group": {},
        "dialog": ["x", {"parties": [0], "duration": "1", "url": "x"}], "analysis": [{}],
    }  # fmt: skip
    paths = {finding.path for finding in preflight(wrong)}
    assert paths == {
        "$.vcon", "$.uuid", "$.created_at", "$.redacted", "$.parties", "$.group", "$.dialog[0]", "$.dialog[1].parties",
        "$.dialog[1].duration", "$.dialog[1].url", "$.analysis[0].dialog",
    }  # fmt: skip
    assert {finding.path for finding in preflight(fit(wrong, Profile.CONSERVER))} == {"$.uuid", "$.created_at"}


def test_the_limit_is_the_receivers(scenarios):
    script = scenarios.plain()
    document = build(fold(script.events), script.audio, BuildOptions(inline_limit=None))
    size = len(serialize(document))
    assert "body" in fit(document, Profile.CONSERVER, limit=size + 1000)["dialog"][0]
    assert "body" not in fit(document, Profile.CONSERVER, limit=size - 1000)["dialog"][0]
    document["dialog"].append({**document["dialog"][0], "body": "A" * CONSERVER_LIMIT})
    assert "body" in fit(document, Profile.CONSERVER, limit=50_000_000)["dialog"][1]


@pytest.mark.parametrize(
    ("member", "value", "stays"),
    [
        ("alg", "sha-512", False),
        ("alg", "SHA-512", True),
        ("alg", "RS256", True),
        ("alg", 5, False),
        ("mimetype", "audio/x-wav; codecs=1", False),
        ("mimetype", "", False),
        ("mimetype", "audio/x-wav", True),
        ("start", 5, False),
        ("start", "2026-01-05T12:00:00Z", True),
    ],
)
def test_members_that_the_conserver_refuses_are_left_out(member, value, stays):
    document = RULES.base()
    document["dialog"][0][member] = value
    assert any(one.path.endswith(member) for one in preflight(document)) is not stays
    made = fit(document, Profile.CONSERVER)
    assert (member in made["dialog"][0]) is stays
    assert preflight(made) == []


@pytest.mark.parametrize(("member", "value"), [("subject", 5), ("subject", {}), ("appended", "x"), ("appended", [])])
def test_members_of_the_wrong_type_are_left_out(member, value):
    document = RULES.base() | {member: value}
    assert preflight(document)
    made = fit(document, Profile.CONSERVER)
    assert member not in made
    assert preflight(made) == []
