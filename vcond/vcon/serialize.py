"""vCon documents as bytes and back, with limits.

Writing is compact UTF-8 JSON in the document's own order of keys, so the same document gives the same bytes. Of two
equal names in an object that is read the last counts.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from vcond.base.errors import ProtocolError
from vcond.vcon.model import Document

LARGEST: Final = 512 << 20
"""Bytes of JSON that are read at most."""

_GZIP: Final = b"\x1f\x8b"


def serialize(document: Document) -> bytes:
    """A document as JSON. Raises TypeError for what is no JSON value."""
    return msgspec.json.encode(document)


def pack(document: Document) -> bytes:
    """A document as ``application/vcon+gzip`` (RFC 1952, without name or time)."""
    maker = zlib.compressobj(wbits=31)
    return maker.compress(serialize(document)) + maker.flush()


def unpacked(data: bytes, largest: int = LARGEST) -> bytes:
    """Bytes that may be gzip as JSON text.

    Raises ProtocolError when they are not whole gzip, or hold more than ``largest`` bytes.
    """
    if not data.startswith(_GZIP):
        plain = data
    else:
        opener = zlib.decompressobj(wbits=31)
        try:
            plain = opener.decompress(data, largest + 1)
        except zlib.error:
            raise ProtocolError("vCon with invalid gzip data") from None
        if len(plain) <= largest and not opener.eof:
            raise ProtocolError("vCon with truncated gzip data")
        if opener.unused_data:
            raise ProtocolError("vCon with bytes after its gzip data")
    if len(plain) > largest:
        raise ProtocolError("vCon too large")
    return plain


def read(data: bytes, largest: int = LARGEST) -> Document:
    """A document from JSON or gzip, of any form: unsigned, signed, encrypted.

    Raises ProtocolError for whatever is no JSON object in UTF-8, is nested too deep or is larger than ``largest`` bytes, unpacked.
    """
    plain = unpacked(data, largest)
    try:
        document = msgspec.json.decode(plain)
    except msgspec.MsgspecError:
        raise ProtocolError("vCon is not JSON") from None
    except RecursionError:
        raise ProtocolError("vCon nested too deep") from None
    except ValueError:
        raise ProtocolError("vCon is not JSON") from None
    if not isinstance(document, dict):
        raise ProtocolError("vCon is not a JSON object")
    return document
