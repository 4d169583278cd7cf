"""What comes from others: whether it can be kept, and the little of it that is remembered beside it. Pure.

Mirrors what vcon-server's model refuses (b9b0381; its 422), and is no more strict: the bytes are kept as they came. Of what is not
asked for nothing is decoded, so that a vCon of any content takes little more memory than its bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from vcond.base.errors import ProtocolError
from vcond.base.time import SECOND, Instant, parse_rfc3339
from vcond.vcon.model import LAWFUL_BASIS, Document

T = TypeVar("T")
MOST_OBJECTS: Final = 500_000
"""JSON objects in one vCon: a call of ten hours has a fifth of it, with each word in two transcripts."""
LONGEST: Final = 4096
"""Bytes of a value that is looked at."""
LARGEST_BODY: Final = 1 << 16
"""Bytes of an attachment that is looked at."""
MOST: Final = 64
"""Analyses and attachments that are looked at."""
PIECE: Final = 1 << 20
LAST: Final = 253_402_300_800
"""Seconds from 1970 to the year 10000."""
_OBJECTS: Final = ("dialog", "group")
_NOTHING: Final = msgspec.Raw(b"")


class Problem(NamedTuple):
    """One thing that is wrong, in the form of FastAPI's 422."""

    type: str
    loc: tuple[str | int, ...]
    msg: str


