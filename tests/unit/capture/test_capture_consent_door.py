"""``vcond consent`` at the admin socket: what it does to a call, and what it refuses."""

import json
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from vcond.call import events as ev
from vcond.cli import render
from vcond.policy.consent import Terms
from vcond.publish.summary import detail
from vcond.server.status import Status


@pytest.fixture
def door(house):
    return Status(SimpleNamespace(registry=house.registry, clock=house.clock, outbox=None)).writes["consent"]


@pytest.fixture
def call(house):
    house.registry.terms_of_call = lambda _: Terms(mode="ask", until_granted="buffer")
    opened = house.host.call("k", at=house.now(0))
    opened.party("a", at=house.at(0), who=ev.PartyInfo(name="Ann", tel="+15550100"))
    opened.party("b", at=house.at(0), who=ev.PartyInfo(name="Bea"))
    return opened


async def test_it_is_an_event_of_the_call_once(call, door, capsys):
    before = (
        REGISTRY.get_sample_value("vcond_consents_total", {"adapter": "test", "state": "granted", "how": "page"}) or 0
    )
    query = {
        "call": call.uuid[:12],
        "party": "Ann",
        "state": "granted",
        "how": "page",
        "evidence": '{"page": "terms-3"}',
    }
    row = await door(query)
    assert (row["party"], row["changed"]) == (0, True)
    assert row["consent"][0] == {
        "party": 0,
        "rule": "ask",
        "kept": True,
        "text": True,
        "recording": "granted",
        "transcription": "granted",
        "analysis": "unknown",  # the rule does not ask for it
    }
    assert not row["consent"][1]["kept"]
    assert not (await door(query))["changed"]
    (said,) = call.state.consents.said
    assert (said.party, said.state, said.how, said.evidence) == (0, "granted", "page", {"page": "terms-3"})
    after = REGISTRY.get_sample_value("vcond_consents_total", {"adapter": "test", "state": "granted", "how": "page"})
    assert after == before + 1
    render.consented(row)
    assert "consent of Ann: granted (recording, transcription); unknown (analysis); recorded" in capsys.readouterr().out
    render.consented(await door(query))
    assert "nothing was changed" in capsys.readouterr().out


async def test_some_purposes_only(call, door):
    row = await door({"call": call.uuid, "party": "1", "state": "denied", "purposes": "transcription,analysis"})
    assert row["consent"][1] == {
        "party": 1,
        "rule": "ask",
        "kept": False,
        "text": False,
        "recording": "unknown",
        "transcription": "denied",
        "analysis": "denied",
    }
    lines = list(render.call(detail(call.state)))
    assert any(
        "consent of Bea: unknown (recording); denied (transcription, analysis); not recorded" in line for line in lines
    )
    assert "NO CONSENT of party 0, 1" in lines[0]


@pytest.mark.parametrize(
    ("wrong", "error", "names"),
    [
        ({"party": "7"}, LookupError, r"no party '7'; its parties: 0 \(\+15550100\), 1 \(Bea\)"),
        ({"party": "Carol"}, LookupError, "no party 'Carol'"),
        ({"party": "-1"}, LookupError, "no party '-1'"),
        ({"state": "perhaps"}, ValueError, "state must be one of asked, granted, denied, withdrawn"),
        ({"how": "telepathy"}, ValueError, "how must be one of"),
        ({"purposes": "marketing"}, ValueError, "purposes must be one of recording"),
        ({"evidence": "[1]"}, ValueError, "evidence must be a JSON object"),
        ({"evidence": json.dumps({"text": "x" * (1 << 20)})}, ValueError, r"evidence\.text"),
        ({"call": "0000"}, LookupError, "no active call"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_changed(call, door, wrong, error, names):
    before = list(call.journal.events)
    with pytest.raises(error, match=names):
        await door({"call": call.uuid, "party": "0", "state": "granted"} | wrong)
    assert call.journal.events == before


async def test_a_name_that_two_have_is_ambiguous(house, call, door):
    call.party("c", at=house.at(1), who=ev.PartyInfo(name="Bea"))
    with pytest.raises(LookupError, match="several parties 'Bea'"):
        await door({"call": call.uuid, "party": "Bea", "state": "granted"})


async def test_whoever_watches_sees_it(house, call, door):
    lines = []
    call.registry.bus.publish = lines.append
    call.registry.bus.watched = lambda _: True
    await door({"call": call.uuid, "party": "0", "state": "withdrawn"})
    assert [(line.kind, line.text, line.party) for line in lines] == [("event", "consent-withdrawn", 0)]
