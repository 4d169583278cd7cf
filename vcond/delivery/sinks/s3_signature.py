"""AWS Signature Version 4 for S3, of a request whose whole body is known. Pure.

Written from the "Signature Version 4 signing process" of the S3 API reference. Decision 0035 says why no client of S3 is used.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

EMPTY: Final = hashlib.sha256(b"").hexdigest()


def query(parameters: Mapping[str, str]) -> str:
    """As it is signed and sent: by name, everything but unreserved characters encoded (RFC 3986)."""
    return "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(parameters.items())
    )


def signed(
    method: str,
    host: str,
    path: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    sha256: str,
    now: datetime,
    region: str,
    access_key: str,
    secret_key: str,
) -> dict[str, str]:
    """All headers to send. ``path`` is encoded already; ``sha256``: of the body, in hex; ``now``: in UTC."""
    at = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    sent = {**headers, "Host": host, "X-Amz-Content-Sha256": sha256, "X-Amz-Date": at}
    named = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(named))
    lines = "".join(f"{name}:{named[name]}\n" for name in sorted(named))
    request = f"{method}\n{path}\n{query(parameters)}\n{lines}\n{names}\n{sha256}"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for part in (at[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent
