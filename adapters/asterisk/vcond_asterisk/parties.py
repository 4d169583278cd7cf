"""Who a channel is, and which way a call goes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vcond.adapter import Direction, Who
from vcond_asterisk.config import Config
from vcond_asterisk.wire import Channel, clean

HELPERS: Final = frozenset(
    {
        "Announcer", "AudioSocket", "Bridge", "CBAnn", "CBRec", "ConfBridgeRecorder", "Message", "Multicast", "MulticastRTP",
        "OutgoingSpoolFailed", "Recorder", "Snoop", "Substitute", "Surrogate", "UnicastRTP", "Voicemail", "WebSocket",
    }
)  # fmt: skip
"""Technologies of channels that are no party: taps, announcers, recorders, media of other applications."""
LOCAL: Final = "Local"
"""Channels that only connect two places of the dialplan. Tapping one would record somebody twice."""

_TEL: Final = re.compile(r"\+?[0-9]{7,15}")
_USER: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/#%]+")
"""RFC 3261 section 25.1, user, and the number sign that extensions have."""


def is_party(channel: Channel) -> bool:
    """Whether a channel stands for somebody who can speak."""
    return channel.technology not in HELPERS and channel.technology != LOCAL


def who(channel: Channel, config: Config) -> Who:
    """What the PBX shows of the party: a telephone number, or an extension as a SIP address, and a name.

    Numbers of seven digits and more are telephone numbers. Nothing of it was verified by anybody.
    """
    number, name = clean(channel.caller.number), clean(channel.caller.name)
    tel = number if _TEL.fullmatch(number) else ""
    sip = f"{number}@{config.host()}" if number and not tel and _USER.fullmatch(number) else ""
    name = "" if name == number else name
    return Who(tel=tel, sip=sip, name=name, validation="none" if name else "")


def direction(first: bool | None, others: Sequence[bool | None]) -> Direction:
    """Which way a call goes, from whether its first channel and the others are ours (None = not known)."""
    if first is None:
        return "unknown"
    if not first:
        return "inbound"
    return "outbound" if False in others else "internal"
