"""Commands on files of vCons: validate, convert, redact, sign and verify, encrypt and decrypt. They ask no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcond.cli.options import DEFAULT, ConfigFile
from vcond.cli.output import Json, say, show

files_app = typer.Typer()
OneFile = Annotated[Path, typer.Argument(help="A vCon file.")]
Out = Annotated[Path | None, typer.Option(help="Output file; default: standard output.")]


@files_app.command()
def validate(files: Annotated[list[Path], typer.Argument(help="vCon files.")], as_json: Json = False) -> None:
    """Check vCons against draft-ietf-vcon-vcon-core-04. Exit 1 if one has errors."""
    from vcond.cli.vcons import validate_files

    rows, lines, errors = validate_files(files)
    show(rows, as_json, lines)
    raise typer.Exit(1 if errors else 0)


@files_app.command()
def convert(file: OneFile, out: Out = None) -> None:
    """Update a vCon of syntax 0.0.1 to 0.4.0 to the current form."""
    from vcond.cli.converting import convert as converted

    say(converted(file, out))


@files_app.command()
def redact(
    file: OneFile,
    out: Out = None,
    config: ConfigFile = DEFAULT,
    tone: Annotated[bool, typer.Option("--tone", help="A tone instead of silence where sound is taken out.")] = False,
    finders: Annotated[
        str, typer.Option(help="What looks for secrets, with commas between, in place of redaction.finders.")
    ] = "",
) -> None:
    """Take card numbers, codes and other secrets out of a vCon, also one made elsewhere; signed when [seal] has a key."""
    from vcond.cli.redacting import redact_file

    say(redact_file(file, out, config=config, tone=tone, names=finders))


@files_app.command()
def sign(
    file: OneFile,
    key: Annotated[str, typer.Option(help="Private key, PEM.")],
    cert: Annotated[str, typer.Option(help="Certificate chain, PEM, leaf first.")],
    out: Out = None,
    algorithm: Annotated[str, typer.Option(help="RS256, PS256 or ES256.")] = "RS256",
    alg_twice: Annotated[
        bool, typer.Option("--alg-twice", help="Repeat alg in the unprotected header, as python-vcon needs it.")
    ] = False,
) -> None:
    """Sign a vCon (JWS, core-04 section 5.2)."""
    from vcond.cli import seals

    say(seals.sign(file, out, key=key, certificates=cert, algorithm=algorithm, alg_twice=alg_twice))


@files_app.command()
def verify(
    file: OneFile,
    trust: Annotated[str, typer.Option(help="Trusted certificates, PEM.")],
    chain: Annotated[str, typer.Option(help="The signer's certificates, when the vCon only names them (x5u).")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the unsigned vCon here.")] = None,
) -> None:
    """Verify a signed vCon. Exit 2 with the reason if it is not valid."""
    from vcond.cli import seals

    print("\n".join(seals.verify(file, out, trust=trust, chain=chain)))


@files_app.command()
def encrypt(
    file: OneFile,
    to: Annotated[list[str], typer.Option(help="Certificate or public key of a reader, PEM. May be repeated.")],
    out: Out = None,
    packed: Annotated[bool, typer.Option("--gzip", help="Compress before encrypting.")] = False,
) -> None:
    """Encrypt a signed vCon (JWE, core-04 section 5.3)."""
    from vcond.cli import seals

    say(seals.encrypt(file, out, to=to, packed=packed))


@files_app.command()
def decrypt(
    file: OneFile, key: Annotated[str, typer.Option(help="The reader's private key, PEM.")], out: Out = None
) -> None:
    """Decrypt a vCon. The result is a signed vCon; verify it before you trust it."""
    from vcond.cli import seals

    say(seals.decrypt(file, out, key=key))


@files_app.command()
def audit(
    file: OneFile,
    config: ConfigFile = DEFAULT,
    trust: Annotated[
        str, typer.Option("--trust", help="Certificates (PEM) of whoever may have signed it: the signature is checked.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Explain any vCon: who made, heard, changed and signed it, on what basis, until when, and who received it. Exit 1 for a signature that does not hold."""
    from vcond.cli import audit as one

    told = one.audit(file, config, trust)
    show(told, as_json, one.lines(told))
    raise typer.Exit(1 if any(sign["holds"] is False for sign in told["signed"]) else 0)
