"""SIP messages: bytes to values and back. No sockets, no clock. RFC 3261 sections 7, 8.2 and 18.3.

Lenient where the meaning is clear (bare LF, compact names, blanks, folding, bytes that are no UTF-8), and never at the
cost of a size: each bound below is checked before anything is made of what came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from vcond.base.errors import ProtocolError
from vcond.sip.fields import Address, CSeq, Via, is_token, split

MAX_HEAD: Final = 64 << 10
"""Bytes of start line and header fields; the largest real ones have 4 kB."""
MAX_BODY: Final = 256 << 10
"""Bytes of one body."""
MAX_FIELDS: Final = 256
"""Header fields of one message."""
MAX_FIELD: Final = 8 << 10
"""Characters of one header field; a real Via, User-to-User or Identity has up to 2,000."""

REASONS: Final = {
    100: "Trying", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 405: "Method Not Allowed",
    406: "Not Acceptable", 408: "Request Timeout", 413: "Request Entity Too Large", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small", 469: "Bad Info Package",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "Version Not Supported", 513: "Message Too Large",
}  # fmt: skip
COMPACT: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
    "x": "session-expires", "y": "identity",
}  # fmt: skip
"""IANA, SIP parameters, header fields."""
ONCE: Final = ("from", "to", "call-id", "cseq")
"""What each request has exactly one of."""

Fields = Iterable[tuple[str, str]]
_VERSION: Final = re.compile(r"SIP/(\d{1,5})\.(\d{1,5})", re.IGNORECASE)


class Headers:
    """Header fields in their order, by full names in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Fields = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for name, values in self._fields.items() for value in values)

    def get(self, name: str, default: str = "") -> str:
        """The first value."""
        return self._fields.get(name, (default,))[0]

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name, as they came."""
        return self._fields.get(name, [])

    def values(self, name: str) -> list[str]:
        """The members of a list that may be written with commas or as several fields. Raises ProtocolError."""
        return [part for value in self.all(name) for part in split(value, ",") if part]

    def tokens(self, name: str) -> frozenset[str]:
        """Option tags, in lower case: ``supported``, ``require``. Raises ProtocolError."""
        return frozenset(part.lower() for part in self.values(name))


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Its properties raise ProtocolError unless it passed ``check``, as all do that leave the room."""

    method: str
    uri: str
    """As written."""
    headers: Headers
    body: bytes = field(default=b"", repr=False)

    @property
    def call_id(self) -> str:
        """Of the dialog, as written."""
        return self.headers.get("call-id")

    @property
    def from_tag(self) -> str:
        """Who asked; empty for none (RFC 2543)."""
        return Address.parse(self.headers.get("from")).tag

    @property
    def to_tag(self) -> str:
        """Empty outside of a dialog."""
        return Address.parse(self.headers.get("to")).tag

    @property
    def cseq(self) -> CSeq:
        """Its number and method."""
        return CSeq.parse(self.headers.get("cseq"))

    @property
    def vias(self) -> list[str]:
        """All Via values as written, the last hop first."""
        return self.headers.values("via")

    @property
    def via(self) -> Via:
        """Of the last hop."""
        return Via.parse((self.vias or [""])[0])

    @property
    def content_type(self) -> str:
        """Of the body, as written with its parameters; ``media_type`` is without."""
        return self.headers.get("content-type")

    @property
    def media_type(self) -> str:
        """``application/sdp``, in lower case; empty without a body's type."""
        return self.content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Response:
    """A response, as it is received: to our own BYE and UPDATE."""

    status: int
    reason: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)


Message = Request | Response


