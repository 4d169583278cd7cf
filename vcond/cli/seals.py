"""Commands that sign, verify, encrypt and decrypt vCon files."""

from __future__ import annotations

from pathlib import Path

from vcond.app.plugins import pem
from vcond.base.time import rfc3339
from vcond.capture.clock import SteadyClock
from vcond.cli.output import write
from vcond.cli.vcons import load_vcon
from vcond.vcon import Document, serialize
from vcond.vcon.sealing.encrypt import decrypt as open_envelope
from vcond.vcon.sealing.encrypt import encrypt as close_envelope
from vcond.vcon.sealing.keys import load_certificates, load_private, load_recipient, load_signer, load_trust
from vcond.vcon.sealing.sign import signed
from vcond.vcon.sealing.verify import open_signed


def sign(file: Path, out: Path | None, *, key: str, certificates: str, algorithm: str, alg_twice: bool) -> str:
    """The signed form of a vCon, or of a signed one that is to be kept longer."""
    signer = load_signer(pem(key, "--key"), pem(certificates, "--cert"), algorithm=algorithm, alg_twice=alg_twice)
    load_vcon(file)  # says what is wrong with it
    return write(bytes(signed(file.read_bytes(), signer, SteadyClock().now())), out)


def verify(file: Path, out: Path | None, *, trust: str, chain: str) -> list[str]:
    """Who signed it, when nothing is wrong. Raises SealBrokenError with the reason otherwise."""
    given = load_certificates(pem(chain, "--chain")) if chain else None
    opened = open_signed(load_vcon(file), load_trust(pem(trust, "--trust")), SteadyClock().now(), chain=given)
    leaf = opened.chain[0]
    if out is not None:
        write(opened.payload, out)
    return [
        f"{file}: the signature is valid",
        f"  vCon {opened.document.get('uuid')} of {opened.document.get('created_at')}",
        f"  signed by {leaf.subject.rfc4514_string()} with {opened.algorithm}, {opened.layers} signature(s) deep",
        f"  certificate valid until {leaf.not_valid_after_utc:%Y-%m-%d}; looked at {rfc3339(SteadyClock().now())}",
    ]


def encrypt(file: Path, out: Path | None, *, to: list[str], packed: bool) -> str:
    """The encrypted form of a signed vCon."""
    recipients = [load_recipient(pem(each, "--to")) for each in to]
    return write(serialize(close_envelope(load_vcon(file), recipients, packed=packed)), out)


def decrypt(file: Path, out: Path | None, *, key: str) -> str:
    """The signed vCon that was in it; `vcond verify` says whether to believe it."""
    document: Document = open_envelope(load_vcon(file), load_private(pem(key, "--key")))
    return write(serialize(document), out)
