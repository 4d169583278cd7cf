"""One person, one spelling."""

from __future__ import annotations

import pytest

from vcond.records.identifiers import normalized, of_party

SPELLINGS = [
    "tel:+12125550143",
    "+1 (212) 555-0143",
    "212.555.0143",
    "011 1 212 555 0143",
    "sip:+12125550143@gateway.example;user=phone",
    'sip:"Ann" <sip:+1-212-555-0143@198.51.100.7:5080;transport=tcp>;tag=1',
    "tel:5550143;phone-context=+1212",
    "tel:+1\u2011212\u2011555\u20110143",
    "tel:\uff0b\uff11\uff12\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff14\uff13",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_in_all_its_spellings_is_one(spelling: str) -> None:
    assert normalized(spelling, region="US") == "tel:+12125550143"


def test_a_national_number_is_of_the_country_that_the_operator_says() -> None:
    assert normalized("030 1234567", region="DE") == "tel:+49301234567"
    assert normalized("tel:2125550143") == "sip:2125550143@unknown.invalid"


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("tel:1001", "sip:1001@pbx.example"),
        ("tel:*98", "sip:*98@pbx.example"),
        ("tel:1001;phone-context=Other.Example", "sip:1001@other.example"),
        ("sip:1001@PBX.example", "sip:1001@pbx.example"),
        ("sips:1001:secret@pbx.example:5061;x=y?h=v", "sip:1001@pbx.example"),
        ("mailto:Ann%40x@Example.com", "mailto:ann@x@example.com"),
        ("MAILTO:Ann@Example.com", "mailto:ann@example.com"),
        ("name:  Ann \t  Lee ", "name:ann lee"),
        ("uuid:AB-12", "uuid:ab-12"),
    ],
)
def test_what_is_no_telephone_number_has_one_spelling_too(text: str, one: str) -> None:
    assert normalized(text, region="US", domain="pbx.example") == one
    assert normalized(one, region="US", domain="pbx.example") == one


@pytest.mark.parametrize("text", ["", "   ", "Ann", "ann@example.com", "tel:", "tel:()", "sip:1001@", "x" * 513])
def test_what_identifies_nobody_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        normalized(text)


def test_a_party_of_a_vcon_is_found_by_all_that_it_has() -> None:
    party = {"tel": "(212) 555-0143", "sip": "1001@pbx.example", "mailto": "ann@x.example", "name": "Ann", "uuid": "7"}
    assert list(of_party(party, region="US")) == [
        "tel:+12125550143", "sip:1001@pbx.example", "mailto:ann@x.example", "name:ann", "uuid:7",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "party", [{"name": "vcond", "type": "bot"}, {"name": "anonymous"}, {}, {"tel": 5, "name": ["x"], "sip": "@"}]
)
def test_bots_the_anonymous_and_nonsense_are_nobody(party: dict[str, object]) -> None:
    assert list(of_party(party)) == []
