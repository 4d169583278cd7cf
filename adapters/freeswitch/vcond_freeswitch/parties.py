"""Who a channel is, and which way a call goes. Pure."""

from __future__ import annotations

import re
from typing import Final

from vcond.sdk import TEL, USER, clean
from vcond.sdk.contract import Cause, PartyInfo, hides
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number

_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
DUMMIES: Final = frozenset({"Outbound Call", "unknown", "_undef_", "-_undef_-"})
"""Names that FreeSWITCH makes up."""
STATUSES: Final = frozenset(
    {"BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "DONTCALL", "NOANSWER", "TORTURE"}
)  # fmt: skip
"""What DIALSTATUS says of a call that reached nobody. It says INVALIDARGS and SUCCESS when it has nothing to say."""


def who(event: Event, config: Config) -> PartyInfo:
    """What the switch shows of a party: a telephone number, or an extension as a SIP address, and a name.

    On a leg that FreeSWITCH called, the caller's identity is that of whoever calls, the callee's is its own. Numbers
    of seven digits and more are telephone numbers. Nothing of it was verified by anybody.
    """
    domain = ""
    if event.direction == "outbound":
        digits, name, uri = _called(event)
        domain = _host(event.dialed_domain or event.invite_domain)
    else:
        digits, name, uri = event.caller_number, event.caller_name, event.from_uri
    digits, name = clean(digits), clean(name)
    tel = digits if TEL.fullmatch(digits) else ""
    sip = "" if tel else _sip(digits, uri or event.channel.rpartition("/")[2], config.domain or domain)
    name = "" if name == digits or name in DUMMIES else name
    asked = "true" in {event.hide_name, event.hide_number}
    # a word of two is no user of an address: it would be lost
    hidden = event.direction != "outbound" and (asked or (not tel and hides(PartyInfo(tel=digits))))
    return PartyInfo(tel=tel, sip=sip, name=name, validation="none" if name else "", hidden=hidden)


def _called(event: Event) -> tuple[str, str, str]:
    """Number, name and address of who was called: the user of the directory that was dialled, when one was.

    What an ``originate`` shows as its caller id (``origination_caller_id_number``) is told in the place of the callee's.
    """
    if event.dialed_user:
        own = event.callee_number in {"", event.dialed_user}
        return event.dialed_user, event.callee_name if own else "", event.to_uri
    if event.shown_number and event.callee_number == event.shown_number:
        return event.destination, "", event.to_uri
    return event.callee_number or event.destination, event.callee_name, event.to_uri


def _sip(digits: str, uri: str, domain: str) -> str:
    """``1002@pbx.example.com``, without port and parameters."""
    user, _, rest = uri.rpartition("@")
    user = digits or user
    domain = domain or _host(rest)
    return f"{user}@{domain}" if domain and USER.fullmatch(user) else ""


def _host(text: str) -> str:
    found = _HOST.match(text)
    return found[0] if found else ""


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
