"""What vouches for a webhook: each platform signs what it posts in a way of its own. Pure.

Source: each platform's page on webhook security, and its library, which judges these in test_stream_sdks.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vcond.sdk.contract import SECOND, ProtocolError, parse_rfc3339
from vcond.sdk.media_stream import candidates, names_body, same, twilio_signed
from vcond_stream import fields
from vcond_stream.trust import Asked, basic, is_pair

FRESH: Final = 300
"""Seconds by which a platform's clock and ours may differ, and for which a request can be repeated."""
LEEWAY: Final = 60
"""Seconds by which a token may be ahead of our clock; LiveKit's own library lets it be over for as long, too."""
MOST_FIELDS: Final = 200
JAMBONZ: Final = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
SINCH: Final = re.compile(r"application ([^:\s]{1,128}):(\S{1,128})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Posted:
    """A webhook as it came."""

    asked: Asked
    body: bytes

    @property
    def form(self) -> list[tuple[str, str]]:
        """Names and values of a form. Raises ProtocolError."""
        try:
            text = self.body.decode()
            return parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MOST_FIELDS)
        except ValueError:
            raise ProtocolError("body is not a form") from None

    @property
    def urls(self) -> list[str]:
        """What may have been posted to."""
        return candidates(self.asked.base, self.asked.target, ("https",))

    def header(self, name: str) -> str:
        """A header; empty when it is not there."""
        return self.asked.headers.get(name, "")

    def fresh(self, at: float) -> bool:
        """Whether a moment, seconds since 1970, is near enough to now."""
        return abs(self.asked.now - at) <= FRESH


def telnyx(posted: Posted, secret: str) -> bool:
    """Ed25519 over ``timestamp|body``; the secret is the account's public key in base64."""
    at = posted.header("telnyx-timestamp")
    if not (at.isascii() and at.isdigit() and len(at) <= 12 and posted.fresh(int(at))):
        return False
    try:
        signature = base64.b64decode(posted.header("telnyx-signature-ed25519").encode(), validate=True)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret, validate=True))
        key.verify(signature, f"{at}|".encode() + posted.body)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def vonage(posted: Posted, secret: str) -> bool:
    """A JWT with the signature secret, which names the body by ``payload_hash`` (hex of its SHA-256)."""
    scheme, _, token = posted.header("authorization").partition(" ")
    claims = _claims(token, secret, posted.asked.now, 0) if scheme.lower() == "bearer" else None
    if claims is None or not posted.fresh(_moment(claims, "iat", 0)):
        return False
    return same(_word(claims, "payload_hash"), hashlib.sha256(posted.body).hexdigest())


def livekit(posted: Posted, secret: str) -> bool:
    """A JWT of the API key, which names the body by ``sha256`` (base64); the secret is ``API key:API secret``."""
    key, _, signing = secret.partition(":")
    claims = _claims(posted.header("authorization"), signing, posted.asked.now, LEEWAY)
    if claims is None or "exp" not in claims or not same(_word(claims, "iss"), key):
        return False
    return same(_word(claims, "sha256"), base64.b64encode(hashlib.sha256(posted.body).digest()).decode())


def bandwidth(posted: Posted, secret: str) -> bool:
    """``Authorization: Basic`` of the callback: the secret is ``user:password``."""
    return basic(posted.asked, secret)


def jambonz(posted: Posted, secret: str) -> bool:
    """``Jambonz-Signature``: hex of HMAC-SHA256 over ``timestamp.body``, with the account's webhook secret."""
    found = JAMBONZ.fullmatch(posted.header("jambonz-signature"))
    if found is None or not posted.fresh(int(found[1])):
        return False
    return same(found[2], hmac.digest(secret.encode(), f"{found[1]}.".encode() + posted.body, "sha256").hex())


def signalwire(posted: Posted, secret: str) -> bool:
    """Hex over URL and body (SHA-1, or SHA-256 in a header of its own), or Twilio's signature: a form's values as often as they come."""
    given = posted.header("x-signalwire-signature") or posted.header("x-twilio-signature")
    stronger, valid = posted.header("x-signalwire-sha256-signature"), False
    for url in posted.urls:
        signed = url.encode("utf-8", "surrogateescape") + posted.body
        for one, algorithm in ((given, "sha1"), (stronger, "sha256")):
            valid |= same(one, hmac.digest(secret.encode(), signed, algorithm).hex())
    if names_body(posted.asked.target, posted.body):
        urls = posted.urls
    else:
        form = "".join(name + value for name, value in _form(posted, by=lambda pair: pair[0]))
        urls = [url + form for url in posted.urls] if form else []
    return valid or twilio_signed(given, "", [secret], urls)


