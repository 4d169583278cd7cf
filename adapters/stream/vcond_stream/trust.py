"""What vouches for a socket where its platform signs its handshake, or sends a secret with it. Pure.

With a secret of a dialect in the configuration, this is asked of whoever takes its path, in place of the ingress token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from vcond.sdk.media_stream import candidates, same, twilio_signed

SCHEMES: Final = ("wss", "https", "ws", "http")
FRESH: Final = 30
"""Seconds by which Genesys' clock and ours may differ."""
MOST_NONCES: Final = 10_000
COVERED: Final = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
"""What Genesys' signature covers, in this order."""
SIGNATURE_INPUT: Final = re.compile(r"sig1=(\(([^()]{1,400})\)(;.{1,600}))")
PARAMETER: Final = re.compile(r';(\w+)=(?:"([^"]{0,200})"|([0-9]{1,12}))')


@dataclass(frozen=True, slots=True)
class Asked:
    """A handshake, as far as it is vouched for."""

    base: str
    """The public URL that the operator names."""
    target: str
    """Path and query as asked for."""
    headers: Mapping[str, str]
    """By their names in lower case."""
    now: float
    """Seconds since 1970."""
    nonces: dict[str, float]
    """Numbers that were used once already, and until when they would be good."""


def basic(asked: Asked, secret: str) -> bool:
    """``Authorization: Basic``: the secret is ``user:password``."""
    scheme, _, given = asked.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "basic" and same(given.strip(), base64.b64encode(secret.encode()).decode())


def bearer(asked: Asked, secret: str) -> bool:
    """``Authorization: Bearer``."""
    scheme, _, given = asked.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and same(given.strip(), secret)


def telnyx(asked: Asked, secret: str) -> bool:
    """``stream_auth_token`` of the command that starts a stream."""
    return same(asked.headers.get("x-telnyx-streaming-auth-token", ""), secret)


def twilio(asked: Asked, secret: str) -> bool:
    """Twilio's signature; the secret is the auth token."""
    settings = asked.headers.get("x-twilio-webhooks-signature-settings", "")
    return twilio_signed(
        asked.headers.get("x-twilio-signature", ""), settings, [secret], candidates(asked.base, asked.target)
    )


def signalwire(asked: Asked, secret: str) -> bool:
    """``authBearerToken``, or a signature of the URL with the signing key: base64 or hex of its HMAC, or hex with SHA-256."""
    urls = candidates(asked.base, asked.target)
    given = asked.headers.get("x-signalwire-signature", "") or asked.headers.get("x-twilio-signature", "")
    given256 = asked.headers.get("x-signalwire-sha256-signature", "")
    signed = [
        same(one, hmac.digest(secret.encode(), url.encode("utf-8", "surrogateescape"), algorithm).hex())
        for url in urls
        for one, algorithm in ((given, "sha1"), (given256, "sha256"))
    ]
    return bearer(asked, secret) or any(signed) or twilio_signed(given, "", [secret], urls)


def plivo(asked: Asked, secret: str) -> bool:
    """Plivo's signature V3 of a GET; the secret is the auth token. Of which URL is not documented for streams.

    Its own stream SDK takes that of ``http://host/path/websocket``. Several signatures may come, with commas between.
    """
    return _plivo(asked, secret, "x-plivo-signature-v3")


def vobiz(asked: Asked, secret: str) -> bool:
    """The same by another name."""
    return _plivo(asked, secret, "x-vobiz-signature-v3")


def _plivo(asked: Asked, secret: str, header: str) -> bool:
    given = [one.strip() for one in asked.headers.get(header, "").split(",")[:4]]
    nonce = asked.headers.get(f"{header}-nonce", "")
    if not nonce:
        return False
    valid = False
    for url in candidates(asked.base, asked.target, SCHEMES):
        for one in (url, f"{url}/websocket"):
            signed = f"{_sorted(one)}.{nonce}".encode("utf-8", "surrogateescape")
            expected = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
            valid |= any([same(signature, expected) for signature in given])  # noqa: C419 - all are compared, whichever fits
    return valid


