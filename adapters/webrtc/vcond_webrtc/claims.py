"""Who publishes into which call: from the query of the offer, or from a token that an application signed. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from vcond.sdk.contract import PartyInfo, ProtocolError, RefusedError

Role = Literal["agent", "customer", "supervisor", "sme", "thirdparty", ""]
ROLES: Final = ("agent", "customer", "supervisor", "sme", "thirdparty")
KEY: Final = re.compile(r"[A-Za-z0-9._~@:+-]{1,128}")
"""Call and party: what names them in other systems, and in a URL."""
TEL: Final = re.compile(r"\+?[0-9]{1,32}")
LONGEST_NAME: Final = 128
LONGEST_TOKEN: Final = 4096
SHORTEST_SECRET: Final = 32
"""Bytes; RFC 7518 section 3.2 for HS256."""
NAMES: Final = ("call", "party", "name", "role", "tel")


class Claims(msgspec.Struct, frozen=True):
    """What is said of a publisher. All may be empty."""

    call: str = ""
    """Publishers with the same word are parties of one call. Empty = a call of its own."""
    party: str = ""
    """Who publishes again with the same word is the same party. Empty = a new one."""
    name: str = ""
    role: Role = ""
    tel: str = ""

    @property
    def who(self) -> PartyInfo:
        """The party in the words of a vCon; nobody has checked its name."""
        return PartyInfo(tel=self.tel, name=self.name, role=self.role, validation="none" if self.name else "")


def from_words(words: Mapping[str, Any]) -> Claims:
    """Claims out of a query or a token. Raises ProtocolError, which names the claim and not its value."""
    told = {name: words[name] for name in NAMES if words.get(name)}
    for name, value in told.items():
        if not isinstance(value, str) or not _lawful(name, value):
            raise ProtocolError(f"{name} has the wrong form")
    return msgspec.convert(told, Claims)


def _lawful(name: str, value: str) -> bool:
    if name in {"call", "party"}:
        return KEY.fullmatch(value) is not None
    if name == "tel":
        return TEL.fullmatch(value) is not None
    if name == "role":
        return value in ROLES
    return len(value) <= LONGEST_NAME and value.isprintable()


def from_token(token: str, secret: str, *, now: float) -> Claims:
    """The claims of a JWT (RFC 7519) signed with HS256. ``now`` is seconds since the epoch.

    It must have ``exp`` and ``call``; ``nbf`` is kept to; ``sub`` is the party when ``party`` is not there. Raises
    RefusedError, which says what is wrong and nothing of the content.
    """
    header, payload, signature = _parts(token)
    mine = hmac.digest(secret.encode(), f"{header}.{payload}".encode(), hashlib.sha256)
    if not hmac.compare_digest(mine, _bytes(signature)):
        raise RefusedError("the token is not signed with adapters.webrtc.secret")
    # The algorithm is ours, whatever the header says (RFC 8725 section 3.1); one that says otherwise is refused.
    if _object(header).get("alg") != "HS256":
        raise RefusedError("the token is not HS256")
    told = _object(payload)
    expires, begins = told.get("exp"), told.get("nbf", 0)
    if not isinstance(expires, int | float) or not isinstance(begins, int | float):
        raise RefusedError("the token has no exp, or an nbf that is not a number")
    if not begins <= now < expires:
        raise RefusedError("the token has expired or is not valid yet")
    if not told.get("call"):
        raise RefusedError("the token has no call")
    if told.get("sub") and not told.get("party"):
        told["party"] = told["sub"]
    try:
        return from_words(told)
    except ProtocolError as why:
        raise RefusedError(f"the token's {why}") from None


def _parts(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or len(parts) != 3 or not token.isascii():
        raise RefusedError("not a token of this vcond")
    return parts[0], parts[1], parts[2]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise RefusedError("not a token of this vcond") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(text))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError("not a token of this vcond")
    return found
