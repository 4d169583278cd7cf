"""Who a channel is, and which way a call goes."""

from __future__ import annotations

import pytest

from vcond.adapter import Who
from vcond_asterisk import Config
from vcond_asterisk.parties import is_party, who
from vcond_asterisk.wire import CallerId, Channel

CONFIG = Config(domain="pbx.test")


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        ("+4930123456", "Carol", Who(tel="+4930123456", name="Carol", validation="none")),
        ("15550100", "", Who(tel="15550100")),
        ("1001", "Bob\n", Who(sip="1001@pbx.test", name="Bob", validation="none")),
        ("alice.b", "alice.b", Who(sip="alice.b@pbx.test")),
        ("", "", Who()),
        ("anonymous caller", "", Who()),
        ("1@evil", "", Who()),
        ("1" * 16, "", Who(sip="1" * 16 + "@pbx.test")),
    ],
)
def test_who_a_channel_is(number, name, expected):
    assert who(Channel("1.1", "PJSIP/x-00000001", caller=CallerId(name, number)), CONFIG) == expected


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
