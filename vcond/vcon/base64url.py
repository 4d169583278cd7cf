"""base64url as vCons and signatures write it: without padding (RFC 7515 section 2)."""

from __future__ import annotations

import pybase64


def decoded(text: str) -> bytes:
    """The bytes; padding is let through. Raises ValueError for anything else."""
    return pybase64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