def _sorted(url: str) -> str:
    """A URL with its query as Plivo signs it: sorted and decoded."""
    place, _, asked = url.partition("?")
    query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(asked, keep_blank_values=True)))
    return f"{place}{'?' if query else ''}{query}"


def audiohook(asked: Asked, secret: str) -> bool:
    """Genesys' signature; the secret is ``API key:client secret``, the latter in base64 as Genesys has it."""
    key, _, client = secret.partition(":")
    found = SIGNATURE_INPUT.fullmatch(asked.headers.get("signature-input", ""))
    if found is None:
        return False
    parameters, times = _parameters(found[3])
    nonce, created = parameters.get("nonce", ""), times.get("created", 0)
    if tuple(found[2].replace('"', "").split()) != COVERED or len(nonce) < 22:
        return False
    if parameters.get("keyid") != key or parameters.get("alg", "hmac-sha256") != "hmac-sha256":
        return False
    expires = times.get("expires", created + FRESH)
    if abs(asked.now - created) > FRESH or asked.now > expires + FRESH:
        return False
    try:
        secret_key = base64.b64decode(client, validate=True)
    except binascii.Error:
        return False
    given, valid = asked.headers.get("signature", ""), False
    for authority in (asked.headers.get("host", ""), urlsplit(asked.base).netloc):  # a proxy may write its own
        values = {
            **asked.headers,
            "@request-target": asked.target,
            "@authority": authority.lower().removesuffix(":443"),
        }
        lines = [*(f'"{name}": {values.get(name, "")}' for name in COVERED), f'"@signature-params": {found[1]}']
        digest = hmac.digest(secret_key, "\n".join(lines).encode("utf-8", "surrogateescape"), "sha256")
        valid |= same(given, f"sig1=:{base64.b64encode(digest).decode()}:")
    if not valid:
        return False
    return _first_time(asked, nonce)


def _parameters(of: str) -> tuple[dict[str, str], dict[str, int]]:
    """The texts and the numbers among the parameters of a signature."""
    found = PARAMETER.findall(of)
    return {name: text for name, text, number in found if not number}, {name: int(n) for name, _, n in found if n}


def _first_time(asked: Asked, nonce: str) -> bool:
    """Whether this handshake was not seen before; none is good for longer than it is remembered."""
    for used in [used for used, until in asked.nonces.items() if until < asked.now]:
        del asked.nonces[used]
    if nonce in asked.nonces or len(asked.nonces) >= MOST_NONCES:
        return False
    asked.nonces[nonce] = asked.now + 3 * FRESH
    return True


def is_pair(secret: str) -> bool:
    """Whether a secret is two words with a colon between them."""
    user, _, password = secret.partition(":")
    return bool(user and password)


def _is_genesys(secret: str) -> bool:
    try:
        return is_pair(secret) and bool(base64.b64decode(secret.partition(":")[2], validate=True))
    except binascii.Error:
        return False


def mistake(dialect: str, secret: str) -> str:
    """What is wrong with a secret, which must not let anybody in because half of it is missing; empty = nothing."""
    if VOUCH[dialect] is basic and not is_pair(secret):
        return f"the secret of {dialect} must be user:password"
    if VOUCH[dialect] is audiohook and not _is_genesys(secret):
        return f"the secret of {dialect} must be API key:client secret, the client secret in base64"
    return ""


VOUCH: Final[Mapping[str, Callable[[Asked, str], bool]]] = {
    "audiohook": audiohook,
    "bandwidth": basic,
    "exotel": basic,
    "infobip": basic,
    "jambonz": basic,
    "mod_audio_fork": basic,
    "plivo": plivo,
    "signalwire": signalwire,
    "telnyx": telnyx,
    "twilio": twilio,
    "vobiz": vobiz,
}
"""By dialect; the others have nothing but the token in the path."""
