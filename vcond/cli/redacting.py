"""``vcond redact``: the redacted form of a vCon file, made by hand. What it was made from stays as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from vcond import __version__
from vcond.app.plugins import load_seal
from vcond.base.errors import ConfigError
from vcond.capture.clock import SteadyClock
from vcond.cli.options import load_all
from vcond.cli.output import write
from vcond.cli.progress import Bar
from vcond.cli.vcons import inside, load_vcon
from vcond.config import Config
from vcond.publish.finder_apart import close, finders_apart
from vcond.redaction.redact import Redacted, redact
from vcond.vcon import Document, serialize, validate
from vcond.vcon.dates import date
from vcond.vcon.sealing.sign import signed

BAR_FROM = 5 << 20
"""Bytes of a vCon of which it is shown how far it is."""


def redact_file(file: Path, out: Path | None, *, config: Path, tone: bool, names: str) -> str:
    """Read, redact, sign if there is a key, write. Raises ConfigError, ProtocolError, StorageError, FinderError."""
    chosen = load_all(config).config if config.is_file() else Config()
    redaction = chosen.redaction
    if names:
        wanted = tuple(name.strip() for name in names.split(",") if name.strip())
        settings = {name: one for name, one in redaction.settings.items() if name in wanted}
        redaction = msgspec.structs.replace(redaction, finders=wanted, settings=settings)
    if out is not None and out.exists() and out.samefile(file):
        raise ConfigError(f"{out} is the file itself: name another one with --out")
    document = _opened(file)
    now = SteadyClock().now()
    bar = Bar(sys.stderr) if file.stat().st_size >= BAR_FROM else None
    finders = finders_apart(redaction)
    try:
        made = redact(
            document,
            finders,
            created_at=date(now),
            tone=tone or redaction.tone,
            software=f"vcond {__version__}",
            told=bar,
        )
    finally:
        close(finders)
    if bar is not None:
        bar.close()
    for line in _summary(file, made):
        print(line, file=sys.stderr)
    body = serialize(made.document)
    return write(bytes(signed(body, load_seal(chosen.seal), now)) if chosen.seal.key else body, out)


def _opened(file: Path) -> Document:
    around, vcon = inside(load_vcon(file))
    if vcon is None:
        what = "holds no readable vCon" if around else "is encrypted"
        raise ConfigError(f"{file} {what}: get the vCon with vcond decrypt or vcond verify --out, then redact that")
    if around:
        print(f"{file}: signed; the signature was not checked (use vcond verify)", file=sys.stderr)
    return vcon


def _summary(file: Path, made: Redacted) -> list[str]:
    """What went, without a word of it."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(made.kinds.items())) or "nothing was found"
    lines = [f"{file}: taken out: {kinds}"]
    if made.left_out:
        lines.append(f"{file}: left out whole, for it could not be checked: {', '.join(made.left_out)}")
    if unchecked := made.report["unchecked_seconds"]:
        lines.append(f"{file}: {unchecked} s of sound are silent now: no text says what was said there")
    wrong = [one for one in validate(made.document) if one.level == "error"]
    lines += [f"{file}: {one.path}: {one.message} [{one.code}]" for one in wrong]
    if wrong:
        lines.append(f"{file}: redacted, but NOT valid: {len(wrong)} errors that it had before")
    return lines
