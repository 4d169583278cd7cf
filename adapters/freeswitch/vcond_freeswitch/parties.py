"""Who a channel is, and which way a call goes. Pure."""

from __future__ import annotations

import re
from typing import Final

from vcond.adapter import Cause, Who
from vcond.pbx import TEL, USER, clean
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number

_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
DUMMIES: Final = frozenset({"Outbound Call", "unknown", "_undef_", "-_undef_-"})
"""Names that FreeSWITCH makes up."""
STATUSES: Final = frozenset(
    {"BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "DONTCALL", "NOANSWER", "TORTURE"}
)  # fmt: skip
"""What DIALSTATUS says of a call that reached nobody. It says INVALIDARGS and SUCCESS when it has nothing to say."""


def who(event: Event, config: Config) -> Who:
    """What the switch shows of a party: a telephone number, or an extension as a SIP address, and a name.

    On a leg that FreeSWITCH called, the caller's identity is that of whoever calls, the callee's is its own. Numbers
    of seven digits and more are telephone numbers. Nothing of it was verified by anybody.
    """
    if event.direction == "outbound":
        digits, name, uri = event.callee_number or event.destination, event.callee_name, event.to_uri
    else:
        digits, name, uri = event.caller_number, event.caller_name, event.from_uri
    digits, name = clean(digits), clean(name)
    tel = digits if TEL.fullmatch(digits) else ""
    sip = "" if tel else _sip(digits, uri or event.channel.rpartition("/")[2], config)
    name = "" if name == digits or name in DUMMIES else name
    return Who(tel=tel, sip=sip, name=name, validation="none" if name else "")


def _sip(digits: str, uri: str, config: Config) -> str:
    """``1002@pbx.example.com``, without port and parameters."""
    user, _, rest = uri.rpartition("@")
    user = digits or user
    host = _HOST.match(rest)
    domain = config.domain or (host[0] if host else "")
    return f"{user}@{domain}" if domain and USER.fullmatch(user) else ""


def cause(event: Event) -> Cause:
    """Why a leg ended, from its CHANNEL_HANGUP_COMPLETE."""
    q850, sip = number(event.q850), number(event.sip_status)
    return Cause(
        q850=q850 if 1 <= q850 <= 127 else None,
        sip=sip if 400 <= sip <= 699 else None,
        text=clean(event.cause)[:64],
    )


def failure(event: Event) -> str:
    """Why a leg reached nobody, in one word; empty when it says nothing of that.

    A caller's own cause is NORMAL_CLEARING after a call that nobody answered (measured): the truth is in DIALSTATUS.
    """
    if event.dialstatus in STATUSES:
        return event.dialstatus
    if event.originated not in {"", "SUCCESS", "failure"}:
        return clean(event.originated)[:64]
    return ""
