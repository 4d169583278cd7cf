from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import PartyInfo, hides
from vcond.sdk.media_stream.parameters import MAX_PARAMETERS, MAX_VALUE, party, understand


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("+15550100", PartyInfo(tel="+15550100")),
        ("1001", PartyInfo(tel="1001")),
        ("tel:+15550100;phone-context=x", PartyInfo(tel="+15550100")),
        ("+1 (555) 010-0100", PartyInfo(tel="+1 (555) 010-0100")),
        ("sip:ann@pbx.example.com", PartyInfo(sip="ann@pbx.example.com")),
        ("SIPS:ann@pbx.example.com", PartyInfo(sip="ann@pbx.example.com")),
        ("sip:ann@pbx.example.com;transport=tls?x=y", PartyInfo(sip="ann@pbx.example.com")),
        ("client:ann", PartyInfo(uuid="client:ann", name="ann", validation="none")),
        ("reception", PartyInfo(name="reception", validation="none")),
        ("", PartyInfo()),
    ],
)
def test_an_address_becomes_a_party(address, who):
    assert party(address) == who


@pytest.mark.parametrize(
    "address",
    [
        "+266696687", "266696687", "+7378742883", "7378742883", "+2562533", "2562533", "+8656696", "+86282452253", "Anonymous",
        "RESTRICTED", "Unavailable", "unknown", "Private", "Private Caller", "sip:anonymous@anonymous.invalid", "client:Anonymous",
        "sip:+266696687@example.sip.twilio.com;user=phone",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["", "Ada Lovelace"])
def test_who_hid_the_number_is_known_in_each_of_twilios_ways(address, name):
    assert hides(party(address, name)) or address.startswith("client:")
    assert hides(party(address))


def test_nearly_such_a_number_hides_nobody():
    for address in (
        "+17378742883",
        "+26669668",
        "+862824522530",
        "sip:ann@pbx.example.com",
        "client:ann",
        "Private Bank",
        "",
    ):
        assert not hides(party(address)), address


@pytest.mark.parametrize("name", ["callerName", "CallerName", "caller_name", "Caller-Name"])
def test_parameters_are_known_however_they_are_written(name):
    told = understand({"FROM": "+15550100", "To": "+15550199", name: "Ann", "Direction": "outbound-api"})
    assert told.caller == PartyInfo(tel="+15550100", name="Ann", validation="none")
    assert told.callee == PartyInfo(tel="+15550199")
    assert told.direction == "outbound"
    assert told.others == {}


def test_other_parameters_are_kept():
    assert understand({"queue": "sales", "empty": ""}).others == {"queue": "sales"}


def test_an_unknown_direction_is_unknown():
    assert understand({"direction": "sideways"}).direction == "unknown"


def test_control_characters_never_get_through():
    told = understand({"from": "ann\n\x00bob", "note\n": "a\x1b[31m\u2028b"})
    assert told.caller.name == "ann bob"
    assert told.others == {"note ": "a [31m b"}


def test_too_many_too_long_and_no_text_are_refused_and_counted():
    many = {f"p{n}": "x" for n in range(MAX_PARAMETERS + 5)}
    assert (len(understand(many).others), understand(many).refused) == (MAX_PARAMETERS, 5)
    odd = {"a": "x" * (MAX_VALUE + 1), "b" * 65: "x", "c": True, "d": {"from": "+1"}, "": "x", "from": None}
    told = understand(odd)
    assert (told.others, told.caller, told.refused) == ({}, PartyInfo(), 6)


def test_numbers_without_quotes_are_read_too():
    told = understand({"from": 15550100, "queue": 7, "huge": 10**5000})
    assert (told.caller.tel, told.others, told.refused) == ("15550100", {"queue": "7"}, 1)


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=40) | st.integers() | st.none(), max_size=40))
def test_understanding_never_fails_and_keeps_lines_whole(custom):
    told = understand(custom)
    kept = [*told.others, *told.others.values(), told.caller.name, told.caller.tel, told.callee.sip]
    assert not any("\n" in text or "\x00" in text for text in kept)
    assert len(told.others) <= MAX_PARAMETERS
