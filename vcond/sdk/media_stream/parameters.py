"""Who is in the call: what an application passes along as parameters of a stream (Twilio's ``<Parameter>``). Pure.

Most peers name nobody themselves. Names of parameters are compared without case, ``_`` and ``-``: ``From``,
``from``, ``caller_name`` and ``CallerName`` are what people write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vcond.sdk.contract import Direction, PartyInfo, hides

MAX_PARAMETERS: Final = 32
MAX_NAME: Final = 64
MAX_VALUE: Final = 512
"""Characters; Twilio itself stops at 500 for name and value together."""

LARGEST: Final = 10**32
"""Numbers of parameters are below: JSON has them without quotes as well."""

_NUMBER: Final = re.compile(r"\+?[0-9*#][0-9*#().\- ]{0,31}")
_SPELT: Final = frozenset({"266696687", "7378742883", "2562533", "8656696", "86282452253"})
"""ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a keypad: what Twilio writes for who hid the number, here
without the ``+`` that some applications take off. Twilio's own numbers have one, so none of these is anybody's."""
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": "inbound",
    "outbound": "outbound",
    "outbound-api": "outbound",
    "outbound-dial": "outbound",
    "internal": "internal",
}
"""The left side are Twilio's values of ``{{Direction}}``, and ours."""


@dataclass(slots=True)
class Parameters:
    """What the parameters of a stream say."""

    caller: PartyInfo = PartyInfo()  # noqa: RUF009 - a frozen value
    callee: PartyInfo = PartyInfo()  # noqa: RUF009 - a frozen value
    direction: Direction = "unknown"
    others: dict[str, str] = field(default_factory=dict)
    """Whatever else the application wanted to be in the record."""
    refused: int = 0
    """Parameters that were too many, too long, or no text."""


def understand(custom: Mapping[str, Any]) -> Parameters:
    """Read ``customParameters``. Never raises; what cannot be kept is counted in ``refused``."""
    told = Parameters()
    known: dict[str, str] = {}
    for number, (name, given) in enumerate(custom.items()):
        value = str(given) if type(given) is int and abs(given) < LARGEST else given
        if (
            number >= MAX_PARAMETERS
            or not isinstance(value, str)
            or not 0 < len(name) <= MAX_NAME
            or len(value) > MAX_VALUE
        ):
            told.refused += 1
            continue
        text = _CONTROLS.sub(" ", value).strip()
        word = name.lower().replace("_", "").replace("-", "")
        if word in {"from", "to", "callername", "calleename", "direction"}:
            known[word] = text
        elif text:
            told.others[_CONTROLS.sub(" ", name)] = text
    told.caller = party(known.get("from", ""), known.get("callername", ""))
    told.callee = party(known.get("to", ""), known.get("calleename", ""))
    told.direction = _DIRECTIONS.get(known.get("direction", "").lower(), "unknown")
    return told


def party(address: str, name: str = "") -> PartyInfo:
    """A party from what peers write into From and To: a number, ``tel:…``, ``sip:…``, ``client:…``, or a word like anonymous."""
    validation = "none" if name else ""
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() in {"sip", "sips"}:
        return PartyInfo(sip=re.split("[;?]", rest)[0], name=name, validation=validation)
    if colon and scheme.lower() == "client":
        return PartyInfo(uuid=address, name=name or rest, validation="none")
    if colon and scheme.lower() == "tel":
        address = rest.partition(";")[0]  # RFC 3966
    if _NUMBER.fullmatch(address):
        hidden = re.sub(r"\D", "", address) in _SPELT
        return PartyInfo(tel=address, name=name, validation=validation, hidden=hidden)
    shown = name or address
    return PartyInfo(name=shown, validation="none" if shown else "", hidden=hides(PartyInfo(tel=address)))
