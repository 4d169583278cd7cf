"""The command that brings older vCons into today's form. Apart from ``seals``: it needs nothing that signs."""

from __future__ import annotations

import sys
from pathlib import Path

from vcond.base.errors import ConfigError
from vcond.cli.output import write
from vcond.cli.vcons import load_vcon
from vcond.vcon import serialize, upgrade, validate


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
