"""Fields of messages from outside, read as leniently as their meaning allows: numbers as strings, two spellings.

All raise ProtocolError, without what was in the message.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pybase64

from vcond.sdk.contract import Codec, ProtocolError
from vcond.sdk.media_stream import LARGEST_NUMBER

LONGEST: Final = 256
"""Characters of a field that is kept."""
RATES: Final = range(8_000, 48_001, 1_000)
"""Samples a second that a track can have."""
CODECS: Final[Mapping[str, Codec]] = {
    **dict.fromkeys(("pcmu", "mulaw", "ulaw", "x-mulaw", "x-ulaw", "basic", "g711_ulaw"), Codec.PCMU),
    **dict.fromkeys(("pcma", "alaw", "x-alaw", "g711_alaw"), Codec.PCMA),
    **dict.fromkeys(
        ("l16", "x-l16", "x-raw", "raw", "pcm", "pcm16", "pcm_s16le", "slin", "slin16", "linear16"), Codec.L16
    ),
}
"""What platforms call codecs, without ``audio/`` and in lower case."""

_RATE: Final = re.compile(r";\s*rate=([0-9]{4,5})")
_decode = msgspec.json.Decoder().decode


def message(raw: bytes) -> dict[str, Any]:
    """A message that is a JSON object."""
    try:
        said = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("message is not JSON") from None
    if not isinstance(said, dict):
        raise ProtocolError("message is not a JSON object")
    return said


def part(of: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """An object in an object; empty when it is not there."""
    for name in names:
        value = of.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            raise ProtocolError(f"{name} is not an object")
    return {}


def extras(of: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What an application added: the first object of these; what is none says nothing."""
    return next((value for name in names if isinstance(value := of.get(name), dict)), {})


def word(of: Mapping[str, Any], *names: str) -> str:
    """The first text of these that is there, cut; empty when none is."""
    for name in names:
        value = of.get(name)
        if isinstance(value, str) and value:
            return value[:LONGEST]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)[:LONGEST]
    return ""


def number(of: Mapping[str, Any], *names: str) -> int:
    """The first number of these that is there, from 0; 0 when none is."""
    for name in names:
        value = of.get(name)
        if value is None:
            continue
        if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is float and 0 <= value <= LARGEST_NUMBER:
            value = round(value)
        if type(value) is int and 0 <= value <= 10 * LARGEST_NUMBER:
            return value
        raise ProtocolError(f"{name} is not a number")
    return 0


def ident(of: Mapping[str, Any], *names: str) -> str:
    """A name of a call or a stream, by the platform. Empty when none is there."""
    found = word(of, *names)
    if found and not (
        len(found) <= 128 and found.isascii() and found.isprintable() and not set(found) & set("/\\ \"'")
    ):
        raise ProtocolError("invalid call id")
    return found


def audio(of: Mapping[str, Any], *names: str) -> bytes:
    """Audio in base64. Neither blanks nor anything else that is no base64 is taken."""
    for name in names:
        value = of.get(name)
        if isinstance(value, str):
            try:
                return pybase64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                break
    raise ProtocolError("audio cannot be decoded")


def codec(name: str) -> Codec | None:
    """What a platform calls a codec; None when it is not one that is taken."""
    return CODECS.get(name.partition(";")[0].strip().lower().removeprefix("audio/"))


def rate(name: str) -> int:
    """The samples a second that the name of a codec says: ``audio/x-l16;rate=16000``. 0 when it says none."""
    found = _RATE.search(name)
    return int(found[1]) if found else 0
