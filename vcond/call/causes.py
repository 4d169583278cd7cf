"""Why a leg or a call ended, and what a vCon calls that. Once, for all adapters.

Q.850 is ITU-T Q.850 section 2.2.7; SIP codes are RFC 3261 section 21 and RFC 3326; dispositions are
draft-ietf-vcon-vcon-core-04 section 4.3 (``disposition``).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Disposition(StrEnum):
    """The six reasons of an ``incomplete`` dialog. A call that was answered and exchanged media has none of them."""

    NO_ANSWER = "no-answer"
    CONGESTION = "congestion"
    FAILED = "failed"
    BUSY = "busy"
    HUNG_UP = "hung-up"
    VOICEMAIL_NO_MESSAGE = "voicemail-no-message"


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the platform said about an end. All parts are optional; ``text`` is the platform's own token."""

    q850: int | None = None
    """ITU-T Q.850 cause value, 1 to 127."""
    sip: int | None = None
    """SIP status code, 400 to 699, or 487 for a cancelled call."""
    text: str = ""
    """The platform's word for it (``NOANSWER``, ``completed``), at most 64 characters, never a number or a name."""

    @property
    def cut_off(self) -> bool:
        """The core ended the call without knowing its end: whoever is still there goes on in one of the same key."""
        return self.text in CUT_OFF


NO_CAUSE = Cause()
"""Nothing was said."""
NORMAL = Cause(q850=16)
CUT_OFF = frozenset({"adapter-gone", "limit"})
"""Texts with which the core ends a call whose end it does not know: it may go on, and is recorded anew then."""

_BY_Q850 = {
    **dict.fromkeys((17,), Disposition.BUSY),
    **dict.fromkeys((18, 19, 20), Disposition.NO_ANSWER),
    **dict.fromkeys((34, 38, 41, 42, 43, 44, 46, 47), Disposition.CONGESTION),
    **dict.fromkeys((16, 26, 31), Disposition.HUNG_UP),
}
_BY_SIP = {
    **dict.fromkeys((486, 600), Disposition.BUSY),
    **dict.fromkeys((408, 480), Disposition.NO_ANSWER),
    **dict.fromkeys((503,), Disposition.CONGESTION),
    **dict.fromkeys((487,), Disposition.HUNG_UP),
}
_BY_TEXT = {
    "busy": Disposition.BUSY,
    "noanswer": Disposition.NO_ANSWER,
    "no-answer": Disposition.NO_ANSWER,
    "no_answer": Disposition.NO_ANSWER,
    "cancel": Disposition.HUNG_UP,
    "canceled": Disposition.HUNG_UP,
    "cancelled": Disposition.HUNG_UP,
    "originator_cancel": Disposition.HUNG_UP,
    "congestion": Disposition.CONGESTION,
}


def disposition(cause: Cause) -> Disposition:
    """What to call the end of a call that nobody answered. The platform's word wins over the codes; unknown = failed."""
    word = cause.text.strip().lower()
    if word in _BY_TEXT:
        return _BY_TEXT[word]
    if cause.sip is not None and cause.sip in _BY_SIP:
        return _BY_SIP[cause.sip]
    if cause.q850 is not None and cause.q850 in _BY_Q850:
        return _BY_Q850[cause.q850]
    return Disposition.FAILED
