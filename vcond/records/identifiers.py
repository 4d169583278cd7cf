"""One person, one spelling: telephone numbers, SIP and mail addresses, names and ids as the subject index knows them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import unquote

Kind = Literal["tel", "sip", "mailto", "name", "uuid"]
KINDS: Final[tuple[Kind, ...]] = ("tel", "sip", "mailto", "name", "uuid")
LONGEST: Final = 512
"""Characters of an identifier that are looked at."""
NOWHERE: Final = "unknown.invalid"
"""Host of an extension whose domain is not known, as in vCons (RFC 2606)."""
_NUMBER: Final = re.compile(r"\+?[\d\s\-().\u00a0\u2010-\u2015/]+")
SCHEMES: Final = "tel|sips?|mailto|name|uuid"
"""What an identifier begins with, before a colon."""
_SCHEME: Final = re.compile(rf"({SCHEMES}):", re.IGNORECASE)


def normalized(text: str, *, region: str = "", domain: str = "") -> str:
    """``kind:value``, the same for every spelling of one identifier. Raises ValueError for what is none.

    ``text`` has its kind before it (``tel:``, ``sip:``, ``mailto:``, ``name:``, ``uuid:``) or is a telephone number.
    ``region``: country (ISO 3166) of numbers without a country code; ``domain``: that of extensions. A number is E.164 where it can be
    one, and an extension at its domain otherwise; a SIP address whose user is an E.164 number is that number.
    """
    text = unicodedata.normalize("NFKC", text[: LONGEST + 1]).strip()
    if not text or len(text) > LONGEST:
        raise ValueError(f"an identifier has 1 to {LONGEST} characters")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if not _NUMBER.fullmatch(text):
            raise ValueError("say what it is: tel:, sip:, mailto:, name: or uuid: before it")
        return _number(text, region, domain)
    value = text[scheme.end() :].strip()
    if not value:
        raise ValueError("there is nothing behind its kind")
    kind = scheme[1].lower().removesuffix("s") if scheme[1].lower() == "sips" else scheme[1].lower()
    if kind == "tel":
        return _number(value, region, domain)
    if kind == "sip":
        return _sip(value)
    if kind == "name":
        return f"name:{' '.join(value.casefold().split())}"
    return f"{kind}:{unquote(value).casefold().strip() if kind == 'mailto' else value.casefold()}"


def of_party(party: Mapping[str, Any], *, region: str = "", domain: str = "") -> Iterator[str]:
    """All that identifies a party of a vCon (core-04 section 4.2), normalized; nothing of bots, and of who hid the number.

    What is no identifier, as what others may write, is left out.
    """
    if party.get("type") == "bot":
        return
    for kind in KINDS:
        value = party.get(kind)
        if not isinstance(value, str) or not value.strip() or (kind == "name" and value.casefold() == "anonymous"):
            continue
        has = _SCHEME.match(value) if kind in {"tel", "sip", "mailto"} else None
        try:
            yield normalized(value if has else f"{kind}:{value}", region=region, domain=domain)
        except ValueError:
            continue


def names_somebody(text: str) -> bool:
    """Whether a text is meant as an identifier of a person, and not as the id of a call: it begins with its kind."""
    return _SCHEME.match(text) is not None


def _number(value: str, region: str, domain: str) -> str:
    """RFC 3966: visual separators and parameters do not count, ``phone-context`` says where a short number is one."""
    import phonenumbers  # read when the first number is, not by every command

    number, _, parameters = value.partition(";")
    context = re.search(r"phone-context=([^;]+)", parameters, re.IGNORECASE)
    if context and context[1].startswith("+"):
        number = context[1] + number
    try:
        parsed = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is not None and phonenumbers.is_possible_number(parsed):
        return f"tel:{phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)}"
    bare = "".join(char for char in number if char.isalnum() or char in "+*#")
    if not bare:
        raise ValueError("it has no digits")
    host = context[1] if context and not context[1].startswith("+") else domain
    return f"sip:{bare.casefold()}@{(host or NOWHERE).casefold()}"


def _sip(value: str) -> str:
    """RFC 3261 section 19.1: the address without password, port, parameters and headers."""
    found = re.search(r"<(?:sips?:)?([^>]*)>", value, re.IGNORECASE)
    address = re.split(r"[;?]", found[1] if found else value, maxsplit=1)[0].strip()
    user, at, host = address.rpartition("@")
    host = re.sub(r":\d+$", "", host).casefold()
    user = unquote(user.partition(":")[0]).casefold()
    if at and user.startswith("+") and _NUMBER.fullmatch(user):
        number = _number(user, "", "")
        if number.startswith("tel:"):
            return number
    if not host:
        raise ValueError("a SIP address is user@host")
    return f"sip:{user}@{host}" if at else f"sip:{host}"
