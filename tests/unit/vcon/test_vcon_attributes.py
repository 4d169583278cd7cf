from __future__ import annotations

import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import Call, fold
from vcond.vcon import build, validate
from vcond.vcon.building.attributes import Attributes, of_dialog, session

LOCAL, REMOTE = "ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"


def facts(*given: tuple[str, str, int | None]) -> Attributes:
    call = Call()
    for name, value, party in given:
        call.apply(ev.CallAttribute(at=Instant(0), name=name, value=value, party=party))
    return Attributes(call)


def test_the_calls_own_fact_wins_over_a_partys():
    found = of_dialog(facts(("sip_call_id", "leg", 0), ("sip_call_id", "whole", None)), [0, 1])
    assert found == {"sip_call_id": "whole"}


def test_of_two_legs_the_callers_is_shown_and_the_other_kept():
    given = facts(("sip_call_id", "a", 0), ("sip_call_id", "b", 1))
    assert of_dialog(given, [0, 1]) == {"sip_call_id": "a"}
    assert given.rest() == [{"name": "sip_call_id", "value": "b", "party": 1}]


def test_contact_center_names_and_their_stand_ins():
    found = of_dialog(facts(("linkedid", "17.1", None), ("queue", "support", None), ("campaign", "autumn", None)), [0])
    assert found == {"campaign": "autumn", "interaction_id": "17.1", "skill": "support"}
    assert of_dialog(facts(("linkedid", "1", None), ("interaction_id", "2", None)), [])["interaction_id"] == "2"


@pytest.mark.parametrize(("text", "number"), [("314159 INVITE", 314159), ("7", 7)])
def test_a_cseq_is_a_number(text, number):
    assert of_dialog(facts(("sip_cseq", text, None)), []) == {"sip_cseq": number}


def test_a_cseq_that_is_none_is_kept_as_it_is():
    given = facts(("sip_cseq", "x", None))
    assert of_dialog(given, []) == {}
    assert given.rest() == [{"name": "sip_cseq", "value": "x"}]


def test_session_ids():
    assert session(f"{LOCAL.upper()};remote={REMOTE}") == {"local": LOCAL, "remote": REMOTE}
    assert session(LOCAL) == {"local": LOCAL, "remote": "0" * 32}
    assert session("x") == {}
    whole = of_dialog(facts(("session_id", LOCAL, None)), [0, 1])
    assert whole["session_id"] == {"local": LOCAL, "remote": "0" * 32}
    legs = of_dialog(facts(("session_id", f"{LOCAL};remote={REMOTE}", 1)), [0, 1])
    assert legs["session_id"] == [{}, {"local": LOCAL, "remote": REMOTE}]


def test_headers_are_grouped_by_party():
    given = facts(("sip_header.Call-ID", "a", None), ("sip_header.X-Id", "1", 0), ("sip_header.X-Id", "2", 1))
    assert given.headers() == [(None, {"Call-ID": "a"}), (0, {"X-Id": "1"}), (1, {"X-Id": "2"})]
    assert given.rest() == []


def test_everything_of_a_platform_ends_up_somewhere(scenarios):
    script = scenarios.plain()
    for name, value, party in (
        ("sip_user_agent", "Yealink T54W", 1),
        ("sip_header.P-Asserted-Identity", "<sip:a@b.example>", 0),
        ("sip_header.X", "y", 99),
        ("stir", "aa.bb.cc", 0),
        ("stir", "nonsense", 1),
        ("session_id", LOCAL, 0),
        ("subject", "About a parcel", None),
        ("trunk", "east", None),
    ):
        script.add(ev.CallAttribute(at=script.at(1), name=name, value=value, party=party))
    document = build(fold(script.events), script.audio)
    assert [one for one in validate(document) if one.level == "error"] == []
    assert document["subject"] == "About a parcel"
    assert document["parties"][1]["sip_user_agent"] == "Yealink T54W"
    assert document["parties"][0]["stir"] == "aa.bb.cc"
    assert document["dialog"][0]["session_id"] == [{"local": LOCAL, "remote": "0" * 32}, {}]
    by_purpose = {(one["purpose"], one["party"]): one["body"] for one in document["attachments"]}
    assert by_purpose["sip-headers", 0] == {"P-Asserted-Identity": "<sip:a@b.example>"}
    assert by_purpose["sip-headers", 2] == {"X": "y"}
    rest = {one["name"]: one["value"] for one in by_purpose["vcond-facts", 2]}
    assert rest == {"channel": "PJSIP/1001-00000001", "stir": "nonsense", "trunk": "east"}
    assert document["extensions"] == ["wtf_transcription", "sip-signaling", "CC"]