class MalformedError(ProtocolError):
    """Bytes that are no SIP message, or one that breaks its grammar."""

    def __init__(self, message: str, status: int = 400, request: Request | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.request = request
        """What is to be answered with ``status``, as far as it was understood; None when nobody can be answered."""


class Head(NamedTuple):
    """A message without its body."""

    start: str
    headers: Headers
    fault: str = ""
    """What is wrong with a header field."""

    @property
    def length(self) -> int | None:
        """Content-Length; None without one. Raises MalformedError when it is none, or when there are two."""
        found = set(self.headers.all("content-length"))
        if not found:
            return None
        text = found.pop()
        if found or not (text.isascii() and text.isdigit() and len(text) < 20):
            raise MalformedError("invalid Content-Length", request=self.answerable())
        if int(text) > MAX_BODY:
            raise MalformedError("body too long", 413, self.answerable())
        return int(text)

    def message(self, body: bytes) -> Message:
        """With its body. Raises MalformedError for what is neither request nor response, or breaks the grammar."""
        if self.start[:4].upper() == "SIP/":
            if self.fault:
                raise MalformedError(self.fault)
            return self._response(body)
        request, version = self._request(body)
        if version != "2.0":
            raise MalformedError("unsupported SIP version", 505, request)
        if self.fault:
            raise MalformedError(self.fault, request=request)
        check(request)
        if self.start != f"{request.method} {request.uri} {self.start[-7:]}" or not request.uri or " " in request.uri:
            raise MalformedError("spaces inside the request line", request=request)
        return request

    def _response(self, body: bytes) -> Response:
        version, _, rest = self.start.partition(" ")
        status, _, reason = rest.partition(" ")
        if version.upper() != "SIP/2.0" or not (status.isascii() and status.isdigit() and 100 <= int(status[:4]) < 700):
            raise MalformedError("invalid status line")
        return Response(int(status), reason, self.headers, body)

    def _request(self, body: bytes) -> tuple[Request, str]:
        words = self.start.split()
        version = _VERSION.fullmatch(words[-1]) if len(words) >= 2 else None
        if version is None or not is_token(words[0]):
            raise MalformedError("invalid start line")
        request = Request(words[0], " ".join(words[1:-1]), self.headers, body)
        return request, f"{int(version[1])}.{int(version[2])}"

    def answerable(self) -> Request | None:
        """The request without its body, so that a refusal can be sent; None for a response and what is neither."""
        try:
            return self._request(b"")[0]
        except MalformedError:
            return None


def read_head(data: bytes) -> Head:
    """Start line and header fields, without the empty line. Raises MalformedError when they are none, or too many."""
    if len(data) > MAX_HEAD:
        raise MalformedError("header too long", 513)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > 2 * MAX_FIELDS:
        raise MalformedError("too many header fields", 513)
    start, *rest = (line.removesuffix("\r") for line in lines)
    if len(start) > MAX_FIELD or "\r" in start or "\0" in start:
        raise MalformedError("invalid start line")
    fields: list[tuple[str, str]] = []
    fault = ""
    for line in unfolded(rest):
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if not colon or not is_token(name):
            fault = "invalid header field"
        elif len(line) > MAX_FIELD or "\r" in line or "\0" in line:
            fault = "header field too long or with a control character"
        else:
            name = name.lower()
            fields.append((COMPACT.get(name, name), value.strip()))
    if len(fields) > MAX_FIELDS:
        fault = "too many header fields"
    return Head(start, Headers(fields[:MAX_FIELDS]), fault)


def unfolded(lines: Iterable[str]) -> Iterator[str]:
    """Lines that begin with a blank go on with the line before (RFC 3261 section 7.3.1)."""
    pieces: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and pieces:
            pieces.append(line.strip())
            continue
        if pieces:
            yield " ".join(pieces)
        pieces = [line]
    if pieces:
        yield " ".join(pieces)


def read(datagram: bytes) -> Message | None:
    """A datagram's message; None for a keep-alive (RFC 5626 section 3.5.1). Raises MalformedError.

    Without Content-Length the body goes on to the end; what is behind it is left out (RFC 3261 section 18.3).
    """
    data = datagram.lstrip(b"\r\n")
    if not data.strip(b"\0"):
        return None
    found = END_OF_HEAD.search(data, 0, MAX_HEAD + 4)
    if found is None:
        raise MalformedError("datagram without the end of its header")
    head = read_head(data[: found.start()].removesuffix(b"\r"))
    length = head.length
    body = data[found.end() :]
    if length is None and len(body) > MAX_BODY:
        raise MalformedError("body too long", 413)
    message = head.message(body if length is None else body[:length])
    if length is not None and len(body) < length:
        raise MalformedError(
            "body shorter than Content-Length", request=message if isinstance(message, Request) else None
        )
    return message


END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
"""Its last header field's line end, then an empty line."""


def check(request: Request) -> None:
    """What every request must have (RFC 3261 sections 8.1.1 and 8.2). Raises MalformedError with what to answer."""
    headers = request.headers
    for name in ONCE:
        if len(headers.all(name)) != 1 or not headers.get(name):
            raise MalformedError(f"not exactly one {name}", request=request)
    if len(headers.all("max-forwards")) > 1:
        raise MalformedError("more than one Max-Forwards", request=request)
    hops = headers.get("max-forwards", "70")
    if not (hops.isascii() and hops.isdigit() and len(hops) <= 5 and int(hops) <= 255):
        raise MalformedError("invalid Max-Forwards", request=request)
    try:
        method = request.cseq.method
        _ = request.via, request.from_tag, request.to_tag
        for name in ("require", "supported", "record-route", "route", "contact"):
            headers.values(name)
    except ProtocolError as why:
        raise MalformedError(str(why), request=request) from None
    if method != request.method:
        raise MalformedError("CSeq of another method", request=request)


def encode(start: str, fields: Fields, body: bytes = b"") -> bytes:
    """A message's bytes; Content-Length is added. Raises ValueError for a line end in a field: ours to prevent."""
    lines = [start, *(f"{name}: {value}" for name, value in fields), f"Content-Length: {len(body)}", "", ""]
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("line end inside a header field")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
