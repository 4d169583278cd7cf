"""Signatures over the URL of a handshake, as Twilio and others make them. Pure.

Source: Twilio, "Validating requests"; what its own libraries accept was measured. A proxy hides the URL that the platform
connected to: it is made of the public URL that the operator names and what was asked for, and the port may be in it or not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, urlsplit

PORTS: Final = {"wss": 443, "https": 443, "ws": 80, "http": 80}
LONGEST: Final = 512
"""Characters of a signature."""


def candidates(base: str, target: str, schemes: Iterable[str] = ("wss",)) -> list[str]:
    """The URLs that may have been signed for ``target``, path and query as asked for.

    ``base`` is the public URL: ``https://edge.example.com``, perhaps with a port and a path. As it stands, without its port,
    and with the port that its scheme means.
    """
    found: dict[str, None] = {}
    _, _, rest = base.rstrip("/").partition("://")
    authority, slash, prefix = rest.partition("/")
    split = urlsplit(f"//{authority}")
    host = f"[{split.hostname}]" if split.hostname and ":" in split.hostname else split.hostname or ""
    for scheme in schemes:
        for place in (authority, host, f"{host}:{PORTS[scheme]}"):
            found[f"{scheme}://{place}{slash}{prefix}{target}"] = None
    return list(found)


def url_signature(key: str, url: str, algorithm: str = "sha1") -> str:
    """Base64 of the HMAC of a URL without parameters: ``X-Twilio-Signature`` of a GET."""
    return base64.b64encode(hmac.digest(key.encode(), url.encode("utf-8", "surrogateescape"), algorithm)).decode()


def same(given: str, expected: str) -> bool:
    """Whether two are the same, in a time that says nothing of where they differ."""
    return hmac.compare_digest(given[:LONGEST].encode("utf-8", "surrogateescape"), expected.encode())


def with_form(url: str, form: Iterable[tuple[str, str]]) -> str:
    """What is signed of a URL and the form that is posted to it: names in order, each value once, in order."""
    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    return url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))


def names_body(target: str, body: bytes) -> bool:
    """Whether a URL says what is posted to it, ``bodySHA256``: so Twilio signs a body that is no form. Lower-case hex."""
    given = parse_qs(target.partition("?")[2]).get("bodySHA256", [""])
    return same(given[0], hashlib.sha256(body).hexdigest())


def twilio_signed(given: str, settings: str, keys: Iterable[str], urls: Iterable[str]) -> bool:
    """Whether ``X-Twilio-Signature`` is of one of these URLs (``with_form`` where one is posted), with one of these keys.

    ``settings`` is ``X-Twilio-Webhooks-Signature-Settings``: ``key=…,algorithm=HMAC_SHA256`` where the account signs that way.
    """
    algorithms = {
        part.partition("=")[2].strip().upper() for part in settings.split(",") if part.strip().startswith("algorithm=")
    }
    algorithm = "sha256" if "HMAC_SHA256" in algorithms else "sha1"
    valid = False
    for key in keys:
        for url in urls:
            valid |= same(given, url_signature(key, url, algorithm))
    return valid
