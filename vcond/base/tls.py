"""The one place that makes TLS contexts: of what vcond listens on, and of what it connects to.

Certificates and keys are files (PEM), or PEM text, as a reference to a secret gives it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from weakref import WeakSet

import structlog
from cryptography import x509

from vcond.base import metrics
from vcond.base.errors import ConfigError

log = structlog.get_logger()

OLDEST: Final = ssl.TLSVersion.TLSv1_2
"""RFC 8996. Said here: Debian's Python leaves it to the machine's OpenSSL configuration."""
_PEM: Final = "-----BEGIN "
_served: Final[WeakSet[Served]] = WeakSet()


def client(ca: str, at: str) -> ssl.SSLContext:
    """To connect with. ``ca``: the authorities that are believed; empty = the machine's own.

    Raises ConfigError for the key ``at``.
    """
    with _used(at), _path(ca) as file:
        context = ssl.create_default_context(cafile=file or None)
    context.minimum_version = OLDEST
    return context


class Served:
    """What a socket of ours shows to whoever connects. Its files are read again by ``reload``."""

    def __init__(self, certificate: str, key: str, client_ca: str, at: str) -> None:
        """``key`` empty: it is in ``certificate``. With ``client_ca`` clients need a certificate of that authority.

        Raises ConfigError for the section ``at``.
        """
        self._certificate, self._key, self.at = certificate, key, at
        self.until: datetime
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = OLDEST
        self.reload()
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            with _used(f"{at}.client_ca"), _path(client_ca) as file:
                self.context.load_verify_locations(file)
        _served.add(self)

    def check(self) -> None:
        """Read it, and use it for nothing. Raises ConfigError."""
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def reload(self) -> None:
        """Read it again, for all handshakes from now on. Raises ConfigError; ``check`` first, else half a pair is taken."""
        self._load(self.context)
        self.until = ends(self._certificate, self.at)
        metrics.certificate_expiry.labels(self.at).set(self.until.timestamp())
        if self.until < datetime.now(UTC):
            log.error(
                "a certificate has expired: peers refuse it",
                section=self.at,
                until=f"{self.until:%Y-%m-%d}",
                hint="renew it, then: systemctl reload vcond",
            )

    def _load(self, context: ssl.SSLContext) -> None:
        with _used(f"{self.at}.certificate"), _path(self._certificate) as chain, _path(self._key) as key:
            context.load_cert_chain(chain, key or None, password=_no_password)


def served() -> list[Served]:
    """All that is shown now, to be read again. ``check`` may block; ``reload`` is for the loop's thread, which shakes hands."""
    return list(_served)


def expired() -> dict[str, datetime]:
    """The sections whose certificate is shown although it has ended, and when that was."""
    now = datetime.now(UTC)
    return {one.at: one.until for one in _served if one.until < now}


def ends(certificates: str, at: str) -> datetime:
    """When the first of these ends. Raises ConfigError for the key ``at``."""
    with _used(at):
        pem = certificates.encode() if certificates.startswith(_PEM) else Path(certificates).read_bytes()
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem))


@contextmanager
def _used(at: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as why:  # SSLError is one of the former; a PEM that is none is one of the latter
        unread = "" if isinstance(why, ssl.SSLError | ValueError) else why.strerror
        reason = unread or "holds no certificates, or not those of the key (PEM, without a password)"
        raise ConfigError(f"cannot be used: {reason}", at) from None


@contextmanager
def _path(pem: str) -> Iterator[str]:
    """A file of that: OpenSSL takes nothing else."""
    if not pem.startswith(_PEM):
        yield pem
        return
    fd = os.memfd_create("pem")
    try:
        os.write(fd, pem.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _no_password() -> str:
    """None: OpenSSL would ask the terminal."""
    return ""
