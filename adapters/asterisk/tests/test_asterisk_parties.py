"""Who a channel is, and which way a call goes."""

from __future__ import annotations

import pytest

from vcond.sdk.contract import PartyInfo
from vcond_asterisk import Config
from vcond_asterisk.parties import HIDDEN, address, called, dialled_number, is_hidden, is_party, telephone
from vcond_asterisk.wire import CallerId, Channel

CONFIG = Config(domain="pbx.test")


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        ("+4930123456", "Carol", PartyInfo(tel="+4930123456", name="Carol", validation="none")),
        ("15550100", "", PartyInfo(tel="15550100")),
        ("1001", "Bob\n", PartyInfo(sip="1001@pbx.test", name="Bob", validation="none")),
        ("alice.b", "alice.b", PartyInfo(sip="alice.b@pbx.test")),
        ("", "", PartyInfo()),
        ("1" * 16, "", PartyInfo(sip="1" * 16 + "@pbx.test")),
        ("10-01", "", PartyInfo(sip="1001@pbx.test")),
        ("Front Desk", "", PartyInfo(sip="Front%20Desk@pbx.test")),
        ("*98", "", PartyInfo(sip="*98@pbx.test")),
        ("1@evil", "", PartyInfo(sip="1@pbx.test")),
        ("+1 (555) 010-0312", r"Smith \"Jr\"", PartyInfo(tel="+15550100312", name='Smith "Jr"', validation="none")),
        ("15550100", r"back\\slash", PartyInfo(tel="15550100", name=r"back\slash", validation="none")),
        ("+15550100312", "+1 555 010 0312", PartyInfo(tel="+15550100312")),
        ("15550100", '"Carol"', PartyInfo(tel="15550100", name="Carol", validation="none")),
    ],
)
def test_who_a_number_and_a_name_are(number, name, expected):
    assert address(number, name, CONFIG) == expected


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("anonymous", ""), ("Anonymous", ""), ("Restricted", "x"), ("15550100", "Anonymous"), ("", "Anonymous"),
        ("Private Caller", ""), ("sip:anonymous@anonymous.invalid", ""), ("anonymous caller", ""), ("15550100", "Withheld"),
    ],
)  # fmt: skip
def test_words_for_a_hidden_number_leave_nothing(number, name):
    assert address(number, name, CONFIG) == HIDDEN


@pytest.mark.parametrize(
    "number",
    [
        "+15550100312", "+1 (555) 010-0312", "tel:+1-555-010-0312", "tel:+15550100312;ext=17", "+1.555.010.0312",
        "sip:+15550100312@carrier.test;user=phone", "<sip:+15550100312@carrier.test>", "+1 555 010 0312 ext. 17",
        "+1 555 010 0312 x17", "%2B15550100312", "+1\u00a0555\u2011010\u20130312", "\uff0b15550100312", "+15550100312;phone-context=x",
        "+1/555/0100312", "+1 [555] 0100312",
    ],
)  # fmt: skip
def test_numbers_as_people_and_carriers_write_them(number):
    assert telephone(number) == "+15550100312"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1-800-FLOWERS", "18003569377"), ("+49 (0)30 123456", "+4930123456"), ("0049 30 123456", "004930123456"),
        ("1001", ""), ("s", ""), ("", ""), ("alice", ""), ("12345678901234567", ""), ("FMGL-1001", ""), ("+", ""),
        ("\u0661\u0665\u0665\u0665\u0660\u0661\u0660\u0660", ""),
    ],
)  # fmt: skip
def test_other_numbers(number, expected):
    assert telephone(number) == expected