def plivo(posted: Posted, secret: str) -> bool:
    """``X-Plivo-Signature-V3`` over URL, form and nonce; the secret is the auth token."""
    return _plivo(posted, secret, "x-plivo-signature-v3")


def vobiz(posted: Posted, secret: str) -> bool:
    """The same by another name."""
    return _plivo(posted, secret, "x-vobiz-signature-v3")


def sinch(posted: Posted, secret: str) -> bool:
    """``Authorization: application KEY:SIGNATURE``; the secret is ``application key:application secret``, the latter in base64."""
    found = SINCH.fullmatch(posted.header("authorization"))
    at = posted.header("x-timestamp")
    key, _, signing = secret.partition(":")
    try:
        fresh = posted.fresh(parse_rfc3339(at) / SECOND)
    except ValueError:
        return False
    if found is None or not fresh or not same(found[1], key):
        return False
    digest = base64.b64encode(hashlib.md5(posted.body, usedforsecurity=False).digest()).decode()
    path = posted.asked.target.partition("?")[0]
    signed = "\n".join(("POST", digest, posted.header("content-type"), f"x-timestamp:{at}", path))
    made = hmac.digest(base64.b64decode(signing), signed.encode("utf-8", "surrogateescape"), "sha256")
    return same(found[2], base64.b64encode(made).decode())


def _plivo(posted: Posted, secret: str, header: str) -> bool:
    nonce = posted.header(f"{header}-nonce")
    given = [one.strip() for one in posted.header(header).split(",")[:4]]
    form = "".join(name + value for name, value in _form(posted))
    valid = False
    for url in posted.urls if nonce else ():
        bare, _, query = url.partition("?")
        asked = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(query, keep_blank_values=True)))
        mark = "." if query and form else ""
        signed = f"{bare}?{asked}{mark}{form}.{nonce}" if query or form else f"{bare}.{nonce}"
        made = hmac.digest(secret.encode(), signed.encode("utf-8", "surrogateescape"), "sha256")
        valid |= any([same(one, base64.b64encode(made).decode()) for one in given])  # noqa: C419 - all are compared
    return valid


def _form(posted: Posted, by: Callable[[tuple[str, str]], Any] | None = None) -> Iterable[tuple[str, str]]:
    """The values of a form, sorted; none of what is no form."""
    try:
        return sorted(posted.form, key=by)
    except ProtocolError:
        return ()


def _claims(token: str, secret: str, now: float, leeway: float) -> dict[str, Any] | None:
    """The claims of a JWT (RFC 7519) signed with HS256; None when it is not, or not now. Nobody else's: ``aud`` must not be there."""
    signed, _, given = token.rpartition(".")
    made = hmac.digest(secret.encode(), signed.encode("utf-8", "surrogateescape"), "sha256")
    if not same(given, base64.urlsafe_b64encode(made).rstrip(b"=").decode()):
        return None
    try:
        head, claims = (fields.message(base64.urlsafe_b64decode(f"{part}===")) for part in signed.split("."))
    except (ProtocolError, ValueError):
        return None
    if head.get("alg") != "HS256" or "aud" in claims:
        return None
    begun = all(_moment(claims, name, 0) - LEEWAY <= now for name in ("nbf", "iat"))
    return claims if begun and now < _moment(claims, "exp", now + 1) + leeway else None


def _moment(claims: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = claims.get(name, otherwise)
    return (
        float(value) if type(value) in {int, float} and abs(value) < 1e12 else float("nan")
    )  # which is before and after nothing


def _word(claims: Mapping[str, Any], name: str) -> str:
    return value if isinstance(value := claims.get(name), str) else ""


def mistake(dialect: str, secret: str) -> str:
    """What is wrong with a secret; empty = nothing."""
    if dialect in {"bandwidth", "livekit", "sinch"} and not is_pair(secret):
        return f"the secret of {dialect} must be two words with a colon between them"
    try:
        if dialect == "telnyx":
            Ed25519PublicKey.from_public_bytes(base64.b64decode(secret, validate=True))
        elif dialect == "sinch":
            base64.b64decode(secret.partition(":")[2], validate=True)
    except (binascii.Error, ValueError):
        return f"the secret of {dialect} must be base64, as its console shows it"
    return ""


VERIFY: Final[Mapping[str, Callable[[Posted, str], bool]]] = {
    "bandwidth": bandwidth,
    "jambonz": jambonz,
    "livekit": livekit,
    "plivo": plivo,
    "signalwire": signalwire,
    "sinch": sinch,
    "telnyx": telnyx,
    "vobiz": vobiz,
    "vonage": vonage,
}
"""By dialect."""
