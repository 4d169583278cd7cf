"""Addresses and names of participants, as clients write them."""

import pytest
from siprec_kit import message

from vcond.call.events import PartyInfo
from vcond_siprec.metadata import Participant
from vcond_siprec.who import from_headers, same, who


@pytest.mark.parametrize(
    ("aor", "name", "expected"),
    [
        ("sip:+15550100@192.0.2.10", "Alice", PartyInfo(tel="+15550100", name="Alice", validation="none")),
        ("sips:15550100@pbx.example:5061;transport=tls", "", PartyInfo(tel="15550100")),
        ("tel:+1-555-0100;phone-context=x", "", PartyInfo(tel="+15550100")),
        ("15550100", "15550100", PartyInfo(tel="15550100")),
        ("15550200 ", "", PartyInfo(tel="15550200")),
        ("15550200@192.0.2.20", "", PartyInfo(tel="15550200")),
        ("sip:1001@pbx.example", "", PartyInfo(sip="1001@pbx.example")),
        ("1001@pbx.example", "Ext", PartyInfo(sip="1001@pbx.example", name="Ext", validation="none")),
        ("sip:alice@[2001:db8::1]:5060", "", PartyInfo(sip="alice@[2001:db8::1]")),
        ("sip:+15550200@192.0.2.20;user=phone", " ", PartyInfo(tel="+15550200")),
        ("sip:a%20b@pbx.example", "", PartyInfo(name="a b", validation="none")),
        ("1001", "", PartyInfo(name="1001", validation="none")),
        ("", "Bob", PartyInfo(name="Bob", validation="none")),
        ("", "", PartyInfo()),
        ("sip:anonymous@anonymous.invalid", "Anonymous", PartyInfo(name="Anonymous", validation="none", sip="anonymous@anonymous.invalid", hidden=True)),
    ],
)  # fmt: skip
def test_who_a_participant_is(aor, name, expected):
    assert who(Participant("p", aor, name)) == expected


def test_one_person_is_the_same_however_the_address_is_written():
    assert (
        len({same(aor) for aor in ("sip:+15550100@192.0.2.10", "15550100", "tel:+15550100", "+15550100@pbx;x=y")}) == 1
    )
    assert same("sip:Alice@pbx.example") == same("alice@pbx.example:5060")
    assert same("sip:alice@pbx.example") != same("sip:alice@other.example")
    assert same("sip:anonymous@anonymous.invalid") == same("") == ""


def test_cisco_names_who_is_on_which_line_in_headers():
    people = from_headers(message("shapes/10").headers).participants
    assert [one.aor for one in people] == ["sip:15550100@192.0.2.10", "sip:15550200@192.0.2.20"]
    swapped = [
        ("x-cisco-recording-participant", 'sip:2@h;media-index="1"'),
        ("x-cisco-recording-participant", 'sip:1@h;media-index="0"'),
    ]
    assert [one.aor for one in from_headers(swapped).participants] == ["sip:1@h", "sip:2@h"]


def test_two_of_one_line_are_two():
    told = [("x-cisco-recording-participant", f'sip:{one}@h;media-index="0"') for one in (1001, 1002)]
    (first, second) = from_headers(told).participants
    assert (first.aor, second.aor) == ("sip:1001@h", "sip:1002@h")
    assert first.id != second.id


def test_an_address_may_stand_in_brackets():
    assert who(Participant("p", '"Alice" <sip:alice@pbx.example>')).sip == "alice@pbx.example"


def test_a_phone_names_itself_in_its_identity():
    (one,) = from_headers(message("shapes/11").headers).participants
    assert (one.aor, one.name) == ("sip:1001@192.0.2.40", "Alice")


@pytest.mark.parametrize(
    ("end", "aor"), [("x-nearend", "sip:2000@ucm1"), ("x-farend; x-farendaddr=1000", "1000"), ("x-farend", None)]
)
def test_a_phones_two_calls_are_of_two_people(end, aor):
    """Of what a Cisco phone hears, everything but x-farendaddr names the phone itself."""
    told = [
        ("from", f"<sip:2000@ucm1;{end};x-refci=7;x-nearenddevice=deviceB> ;tag=t"),
        ("p-asserted-identity", "<sip:2000@ucm1>"),
    ]
    assert [one.aor for one in from_headers(told).participants] == ([] if aor is None else [aor])
    people = from_headers(told[:1]).participants  # without an asserted identity
    assert [who(one).sip or who(one).name for one in people] == ([] if aor is None else [aor.removeprefix("sip:")])


def test_headers_that_name_nobody_name_nobody():
    told = [("x-cisco-recording-participant", "garbage"), ("p-asserted-identity", "<>"), ("from", "<sip:srs@h>")]
    assert not [one for one in from_headers(told).participants if one.aor]