class NotTakenError(ProtocolError):
    """This is no vCon that can be kept."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, one.loc))}: {one.msg}" for one in problems))
        self.problems = problems


class Received(NamedTuple):
    """What is known of a vCon that came."""

    uuid: str
    created: Instant
    """Its ``created_at``; a date without an offset is UTC."""
    document: Document
    """Parties, who transcribed, lawful bases and tags: what index, ledger and rules look at, and nothing else."""
    tags: list[tuple[str, str]]


class _Object(msgspec.Struct):
    """Any object; nothing of it is read."""


class _Party(msgspec.Struct):
    tel: msgspec.Raw = _NOTHING
    sip: msgspec.Raw = _NOTHING
    mailto: msgspec.Raw = _NOTHING
    name: msgspec.Raw = _NOTHING
    uuid: msgspec.Raw = _NOTHING
    type: msgspec.Raw = _NOTHING


class _Options(msgspec.Struct):
    engines: msgspec.Raw = _NOTHING


class _Metadata(msgspec.Struct):
    options: _Options = msgspec.field(default_factory=_Options)


class _Transcript(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Analysis(msgspec.Struct):
    vendor: msgspec.Raw = _NOTHING
    product: msgspec.Raw = _NOTHING
    body: msgspec.Raw = _NOTHING


class _Attachment(msgspec.Struct):
    purpose: msgspec.Raw = _NOTHING
    type: msgspec.Raw = _NOTHING
    party: msgspec.Raw = _NOTHING
    body: msgspec.Raw = _NOTHING


class _Top(msgspec.Struct):
    vcon: msgspec.Raw = _NOTHING
    uuid: msgspec.Raw = _NOTHING
    created_at: msgspec.Raw = _NOTHING
    subject: msgspec.Raw = _NOTHING
    redacted: msgspec.Raw = _NOTHING
    appended: msgspec.Raw = _NOTHING
    group: msgspec.Raw = _NOTHING
    parties: msgspec.Raw = _NOTHING
    dialog: msgspec.Raw = _NOTHING
    analysis: msgspec.Raw = _NOTHING
    attachments: msgspec.Raw = _NOTHING


def received(body: bytes) -> Received:
    """What is known of it. Raises NotTakenError."""
    if body.count(b"{") > MOST_OBJECTS:
        raise NotTakenError(Problem("too_many", ("body", "vcon"), f"more than {MOST_OBJECTS} objects"))
    if not _is_utf8(body):
        raise NotTakenError(Problem("json_invalid", ("body", 0), "not UTF-8"))
    top = _top(body)
    wrong = [*_head_problems(top)]
    parties = _objects(top, "parties", _Party, wrong)
    analyses = _objects(top, "analysis", _Analysis, wrong)
    attachments = _objects(top, "attachments", _Attachment, wrong)
    for name in _OBJECTS:
        _objects(top, name, _Object, wrong)
    if wrong:
        raise NotTakenError(*wrong)
    kept = [found for one in attachments[:MOST] if (found := _attachment(one))]
    document = {
        "parties": [_values(one) for one in parties],
        "analysis": [_analysis(one) for one in analyses[:MOST]],
        "attachments": kept,
    }
    uuid, created = _value(top.uuid), _moment(_value(top.created_at))
    return Received(uuid, created, document, list(_tags(kept)))


def _is_utf8(body: bytes) -> bool:
    """Without a second copy of it."""
    if body.isascii():
        return True
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(body)
    try:
        for start in range(0, len(body), PIECE):
            decoder.decode(view[start : start + PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _top(body: bytes) -> _Top:
    try:
        return msgspec.json.decode(body, type=_Top)
    except msgspec.ValidationError:
        raise NotTakenError(Problem("model_attributes_type", ("body",), "Input should be a valid dictionary")) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotTakenError(Problem("json_invalid", ("body", 0), "JSON decode error")) from None


def _head_problems(top: _Top) -> Iterator[Problem]:
    for name in ("vcon", "uuid", "created_at"):
        if not getattr(top, name):
            yield Problem("missing", ("body", name), "Field required")
    if top.vcon and not isinstance(_value(top.vcon), str):
        yield Problem("string_type", ("body", "vcon"), "Input should be a valid string")
    uuid = _value(top.uuid)
    if top.uuid and not _is_uuid(uuid):
        yield Problem("uuid_parsing", ("body", "uuid"), "Input should be a valid UUID, in lower case, as 8-4-4-4-12")
    if top.created_at:
        try:
            _moment(_value(top.created_at))
        except ValueError:
            yield Problem("datetime_parsing", ("body", "created_at"), "Input should be a valid datetime")
    for name, wanted, null in (("subject", b'"', True), ("redacted", b"{", False), ("appended", b"{", True)):
        first = memoryview(getattr(top, name))[:1].tobytes()
        if first and first != wanted and not (null and first == b"n"):
            yield Problem("type", ("body", name), "Input has the wrong type")


def _objects(top: _Top, name: str, kind: type[T], wrong: list[Problem]) -> list[T]:
    """An array of objects, which need not be there; ``wrong`` is added to when it is something else."""
    raw: msgspec.Raw = getattr(top, name)
    if not raw:
        return []
    try:
        found: list[T] = msgspec.json.decode(raw, type=list[kind])  # type: ignore[valid-type]  # a type at run time
    except (ValueError, RecursionError):
        wrong.append(Problem("list_type", ("body", name), "Input should be a valid list of dictionaries"))
        return []
    return found


def _value(raw: msgspec.Raw, most: int = LONGEST) -> Any:
    """What it says; None where it is missing, or longer than what is looked at."""
    view = memoryview(raw)
    if not view.nbytes or view.nbytes > most:
        return None
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(raw)
    return None


def _values(item: msgspec.Struct) -> dict[str, Any]:
    """The members that are there and short, by name."""
    found = {name: _value(getattr(item, name)) for name in item.__struct_fields__}
    return {name: value for name, value in found.items() if value is not None}


def _analysis(one: _Analysis) -> dict[str, Any]:
    """Vendor and product, and which engines a WTF transcript names."""
    made = {name: value for name in ("vendor", "product") if isinstance(value := _value(getattr(one, name)), str)}
    with suppress(ValueError, RecursionError):
        engines = _value(msgspec.json.decode(one.body, type=_Transcript).metadata.options.engines)
        if isinstance(engines, list):
            return {**made, "body": {"metadata": {"options": {"engines": engines}}}}
    return made


def _attachment(one: _Attachment) -> dict[str, Any]:
    """One with a lawful basis or tags; nothing of another."""
    what = _value(one.purpose) or _value(one.type)
    body = _value(one.body, LARGEST_BODY)
    if what not in (LAWFUL_BASIS, "tags") or body is None:
        return {}
    return {"purpose": what, "party": _value(one.party), "body": body}


def _tags(attachments: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """As an object, or as ``name:value`` in an array, as the conserver has them."""
    for one in attachments:
        body = one["body"] if one["purpose"] == "tags" else None
        if isinstance(body, str):
            with suppress(ValueError, RecursionError):
                body = msgspec.json.decode(body)
        if isinstance(body, dict):
            yield from ((name, value) for name, value in body.items() if isinstance(value, str))
        for tag in body if isinstance(body, list) else ():
            name, _, value = str(tag).partition(":")
            yield name, value


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _moment(value: Any) -> Instant:
    """Raises ValueError for what is no date: RFC 3339, one without an offset, or seconds since 1970."""
    if isinstance(value, str):
        try:
            return parse_rfc3339(value)
        except (ValueError, OverflowError):
            naive = datetime.fromisoformat(value).replace(tzinfo=UTC)  # raises ValueError
            return Instant(round(naive.timestamp()) * SECOND)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LAST:
        return Instant(round(value * SECOND))
    raise ValueError("no date")
