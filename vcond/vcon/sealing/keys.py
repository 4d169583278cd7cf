"""Keys and certificates for sealing: read from PEM bytes, and checked before anything depends on them.

Nothing here opens a file: the caller reads keys from files or systemd credentials. What is wrong with a key is the
operator's to mend and raises ConfigError; no message holds key material.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from jwcrypto.common import JWException
from jwcrypto.jwk import JWK

from vcond.base.errors import ConfigError
from vcond.base.time import SECOND, Instant

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""The signature algorithms that are made and accepted; never ``none``, never a shared secret."""
SMALLEST_RSA: Final = 2048
"""Bits of an RSA key."""
LONGEST_CHAIN: Final = 8
"""Certificates of a chain, leaf included."""


def moment(at: Instant) -> datetime:
    """An instant as certificates count: whole seconds, UTC."""
    return datetime.fromtimestamp(min(max(at // SECOND, 0), 253_402_300_799), UTC)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with its certificates. ``check`` it before use."""

    key: JWK
    chain: tuple[x509.Certificate, ...]
    """Leaf first, each signed by the next."""
    algorithm: str = "RS256"
    x5u: str = ""
    """https URL of the chain; empty = the chain itself rides along as ``x5c``."""
    alg_twice: bool = False
    """Write ``alg`` in both headers, as python-vcon wants it. RFC 7515 forbids that, and jwcrypto refuses it."""

    @property
    def ends(self) -> datetime:
        """The end of the first certificate to expire."""
        return min(one.not_valid_after_utc for one in self.chain)


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates that are believed: authorities, and signing certificates pinned as they are."""

    certificates: tuple[x509.Certificate, ...]


def load_private(pem: bytes, password: bytes | None = None) -> JWK:
    """A private key from PEM. Raises ConfigError when it is none, or the password is wrong."""
    try:
        key = JWK.from_pem(pem, password)
    except (ValueError, TypeError, JWException):
        raise ConfigError("not a private key in PEM, or the wrong password") from None
    if not key.has_private:
        raise ConfigError("this is a public key; a private key is needed")
    return key


def load_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Certificates from PEM, in their order. Raises ConfigError when there is none."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise ConfigError("no certificates in PEM") from None


def load_trust(pem: bytes) -> Trust:
    """A trust store from PEM. Raises ConfigError when it is empty or no PEM."""
    return Trust(load_certificates(pem))


def load_recipient(pem: bytes) -> JWK:
    """The RSA public key of who may decrypt, from a certificate or a key in PEM. Raises ConfigError."""
    try:
        key = JWK.from_pem(pem)
    except (ValueError, TypeError, JWException):
        raise ConfigError("not a certificate or public key in PEM") from None
    if key["kty"] != "RSA" or _bits(key) < SMALLEST_RSA:
        raise ConfigError(f"a recipient needs an RSA key of at least {SMALLEST_RSA} bits")
    public = JWK()
    public.import_key(**key.export_public(as_dict=True))
    return public


def _bits(key: JWK) -> int:
    return len(base64.urlsafe_b64decode(key["n"] + "==")) * 8


def load_signer(
    key: bytes,
    chain: bytes,
    *,
    algorithm: str = "RS256",
    x5u: str = "",
    alg_twice: bool = False,
    password: bytes | None = None,
) -> Signer:
    """A signer from PEM. Raises ConfigError for what cannot be read; ``check`` says whether it can be used."""
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"signature algorithm must be one of {', '.join(ALGORITHMS)}")
    if x5u and not x5u.startswith("https://"):
        raise ConfigError("x5u must be https")
    return Signer(load_private(key, password), load_certificates(chain), algorithm, x5u, alg_twice)


def check(signer: Signer, now: Instant) -> None:
    """Raises ConfigError with the reason when a signature made now could not be verified by anyone."""
    leaf = signer.chain[0]
    public = leaf.public_key()
    if _spki(leaf) != signer.key.export_to_pem():
        raise ConfigError("the private key does not belong to the first certificate")
    if signer.algorithm == "ES256":
        if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
            raise ConfigError("ES256 needs a key on the curve P-256")
    elif not isinstance(public, RSAPublicKey) or public.key_size < SMALLEST_RSA:
        raise ConfigError(f"{signer.algorithm} needs an RSA key of at least {SMALLEST_RSA} bits")
    if len(signer.chain) > LONGEST_CHAIN:
        raise ConfigError(f"the chain has more than {LONGEST_CHAIN} certificates")
    for above, below in zip(signer.chain[1:], signer.chain, strict=False):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            raise ConfigError("the certificates are not a chain: each must be issued by the next") from None
    for one in signer.chain:
        if moment(now) < one.not_valid_before_utc:
            raise ConfigError(f"a certificate is not valid before {one.not_valid_before_utc:%Y-%m-%d}")
        if moment(now) > one.not_valid_after_utc:
            raise ConfigError(f"a certificate expired on {one.not_valid_after_utc:%Y-%m-%d}")


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def x5c(chain: Sequence[x509.Certificate]) -> list[str]:
    """A chain as RFC 7515 section 4.1.6 has it: ordinary base64 of DER, leaf first."""
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in chain]


def trusted(chain: Sequence[x509.Certificate], trust: Trust, now: Instant) -> str:
    """Why a chain is not believed at a moment (``expired``: or not valid yet; ``untrusted``); empty when it is.

    A chain is believed that leads to an authority of the trust store, or whose leaf is in it as it is.
    """
    leaf, when = chain[0], moment(now)
    if not all(one.not_valid_before_utc <= when <= one.not_valid_after_utc for one in chain):
        return "expired"
    if leaf in trust.certificates:
        return ""
    if not trust.certificates:
        return "untrusted"
    policy = (
        PolicyBuilder()
        .store(Store(list(trust.certificates)))
        .time(when)
        .max_chain_depth(LONGEST_CHAIN)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_LEAF)
    )
    try:
        policy.build_client_verifier().verify(leaf, list(chain[1:]))
    except (VerificationError, ValueError):
        return "untrusted"
    return ""


def _may_sign(_policy: object, _leaf: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise ValueError("certificate is not for signatures")


def _is_no_authority(_policy: object, _leaf: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("certificate of an authority")


_LEAF: Final = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_authority)
)
"""What a signing certificate must be: nothing of the web, but not one that is for something else."""