HIDDEN = ev.PartyInfo(tel="+15550100123", name="Ada Lovelace", sip="ada.l@example.com", hidden=True)


def of_hidden(name: str, value: str, party: int | None = None, who: ev.PartyInfo = HIDDEN) -> Call:
    zero = Instant(1_795_424_400_000_000_000)
    return fold(
        [
            ev.CallOpened(at=zero, call="019f155a-5131-80ec-832a-bc92ac6830cd", adapter="twilio", key="k"),
            ev.PartyJoined(at=zero, party=0, key="a", who=who),
            ev.PartyJoined(at=zero, party=1, key="b", who=ev.PartyInfo(tel="+15550100999")),
            ev.CallAttribute(at=zero, name=name, value=value, party=party),
            ev.CallEnded(at=zero),
        ]
    )


@pytest.mark.parametrize(
    ("name", "value", "party"),
    [
        ("sip_header.From", "<sip:x@y.example>", 0), ("sip_header.P-Asserted-Identity", "<tel:+15550100777>", None),
        ("sip_header.remote-party-id", "<sip:x@y.example>", 1), ("sip_header.X-Number", "0115550100123", None),
        ("stir", "a.b.c", 0), ("parameter.caller", "5550100777", None), ("parameter.Caller_Number", "123", None),
        ("parameter.customer_number", "5550100777", None), ("parameter.callerName", "Ada", None), ("variable.CALLERID(num)", "555-777-12", None),
        ("parameter.note", "rang from +1 555 010 0777", None), ("parameter.x", "sip:who@y.example", None),
        ("parameter.x", "1 (555) 010-0123", None), ("parameter.x", "it is Ada Lovelace", None), ("subject", "Call of +15550100123", None),
        ("x", "mail ada.l@example.com", None),
    ],
)  # fmt: skip
def test_no_fact_shows_who_hid(name, value, party):
    call = of_hidden(name, value, party)
    assert Attributes(call).rest() == []
    assert Attributes(call).headers() == []
    document = build(call, {})
    assert document["parties"][0] == {"name": "anonymous"}
    assert value not in str(document)
    shown = of_hidden(name, value, party, who=ev.PartyInfo(tel="+15550100123"))
    assert value in str(build(shown, {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dialled", "+15550100999"), ("parameter.called", "+1 555 010 0999"), ("parameter.order", "12345678"), ("variable.LANG", "de"),
        ("callSid", "CA0123456789abcdef0123456789abcdef"), ("parameter.customerId", "4711"), ("sip_header.Privacy", "id"),
        ("sip_header.X-Id", "1"), ("linkedid", "pbx-1795946199.12"),
    ],
)  # fmt: skip
def test_what_shows_nobody_stays_beside_who_hid(name, value):
    assert value in str(build(of_hidden(name, value), {}))


@pytest.mark.parametrize(
    "who",
    [ev.PartyInfo(tel="+7378742883"), ev.PartyInfo(sip="anonymous@anonymous.invalid"), ev.PartyInfo(name="Restricted")],
)
def test_an_address_that_is_given_beside_a_word_is_left_out_too(who):
    assert Attributes(of_hidden("parameter.caller", "+15550100777", who=who)).rest() == []
