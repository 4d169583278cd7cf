"""Commands that sign, verify, encrypt, decrypt and convert vCon files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vcond.app.plugins import pem
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import rfc3339
from vcond.capture.clock import SteadyClock
from vcond.cli.vcons import load_vcon
from vcond.vcon import Document, serialize, upgrade, validate
from vcond.vcon.sealing.encrypt import decrypt as open_envelope
from vcond.vcon.sealing.encrypt import encrypt as close_envelope
from vcond.vcon.sealing.keys import load_certificates, load_private, load_recipient, load_signer, load_trust
from vcond.vcon.sealing.sign import signed
from vcond.vcon.sealing.verify import open_signed


def convert(file: Path, out: Path | None) -> str:
    """A vCon of any earlier version in today's form; what is still wrong with it is said on standard error."""
    document = load_vcon(file)
    if "payload" in document or "ciphertext" in document:
        raise ConfigError(
            f"{file} is signed or encrypted: get the vCon with vcond decrypt or vcond verify --out, then convert that"
        )
    made = upgrade(document)
    wrong = [one for one in validate(made) if one.level == "error"]
    for one in wrong:
        print(f"{file}: {one.path}: {one.message} [{one.code}]", file=sys.stderr)
    if wrong:
        print(f"{file}: converted, but NOT valid: {len(wrong)} errors that it had before", file=sys.stderr)
    return write(serialize(made), out)


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


def write(body: bytes, out: Path | None) -> str:
    """Into a file that only its owner reads, or on standard output; what to say of it."""
    if out is None:
        if sys.stdout.isatty() and len(body) > 100_000:
            raise ConfigError(f"the output is {len(body)} bytes, not written to a terminal: name a file with --out")
        sys.stdout.buffer.write(body + b"\n")
        return ""
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
    except OSError as why:
        raise StorageError(f"cannot write {out}: {why.strerror}") from None
    return f"vCon: {out}"
