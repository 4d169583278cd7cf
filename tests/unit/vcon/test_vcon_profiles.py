from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest

from vcond.calls.state import fold
from vcond.errors import ConfigError, OperatorError
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
    assert serialize(fit(document, profile)) == serialize(document)
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
