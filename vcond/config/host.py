"""The name of this machine, for vCons: asked for once, and never longer than a moment."""

from __future__ import annotations

import functools
import hashlib
import re
import socket
import threading
from pathlib import Path

PATIENCE = 3.0
"""Seconds that the resolver may take. A machine without DNS has a name too."""
MACHINE_ID = Path("/etc/machine-id")
_NOBODY = re.compile(r"^(localhost|ip6-localhost|ip6-loopback)?(\..*)?$", re.IGNORECASE)
"""Names that every machine has."""


@functools.cache
def machine_name() -> str:
    """The fully qualified host name, else the short one, else one made of the machine's id; the same for the whole run.

    The resolver is asked only when the machine does not know its own domain, and it may stop answering: then the short name
    is taken. It is never ``localhost``, which would be the name of every edge.
    """
    own = _fit(socket.gethostname())
    if "." in own and not _NOBODY.match(own):
        return own
    asked = _fit(_resolved())
    for name in (asked, own):
        if not _NOBODY.match(name):
            return name
    return _of_its_id()


def _fit(name: str) -> str:
    """With the letters that a name may have, see ``DaemonConfig.name``."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", name.strip().rstrip("."))[:253]


def _resolved() -> str:
    """What the resolver says; empty when it does not answer in time."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(socket.getfqdn()), name="host-name", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else ""


def _of_its_id() -> str:
    """The id itself is not to be told to others (machine-id(5)): its digest is."""
    try:
        told = MACHINE_ID.read_bytes().strip()
    except OSError:
        told = b""
    return f"host-{hashlib.sha256(b'vcond ' + told).hexdigest()[:12]}" if told else "host-without-name"