@pytest.mark.parametrize(
    ("dialstring", "expected"),
    [
        ("15550100200@trunk", "15550100200"), ("+15550100200@trunk", "+15550100200"),
        ("trunk/sip:+15550100200@198.51.100.7:5060", "+15550100200"), ("trunk/sip:15550100200@h;user=phone", "15550100200"),
        ("trunk/15550100200", "15550100200"), ("g0/15550100200", "15550100200"), ("G1/w15550100200/c", "15550100200"),
        ("i1/15550100200", "15550100200"), ("user:secret@host/15550100200@ctx", "15550100200"), ("911@trunk", "911"),
        ("user:12345@host", ""), ("1001", ""), ("agent", ""), ("", ""), ("agent/sip:agent@192.0.2.7:5060", ""),
        ("dongle0/+15550100200", "+15550100200"), ("trunk/9ww15550100200", "915550100200"),
        ("trunk/sip:198.51.100.7:5060", ""), ("trunk/sips:sbc1.carrier.test", ""), ("trunk/tel:+15550100200", "+15550100200"),
    ],
)  # fmt: skip
def test_the_number_that_a_dial_calls(dialstring, expected):
    assert dialled_number(dialstring) == expected


@pytest.mark.parametrize(
    ("dialstring", "own", "endpoint", "inside", "expected"),
    [
        ("15550100200@trunk", CallerId(), "PJSIP/trunk", False, PartyInfo(tel="15550100200")),
        ("15550100200@trunk", CallerId("Us", "+49301000"), "PJSIP/trunk", False, PartyInfo(tel="15550100200")),
        ("", CallerId("Us", "+49301000"), "PJSIP/trunk", False, PartyInfo(tel="+49301000", name="Us", validation="none")),
        ("1001", CallerId("Ann", "1001"), "PJSIP/1001", True, PartyInfo(sip="1001@pbx.test", name="Ann", validation="none")),
        ("1001", CallerId(), "PJSIP/1001", True, PartyInfo(sip="1001@pbx.test")),
        ("1001/sip:88@192.0.2.7", CallerId("Ann", "1001"), "PJSIP/1001", True,
         PartyInfo(sip="1001@pbx.test", name="Ann", validation="none")),
        ("trunk", CallerId(), "PJSIP/trunk", False, PartyInfo()),
        ("1001", CallerId(), "PJSIP/1001", None, PartyInfo(sip="1001@pbx.test")),
        ("15550100200@trunk", CallerId(), "PJSIP/trunk", None, PartyInfo(tel="15550100200")),
        ("trunk/sip:15550100200@192.0.2.7", CallerId("", "s"), "PJSIP/trunk", None, PartyInfo(tel="15550100200")),
        ("1001/sip:k3l2m4n5@192.0.2.7;transport=ws", CallerId("Ann", "1001"), "PJSIP/1001", None,
         PartyInfo(sip="1001@pbx.test", name="Ann", validation="none")),
    ],
)  # fmt: skip
def test_whom_asterisk_called_is_never_what_was_shown_to_him(dialstring, own, endpoint, inside, expected):
    assert called(dialstring, own, endpoint, CONFIG, inside=inside) == expected


@pytest.mark.parametrize(
    ("presentation", "hidden"),
    [
        ("prohib_not_screened", True), ("prohib_passed_screen", True), ("prohib", True), ("unavailable", True),
        ("allowed_not_screened", False), ("allowed", False), ("", False),
    ],
)  # fmt: skip
def test_presentations(presentation, hidden):
    assert is_hidden(presentation, CallerId(number="15550100")) is hidden


def test_a_number_that_is_not_there_is_not_hidden():
    assert not is_hidden("unavailable", CallerId())


@pytest.mark.parametrize(
    ("name", "party"),
    [
        ("PJSIP/a-00000001", True), ("SIP/a-00000001", True), ("DAHDI/1-1", True), ("IAX2/x-1", True),
        ("Local/1@x-00000001;1", False), ("Snoop/1.1-00000001", False), ("AudioSocket/h:1-u", False),
        ("UnicastRTP/h:1-0x1", False), ("CBAnn/room-00000001;1", False), ("Recorder/x-1", False),
    ],
)  # fmt: skip
def test_which_channels_are_parties(name, party):
    assert is_party(Channel("1.1", name)) is party
