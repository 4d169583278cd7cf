"""Keys and certificates made for the tests; nothing of them is ever written to disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vcond.base.time import SECOND, Instant

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
AT = Instant(int(NOW.timestamp()) * SECOND)
YEAR = 365 * 86400 * SECOND


@dataclass
class Entity:
    """A key with its certificate."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def entity(
    name: str,
    issuer: Entity | None = None,
    *,
    key=None,
    authority: bool = False,
    days: tuple[int, int] = (-10, 365),
    usage: bool | None = None,
) -> Entity:
    """A certificate of ``name``; its own issuer when there is none. ``usage``: whether it may sign."""
    key = key or rsa_key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    maker = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(maker.public_key()), critical=False)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
            _usage(signs=False, certifies=True), critical=True
        )
    elif usage is not None:
        builder = builder.add_extension(_usage(signs=usage, certifies=False), critical=True)
    return Entity(key, builder.sign(maker, hashes.SHA256()))


def _usage(*, signs: bool, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs, content_commitment=False, key_encipherment=not signs and not certifies,
        data_encipherment=False, key_agreement=False, key_cert_sign=certifies, crl_sign=certifies,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


class Pki:
    """An authority, one below it, who signs, who receives, and strangers."""

    def __init__(self) -> None:
        self.root = entity("root", authority=True, days=(-1000, 5000))
        self.middle = entity("middle", self.root, authority=True, days=(-500, 2000))
        self.leaf = entity("edge-1.pbx.example.com", self.middle, usage=True)
        self.curve = entity("edge-2.pbx.example.com", self.middle, key=ec.generate_private_key(ec.SECP256R1()))
        self.stranger_root = entity("stranger", authority=True)
        self.stranger = entity("edge-1.pbx.example.com", self.stranger_root)
        self.receiver = entity("receiver", self.root)
        self.second = entity("second", self.root)

    @property
    def chain(self) -> bytes:
        return self.leaf.pem + self.middle.pem
