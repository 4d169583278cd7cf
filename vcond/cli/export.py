"""``vcond export``: the vCons that the outbox still holds, as files in a folder. The daemon need not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcond.base.errors import RefusedError, StorageError
from vcond.base.time import Instant, dated, parse_rfc3339, rfc3339
from vcond.config import DaemonConfig
from vcond.delivery.outbox_files import OutboxFiles
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles


def export(
    config: DaemonConfig, to: Path, uuid: str = "", since: str = "", until: str = "", files: Files | None = None
) -> list[dict[str, Any]]:
    """Copy what is not delivered everywhere yet and what ``delivery.keep_days`` keeps; a row for each.

    ``uuid``: only of ids that begin so; ``since``, ``until``: only calls that began from then on, and before then, and those whose uuid does not tell. Files that
    are there already are left as they are. Raises RefusedError, StorageError.
    """
    begin, end = (_moment(name, text) for name, text in (("since", since), ("until", until)))
    outbox = OutboxFiles(Path(config.state_dir) / "outbox", WholeFiles(files or Files()))
    rows = []
    try:
        outbox.files.make_folder(to)
        for folder in (outbox.pending, outbox.kept):
            for name in sorted(outbox.names(folder)[0]) if folder.is_dir() else ():
                at = dated(name)
                if not name.startswith(uuid) or (at is not None and not (begin or 0) <= at < (end or 2**63)):
                    continue
                target, there = to / outbox.file(name).name, False
                try:
                    if not (there := target.exists()):
                        outbox.files.publish(target, outbox.read(folder / target.name))
                except FileNotFoundError:
                    continue  # it was delivered meanwhile, and is kept no longer
                rows.append(
                    {"uuid": name, "began": "" if at is None else rfc3339(at), "file": str(target), "new": not there}
                )
    except OSError as why:
        more = "; run it as root or as vcond's user" if isinstance(why, PermissionError) else ""
        raise StorageError(f"cannot export: {why.filename or to}: {why.strerror}{more}") from None
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """For people."""
    if not rows:
        return ["no vCon in the outbox matches: delivery.keep_days sets how long one is kept after every sink has it"]
    new = sum(row["new"] for row in rows)
    return [row["file"] for row in rows if row["new"]] + [f"{new} exported, {len(rows) - new} were there before"]


def _moment(name: str, text: str) -> Instant | None:
    """Raises RefusedError that says which and how."""
    try:
        return parse_rfc3339(text) if text else None
    except ValueError:
        raise RefusedError(
            f"--{name} must be a date with an offset, as in 2026-11-29T10:00:00Z: {text[:64]!r}"
        ) from None
