"""Where our own vCons go that are not valid: for whoever mends vcond, not for sinks."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from vcond.base import metrics
from vcond.publish.builder import Built

log = structlog.get_logger()


def set_aside(folder: Path, uuid: str, built: Built) -> None:
    """Keep a vCon in ``folder``, and say what is wrong with it. Its journal stays, too. Waits for the disk."""
    metrics.quarantined_total.inc()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{uuid}.vcon.json"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(built.body)
    for finding in built.findings[:20]:
        log.error("our own vCon is not valid", call=uuid, path=finding.path, code=finding.code)
    log.error("vCon set aside with its journal", call=uuid, file=str(file), fix="please report it")
