"""What stands in SIP header fields: lists, parameters, URIs, addresses, Via. RFC 3261 sections 19, 20 and 25.

Everything is read in one pass, so that no text takes more than its length in time, and is kept as it came: answers
give Via, From and To back byte for byte. Text is UTF-8 with lone surrogates for bytes that are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple, Self

from vcond.base.errors import ProtocolError

MAX_PARTS: Final = 256
"""Parts of one list or parameters of one value; real ones have a dozen."""
MAX_CSEQ: Final = 1 << 31
"""RFC 3261 section 8.1.1.5."""

_MARK: Final = re.compile(r'["\\<>,;]')
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*")
_SPACE: Final = re.compile(r"\s")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_HOST: Final = re.compile(r"[A-Za-z0-9\-._]+")


def is_token(text: str) -> bool:
    """Whether it is a token of RFC 3261 section 25.1."""
    return _TOKEN.fullmatch(text) is not None


def split(text: str, mark: str) -> list[str]:
    """The parts between ``mark`` (a comma or semicolon) outside quotes and angle brackets, stripped, empty ones too.

    Raises ProtocolError for more than MAX_PARTS and for a quote without its end.
    """
    parts: list[str] = []
    start, quoted, angled, skipped = 0, False, False, -1
    for found in _MARK.finditer(text):
        at, char = found.start(), found[0]
        if at == skipped:
            continue
        if quoted:
            if char == "\\":
                skipped = at + 1
            quoted = char != '"'
        elif char == '"':
            quoted = not angled
        elif char in "<>":
            angled = char == "<"
        elif char == mark and not angled:
            parts.append(text[start:at].strip())
            start = at + 1
            if len(parts) >= MAX_PARTS:
                raise ProtocolError("SIP header field with too many parts")
    if quoted:
        raise ProtocolError("quoted string without an end")
    parts.append(text[start:].strip())
    return parts


def unquote(text: str) -> str:
    """A quoted string without its quotes and backslashes; anything else as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def parameters(parts: list[str]) -> dict[str, str]:
    """``["a=1", "b"]`` as ``{"a": "1", "b": ""}``: names in lower case, values unquoted, the first of two alike."""
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), unquote(value.strip()))
    return found


def host_port(text: str) -> tuple[str, int | None]:
    """``host``, ``host:port``, ``[::1]:port``; raises ProtocolError for what is no host or no port."""
    text = text.strip()
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        try:
            ip_address(host)
        except ValueError:
            closed = ""
        if not closed:
            raise ProtocolError("invalid IPv6 address")
        colon, port = rest.strip()[:1], rest.strip()[1:]
    else:
        host, colon, port = text.partition(":")
        host = host.strip()
        if not _HOST.fullmatch(host):
            raise ProtocolError("invalid host")
    if not colon:
        return host, None
    port = port.strip()
    if colon != ":" or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ProtocolError("invalid port")
    return host, int(port)


class Uri(NamedTuple):
    """A URI. Of other schemes than sip and sips, ``user`` is all that stands before the parameters."""

    scheme: str
    """In lower case."""
    user: str = ""
    """As written, with its escapes and the password."""
    host: str = ""
    port: int | None = None
    params: str = ""
    """As written: ``;transport=tcp;lr``."""
    headers: str = ""
    """As written, without the question mark."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ProtocolError when it is none."""
        scheme, colon, rest = text.partition(":")
        if not colon or not _SCHEME.fullmatch(scheme) or not rest or _SPACE.search(text):
            raise ProtocolError("invalid URI")
        scheme = scheme.lower()
        if scheme not in {"sip", "sips"}:
            user, mark, params = rest.partition(";")
            return cls(scheme, user, params=mark + params)
        user, at, where = rest.partition("@")  # a user may hold semicolons and question marks, a host none
        if not at:
            user, where = "", rest
        where, _, headers = where.partition("?")
        where, mark, params = where.partition(";")
        return cls(scheme, user, *host_port(where), mark + params, headers)

    def param(self, name: str) -> str | None:
        """A parameter's value, empty for one without; None when it is not there."""
        return parameters(self.params.split(";", MAX_PARTS)).get(name)


@dataclass(frozen=True, slots=True)
class Address:
    """A name-addr or addr-spec, as in From, To, Contact, Route (RFC 3261 section 20.10)."""

    uri: str
    """As written; ``Uri.parse`` takes it apart."""
    name: str = ""
    """The display name, unquoted."""
    params: tuple[tuple[str, str], ...] = ()
    """Parameters of the header field, names in lower case."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Without brackets what follows a semicolon belongs to the header field. Raises ProtocolError."""
        parts = split(text, ";")
        name, uri = "", parts[0]
        if uri.endswith(">"):
            name, uri = _bracketed(uri)
        elif _SPACE.search(uri) or "<" in uri:
            raise ProtocolError("invalid address")
        if not uri:
            raise ProtocolError("address without a URI")
        return cls(uri, unquote(name.strip()), tuple(parameters(parts[1:]).items()))

    def param(self, name: str) -> str | None:
        """A parameter's value, empty for one without; None when it is not there."""
        return dict(self.params).get(name)

    @property
    def tag(self) -> str:
        """The tag; empty for none (RFC 2543)."""
        return self.param("tag") or ""


def _bracketed(text: str) -> tuple[str, str]:
    """``Name <uri>`` as name and URI; a second bracket, which some write, is none."""
    at = 0
    if text.startswith('"'):
        end = _QUOTED.match(text)
        at = end.end() if end else 0
    at = text.find("<", at)
    if at < 0:
        raise ProtocolError("invalid address")
    return text[:at], text[at + 1 : -1].lstrip("<").strip()


class Via(NamedTuple):
    """One Via value (RFC 3261 section 20.42)."""

    transport: str
    """In upper case."""
    host: str
    """The sent-by as the client wrote it: not necessarily where it is."""
    port: int | None
    params: dict[str, str]
    """``rport`` is empty when it is only asked for."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ProtocolError when it is none."""
        head, *rest = split(text, ";")
        protocol, _, sent_by = head.replace("\t", " ").replace(" / ", "/").replace("/ ", "/").partition(" ")
        if protocol.endswith("/") or sent_by.lstrip().startswith("/"):  # "SIP / 2.0 / UDP host", with more blanks
            name, version, *more = (piece.strip() for piece in head.split("/", 2))
            transport, _, sent_by = (more[0] if more else "").partition(" ")
            protocol = f"{name}/{version}/{transport}"
        pieces = protocol.split("/")
        if len(pieces) != 3 or [piece.upper() for piece in pieces[:2]] != ["SIP", "2.0"] or not is_token(pieces[2]):
            raise ProtocolError("Via of another protocol")
        return cls(pieces[2].upper(), *host_port(sent_by), parameters(rest))

    @property
    def branch(self) -> str:
        """The branch; empty for none (RFC 2543)."""
        return self.params.get("branch", "")


class CSeq(NamedTuple):
    """RFC 3261 section 20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ProtocolError when it is none, or 2**31 and more."""
        number, _, method = text.replace("\t", " ").strip().partition(" ")
        if not (number.isascii() and number.isdigit() and len(number) < 20 and int(number) < MAX_CSEQ):
            raise ProtocolError("invalid CSeq")
        if not is_token(method.strip()):
            raise ProtocolError("CSeq without a method")
        return cls(int(number), method.strip())
