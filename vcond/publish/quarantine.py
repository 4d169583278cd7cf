"""Where our own vCons go that are not valid: for whoever mends vcond, not for sinks."""

from __future__ import annotations

from pathlib import Path

import structlog

from vcond.base import metrics
from vcond.publish.builder import Built
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()


def set_aside(folder: Path, uuid: str, built: Built, files: WholeFiles) -> None:
    """Keep a vCon in ``folder``, and say what is wrong with it. Its journal stays, too. Waits for the disk."""
    metrics.quarantined_total.inc()
    file = folder / f"{uuid}.vcon.json"
    files.make_folder(folder)
    files.publish(file, built.body)
    for finding in built.findings[:20]:
        log.error("vcond made an invalid vCon", call=uuid, path=finding.path, code=finding.code)
    log.error("invalid vCon set aside; its journal is kept", call=uuid, file=str(file), hint="please report it")
