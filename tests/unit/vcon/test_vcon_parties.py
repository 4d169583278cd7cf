from __future__ import annotations

import pytest

from vcond.call.events import PartyInfo
from vcond.call.state import fold
from vcond.vcon.building.attributes import Attributes
from vcond.vcon.building.parties import address, parties_of, person
from vcond.vcon.model import CONSERVER_TEL


def test_a_telephone_number_stays_one():
    assert person(PartyInfo(tel="+15551230001")) == {"tel": "+15551230001"}
    assert person(PartyInfo(tel="tel:+15551230001")) == {"tel": "+15551230001"}


@pytest.mark.parametrize("number", ["1001", "*98", "#21", "agent", "12 x"])
def test_what_is_no_telephone_number_becomes_a_sip_address(number):
    party = person(PartyInfo(tel=number), "pbx.example.com")
    assert "tel" not in party
    assert party["sip"].endswith("@pbx.example.com")
    assert not CONSERVER_TEL.fullmatch(number)


def test_without_a_domain_the_host_says_so():
    assert address("*98", "") == "*98@unknown.invalid"
    assert address("#21 a", "x.example") == "%2321%20a@x.example"


def test_a_sip_address_that_is_known_wins_over_an_extension():
    assert person(PartyInfo(tel="1001", sip="1001@pbx.example.com")) == {"sip": "1001@pbx.example.com"}


def test_a_name_says_how_it_was_established():
    assert person(PartyInfo(name="Ada"))["validation"] == "none"
    assert person(PartyInfo(name="Ada", validation="sip-digest"))["validation"] == "sip-digest"
    assert "validation" not in person(PartyInfo(tel="+15551230001"))


@pytest.mark.parametrize(
    "who", [PartyInfo(tel="anonymous"), PartyInfo(tel="+266696687"), PartyInfo(name="Anonymous", tel="+15551230001")]
)
def test_who_hid_the_number_is_anonymous(who):
    assert person(who) == {"name": "anonymous"}


def test_nothing_known_is_an_empty_party():
    assert person(PartyInfo()) == {}


def test_all_fields_are_carried():
    who = PartyInfo(mailto="a@b.example", uuid="agent-1", type="person", role="agent", org="Example", dept="Sales")
    assert person(who) == {
        "mailto": "a@b.example", "uuid": "agent-1", "type": "person", "org": "Example", "dept": "Sales", "role": "agent",
    }  # fmt: skip


def test_the_daemon_is_the_last_party(scenarios):
    call = fold(scenarios.plain().events)
    found = parties_of(call, Attributes(call), org="Example")
    assert len(found) == 3
    assert found[-1] == {"name": "edge-1.pbx.example.com", "validation": "none", "type": "bot", "org": "Example"}
    call.recorder = ""
    assert parties_of(call, Attributes(call))[-1]["name"] == "vcond"
