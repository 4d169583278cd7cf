"""Who a channel is, and which way a call goes. Pure."""

from __future__ import annotations

from typing import Final

from vcond.adapter import Who
from vcond.pbx import TEL, USER, clean
from vcond_asterisk.config import Config
from vcond_asterisk.wire import Channel

HELPERS: Final = frozenset(
    {
        "Announcer", "AudioSocket", "Bridge", "CBAnn", "CBRec", "ConfBridgeRecorder", "Message", "Multicast", "MulticastRTP",
        "OutgoingSpoolFailed", "Recorder", "Snoop", "Substitute", "Surrogate", "UnicastRTP", "Voicemail", "WebSocket",
    }
)  # fmt: skip
"""Technologies of channels that are no party: taps, announcers, recorders, media of other applications."""
LOCAL: Final = "Local"
"""Channels that only connect two places of the dialplan. Tapping one would record somebody twice."""


def is_party(channel: Channel) -> bool:
    """Whether a channel stands for somebody who can speak."""
    return channel.technology not in HELPERS and channel.technology != LOCAL


def who(channel: Channel, config: Config) -> Who:
    """What the PBX shows of the party: a telephone number, or an extension as a SIP address, and a name.

    Numbers of seven digits and more are telephone numbers. Nothing of it was verified by anybody.
    """
    number, name = clean(channel.caller.number), clean(channel.caller.name)
    tel = number if TEL.fullmatch(number) else ""
    sip = f"{number}@{config.host()}" if number and not tel and USER.fullmatch(number) else ""
    name = "" if name == number else name
    return Who(tel=tel, sip=sip, name=name, validation="none" if name else "")
