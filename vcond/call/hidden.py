"""Who asked that his number be not shown, in every form in which systems say so: one rule for all that is shown. Pure.

Where a word stands for a number the whole of it must be such a word: ``Private Caller`` hides, ``Private Bank`` does not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

import msgspec

from vcond.call.events import PartyInfo

NAME: Final = "anonymous"
"""The name of whoever hid the number, in a record (core-04 section 4.2)."""

_HID: Final = (
    "anonymous", "restricted", "private", "withheld", "blocked", "hidden", "suppressed", "undisclosed", "not disclosed",
    "confidential", "unlisted",
    "anonym", "anonymer", "anonyme", "anonimo", "anonima", "anoniem", "privat", "prive", "privee", "privato", "privata",
    "privado", "privada", "confidencial", "riservato", "unterdrückt", "unterdrueckt", "unterdrückte", "geheim", "masqué",
    "masquée", "oculto", "oculta", "nascosto", "verborgen", "afgeschermd", "skjult", "hemligt", "hemlig", "skyddat",
    "аноним", "анонимный", "скрыт", "скрытый", "非通知", "匿名", "隐藏", "隱藏", "발신번호표시제한",
)  # fmt: skip
_NOT_KNOWN: Final = (
    "unavailable", "unknown", "not available", "not known", "not provided", "undefined", "unbekannt", "unbekannter",
    "unbekannte", "inconnu", "inconnue", "desconocido", "desconocida", "desconhecido", "sconosciuto", "sconosciuta",
    "onbekend", "onbekende", "ukendt", "ukjent", "okänd", "okänt", "неизвестный", "неизвестен", "out of area",
    "表示圏外", "通知不可能", "未知",
)  # fmt: skip
_OF: Final = (
    "caller|caller ?id|call|cid|clid|cli|id|number|phone|phone number|name|user|party|subscriber|identity"
    "|nummer|rufnummer|telefonnummer|anrufer|anruf|numero|appelant|appel|correspondant|llamada|chiamata|chamada"
    "|beller|oproep|номер|号码|號碼|来电|來電|番号"
)
_PHRASES: Final = "no ?caller ?id|no ?caller ?number|no ?number"


_BETWEEN: Final = re.compile(r"[\s\-_.\"'<>()\[\]\\/+:,;]+")


def _plain(text: str) -> str:
    """For comparison: one form of Unicode, no case, accents, quotes; words apart by one space."""
    bare = text[:256].casefold()
    if not bare.isascii():
        apart = unicodedata.normalize("NFKD", bare)
        bare = "".join(c for c in apart if not unicodedata.combining(c) or c in "\u3099\u309a")
    return _BETWEEN.sub(" ", bare).strip()


def _whole(words: tuple[str, ...]) -> re.Pattern[str]:
    """One of the words alone, or beside what it is said of: ``Unknown Caller``, ``number withheld``, ``PRIVATENUMBER``."""
    one = "|".join(re.escape(_plain(word)) for word in words)
    return re.compile(rf"(?:(?:{_OF}) ?){{0,2}}(?:is )?(?:{one})(?: ?(?:{_OF})){{0,2}}|{_PHRASES}")


_ASKED: Final = _whole(_HID)
"""Words of whoever does not want to be shown."""
_ANY: Final = _whole(_HID + _NOT_KNOWN)
"""These, and those for a number that the network did not have."""
_SPELT: Final = frozenset({"+266696687", "+7378742883", "+2562533", "+8656696", "+86282452253"})
"""ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a keypad, as Twilio writes them. None of them is long
enough for its country, so nobody has one; without ``+`` three of them are numbers of the United States."""
_SPELT_BARE: Final = frozenset({"266696687", "86282452253"})
_ZEROS: Final = re.compile(r"\+?0{7,}")
"""What FreeSWITCH shows when it knows no number."""
_HOST: Final = "anonymous.invalid"
"""RFC 3323 section 4.1.1.3. (``unknown.invalid``, which 3GPP has beside it, hides nobody here: vcond writes it itself
behind numbers whose domain it does not know.)"""
_PRIVACY: Final = re.compile(r"(?:^|[\s;,])(?:id|user|header|critical|session)(?:$|[\s;,])", re.IGNORECASE)
"""A Privacy header that asks for some (RFC 3323 section 4.2, RFC 3325 section 9.3)."""
_NO_PRIVACY: Final = re.compile(r"(?:^|[\s;,])none(?:$|[\s;,])", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*<)')
"""The name before an address, in which whoever calls may write anything."""
_REMOTE: Final = re.compile(r";\s*privacy\s*=\s*\"?(?:full|uri|name|yes|on)", re.IGNORECASE)
"""``Remote-Party-ID`` (draft-ietf-sip-privacy-04)."""
_WITHIN: Final = re.compile(r"[\s().\-]")
"""What people write between the digits of a number."""
_DIGITS: Final = re.compile(r"\+?[0-9]+")
_SCHEME: Final = re.compile(r"^<?\s*(?:sips?|tel|mailto):")
_URI: Final = re.compile(r"(?:sips?|tel):([^\s>;?]+)", re.IGNORECASE)


def hides(who: PartyInfo) -> bool:
    """Whether a party is not to be shown: it said so, or number, address or name are words for that.

    A name for a number that the network did not have (``Unavailable``) beside a number hides nobody.
    """
    if who.hidden or _number(who.tel) or _address(who.sip) or _address(who.mailto, user=False):
        return True
    if _address(who.name, user=False):
        return True
    if who.tel or who.sip or who.mailto:
        return bool(_ASKED.fullmatch(_plain(who.name)))
    return _number(who.name)


def shown(who: PartyInfo) -> PartyInfo:
    """What may be shown of a party: of whoever hides only what he is, not who."""
    if hides(who):
        return PartyInfo(name=NAME, type=who.type, role=who.role, org=who.org, dept=who.dept, hidden=True)
    if who.name and _ANY.fullmatch(_plain(who.name)):
        return msgspec.structs.replace(who, name="", validation="")
    return who


def asks(header: str, value: str) -> bool:
    """Whether a header of a party's SIP request asks that the party be not shown, or comes from one who is not."""
    name, value = header.lower(), _QUOTED.sub("", value) if header.lower() != "privacy" else value.replace('"', "")
    if name == "privacy":
        return bool(_PRIVACY.search(value)) and not _NO_PRIVACY.search(value)
    if name == "remote-party-id":
        return bool(_REMOTE.search(value))
    if name in {"from", "f", "p-preferred-identity"}:
        found = _URI.search(value)
        return bool(found and _address(unquote(found[1])))
    return False


def _number(text: str) -> bool:
    number = text.strip().removeprefix("tel:").strip()
    digits = _WITHIN.sub("", number)
    if digits in _SPELT or digits in _SPELT_BARE or _ZEROS.fullmatch(digits):
        return True
    return not _DIGITS.fullmatch(digits) and bool(_ANY.fullmatch(_plain(unquote(number))))


def _address(text: str, *, user: bool = True) -> bool:
    """Whether an addr-spec is that of nobody: by its host, or where only the user part is to be looked at, by that."""
    if not text:
        return False
    bare = _SCHEME.sub("", text.strip().lower())
    name, at, rest = bare.rpartition("@")
    host = re.split(r"[:;?>\s]", rest)[0] if at else ""
    if f".{host}".rstrip(".").endswith(f".{_HOST}"):
        return True
    return user and _number(re.split(r"[;:]", name if at else bare)[0])
