"""What an answer means that is not the documented success: whose fault it is, and what mends it. Pure.

Only one answer judges a vCon: a 422 about its content that is the conserver's own. FastAPI answers with a JSON object of
``detail`` alone, which names the place of each error. Everything else judges the way to it: the key, the list, the
address, a proxy that changes what is sent. That is set right by somebody, and until then the sink is held: no vCon is
given up for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from vcond.sdk.sink import Refused, Retry, bounded

LATER: Final = {408, 425, 429}
"""4xx that say "not now"."""
WHOLE_SINK: Final = {429, 502, 503, 504}
"""Answers about the receiver as such."""
INVALID: Final = "the receiver rejects it as invalid; see its answer with: vcond outbox --json"
CHANGED: Final = (
    "a proxy changes query, headers or body: the conserver got another {} than vcond sent; what stands between the two "
    "must pass on the query, the headers and the body as they come"
)
NO_KEY: Final = frozenset({b'"API Key required"', b'"Not authenticated"'})
"""Said with 403 when the header of the token did not arrive (vcon-server; FastAPI's own)."""
UNREADABLE: Final = b'"There was an error parsing the body"'
"""Said with 400 when the body is packed, or no text (FastAPI). vcond sends neither."""
ABOUT_THE_WHOLE: Final = frozenset({"value_error", "assertion_error"})
"""Errors at the place of the whole body that its model's own checks raise (pydantic)."""
HELD: Final = {
    401: "the receiver refuses the token: correct `token`",
    403: "the receiver refuses the token, or has no such ingress list: correct `token` or `ingress_lists`",
    404: "there is no API at this address: correct `url`, or wait until the receiver runs again behind its proxy",
    405: "this is not the address of the API: correct `url` (without /vcon)",
    407: "a proxy needs a password: let vcond reach the receiver directly",
}
SIZE_LIMITS: Final = {
    "the conserver": "the limit of the conserver, or of its server,",
    "nginx": "`client_max_body_size` of nginx (1 MB unless it is set; ingress-nginx: annotation proxy-body-size)",
    "Apache": "`LimitRequestBody` of Apache",
    "Traefik": "`maxRequestBodyBytes` of Traefik's buffering middleware",
    "Caddy": "`request_body max_size` of Caddy",
    "HAProxy": "the rule on `req.body_size` of HAProxy",
    "Envoy": "`max_request_bytes` of Envoy's buffer filter",
    "IIS": "`maxAllowedContentLength` of IIS",
    "Cloudflare": "the size of uploads that your Cloudflare plan allows",
}
_NAMES: Final = {
    "nginx": "nginx",
    "openresty": "nginx",
    "apache": "Apache",
    "traefik": "Traefik",
    "caddy": "Caddy",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "iis": "IIS",
    "cloudflare": "Cloudflare",
}
"""What proxies call themselves, in ``Server`` or in the page that they answer with."""
_TLS: Final = {
    9: ("tls:not-yet-valid", "its certificate is not valid yet", "check the clocks of both machines"),
    10: ("tls:expired", "its certificate has expired", "renew the receiver's certificate"),
    18: ("tls:self-signed", "its certificate is self-signed", "put it into a file and set `ca_file` to that"),
    19: ("tls:unknown-authority", "its certificate comes from an unknown authority",
         "put the certificate of that authority into a file and set `ca_file` to it"),
    62: ("tls:name", "its certificate is for another name", "use a name in `url` that the certificate has"),
    64: ("tls:name", "its certificate is not for this IP address", "use a name in `url` that the certificate has"),
}  # fmt: skip
"""By X509_V_ERR_* of OpenSSL: reason, what is wrong, what mends it."""
_TLS_LIKE: Final = {2: 19, 20: 19, 21: 19, 63: 62}


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    """How FastAPI says no."""

    detail: msgspec.Raw


class _Error(msgspec.Struct):
    """One of the errors of a 422, as FastAPI tells it."""

    loc: list[str | int]
    type: str = ""


def not_taken(status: int, headers: Mapping[str, str], answer: bytes, at: URL) -> Retry | Refused:
    """What an answer of ``at`` other than the documented success means."""
    text = bounded(answer)
    if status in LATER or status >= 500:
        return Retry(
            f"http:{status}",
            status=status,
            answer=text,
            after=retry_after(headers),
            whole_sink=status in WHOLE_SINK,
            detail=f"{_who(headers, answer)} at {place(at)} answers {status}",
        )
    own = _own(headers, answer)
    changed = _changed(status, own)
    if status == 422 and own is not None and changed == "":
        return Refused(f"refused:{status}", status=status, answer=text, hint=INVALID)
    who = _who(headers, answer)
    detail = f"{who} at {place(at)} answers {status}"
    if status == 413:
        limit = SIZE_LIMITS.get(who, "the limit of the proxies between vcond and the receiver")
        hint = f"raise {limit}; vcond retries by itself, or at once with: vcond outbox retry"
        reason = "proxy:413" if own is None else "refused:413"
        return Retry(reason, status=413, answer=text, detail=detail, hint=hint, too_large=True)
    reason = f"refused:{status}" if status >= 400 else f"unexpected:{status}"
    hint = CHANGED.format(changed) if changed else _hint(status, headers, answer, at, own=own is not None)
    hint = f"{hint}; vcond retries by itself, or at once with: vcond outbox retry"
    return Retry(reason, status=status, answer=text, detail=detail, hint=hint, held=True)


def is_own(headers: Mapping[str, str], answer: bytes) -> bool:
    """Whether the conserver itself said no: a JSON object of ``detail`` alone.

    What has other members beside it is a gateway's, and so is problem+json (RFC 9457).
    """
    return _own(headers, answer) is not None


def _own(headers: Mapping[str, str], answer: bytes) -> bytes | None:
    """The ``detail`` of the conserver's own answer, as JSON; None = somebody else's answer."""
    media = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        return None
    try:
        return bytes(msgspec.json.decode(answer, type=_Own).detail)
    except (ValueError, RecursionError):
        return None


def _changed(status: int, own: bytes | None) -> str | None:
    """What did not arrive as it was sent, by the conserver's own word; "" = it is about the content, None = unknown."""
    if own is None:
        return None
    if status == 403 and own in NO_KEY:
        return "header"
    if status == 400 and own == UNREADABLE:
        return "body"
    if status != 422:
        return None
    try:
        errors = msgspec.json.decode(own, type=list[_Error])
    except (ValueError, RecursionError):
        return None
    parts = [_part(error) for error in errors]
    return next(filter(None, parts), "") if parts else None


def _part(error: _Error) -> str:
    """The part of the request that an error is about, "" when it is a place inside of a vCon that was read.

    A body that is missing, no JSON or no object has a place without a member's name: ``["body"]``, ``["body", 17]``.
    """
    where = error.loc[0] if error.loc else ""
    if where != "body":
        return str(where) if where in {"query", "header", "path", "cookie"} else "request"
    inside = isinstance(error.loc[1], str) if len(error.loc) > 1 else error.type in ABOUT_THE_WHOLE
    return "" if inside else "body"


def wrong_echo(answer: bytes, at: URL) -> Retry:
    """A 201 that does not give back what was sent."""
    return Retry(
        "unexpected:201",
        status=201,
        answer=bounded(answer),
        detail=f"what answers at {place(at)} does not return what was sent: it is not a conserver",
        hint="correct `url`; vcond retries by itself, or at once with: vcond outbox retry",
        held=True,
    )


def no_conserver(status: int, answer: bytes, at: URL) -> Retry:
    """Something answers at the address, and it is no conserver."""
    return Retry(
        f"unexpected:{status}",
        status=status,
        answer=bounded(answer),
        detail=f"{_who({}, answer)} answers at {place(at)}, not a conserver",
        hint="correct `url`: the root of the conserver's API, such as http://host:8000/api",
        held=True,
    )


def not_reached(why: Exception, at: URL) -> Retry:
    """What a connection that failed means."""
    where = place(at)
    if isinstance(why, TimeoutError):
        return Retry(
            "timeout",
            whole_sink=True,
            detail=f"{where} does not answer in time",
            hint="check its load and the firewall; `connect_timeout` and `total_timeout` set how long vcond waits",
        )
    if isinstance(why, aiohttp.ClientSSLError):
        return _tls(why, where)
    if isinstance(why, aiohttp.ClientConnectorDNSError):
        return Retry(
            "unreachable",
            whole_sink=True,
            answer="DNS",
            detail=f"no address is found for the name {at.host}",
            hint="check `url` and the DNS of this machine",
        )
    if isinstance(why, aiohttp.ClientConnectorError):
        said = why.strerror or type(why.os_error).__name__
        return Retry(
            "unreachable",
            whole_sink=True,
            answer=said,
            detail=f"no connection to {where}: {said}",
            hint="check that the receiver runs, `url` and the firewall",
        )
    return Retry(
        "connection-lost",
        whole_sink=True,
        answer=type(why).__name__,
        detail=f"{where} closed the connection, or does not speak HTTP ({type(why).__name__})",
        hint="check that `url` is that of the receiver, with http or https as it needs",
    )


def certificate(cause: ssl.SSLCertVerificationError) -> tuple[str, str, str]:
    """Reason, what is wrong with it, what mends it."""
    code = cause.verify_code
    return _TLS.get(
        _TLS_LIKE.get(code, code),
        ("tls", f"its certificate is not accepted ({cause.verify_message})", "check the receiver's certificate"),
    )


def _tls(why: aiohttp.ClientSSLError, where: str) -> Retry:
    """Certificates by what is wrong with them; else whether the other side speaks TLS at all."""
    cause = why.certificate_error if isinstance(why, aiohttp.ClientConnectorCertificateError) else why.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason, what, hint = certificate(cause)
    else:
        name = getattr(cause, "reason", None) or type(cause).__name__
        if name in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
            reason, what, hint = (
                "tls:plain",
                "this port does not use TLS",
                "use http:// in `url`, or the TLS port of the receiver",
            )
        else:
            reason, what, hint = "tls", f"no TLS connection ({name})", "check the receiver's TLS versions and ciphers"
    return Retry(reason, answer=what, detail=f"{where}: {what}", hint=hint, held=True)


def elsewhere(headers: Mapping[str, str], at: URL) -> str:
    """Scheme, host and port of a redirect; more of it may be a secret. Empty when it names nothing of use."""
    try:
        other = at.join(URL(headers.get("Location", "")[:2048]))
        return str(other.origin()) if other.host and other.origin() != at.origin() else ""
    except ValueError:
        return ""


def _hint(status: int, headers: Mapping[str, str], answer: bytes, at: URL, *, own: bool) -> str:
    if status == 400 and b"plain HTTP request was sent to HTTPS port" in answer:
        return "this port uses TLS: use https:// in `url`"
    if 300 <= status < 400 and (other := elsewhere(headers, at)):
        return f"it redirects to {other}; vcond does not follow redirects: if that is the conserver, put it into `url`"
    if status < 400:
        return "this is not the answer of a conserver, and it is unknown whether it has the vCon: correct `url`"
    if own or status in {404, 405, 407}:
        return HELD.get(status, "see its answer with: vcond outbox --json")
    who = _who(headers, answer)
    if status in HELD:
        return f"{HELD[status]}; it is {who} that answers, not the conserver: look there, too"
    return f"it is {who} that answers, not the conserver: look there (a limit, a firewall), and at `url`"


def _who(headers: Mapping[str, str], answer: bytes) -> str:
    """Who speaks where a conserver is expected, in words of ours."""
    return "the conserver" if is_own(headers, answer) else speaker(headers, answer)


def speaker(headers: Mapping[str, str], answer: bytes) -> str:
    """What a server calls itself, in words of ours."""
    told = f"{headers.get('Server', '')[:200]} {answer[:2048].decode('latin-1')}".lower()
    name = next((name for sign, name in _NAMES.items() if sign in told), None)
    if name is None and answer.strip() == b"404 page not found":
        name = "Traefik"
    if name is not None:
        return name
    page = b"<html" in answer[:2048].lower() or b"<!doctype html" in answer[:2048].lower()
    return "a web page" if page else "something"


def place(at: URL) -> str:
    """An address without its query."""
    return str(at.with_query(None))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110 section 10.2.3); a date counts from the answer's own Date, whatever our clock says."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
