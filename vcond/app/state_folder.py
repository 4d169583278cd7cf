"""The folder of all that the daemon keeps: whether this user can work in it, and what the operator does when not."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from vcond.base.errors import ConfigError

KEY: Final = "vcond.state_dir"
OURS: Final = (
    "journal", "outbox", "forms", "quarantine", "records", "vcond.db", "records.db", "records.key", "words.db", "ledger-heads.jsonl",
    "records-folder", "ingress-token", "api-tokens.json", "access.jsonl",
)  # fmt: skip
"""What the daemon makes in it. Others may be there too, and somebody else's: ``lost+found``, an operator's copies."""


def unusable(folder: Path) -> tuple[str, str] | None:
    """What keeps this user from working in it, and what to do; None when nothing does. Changes nothing.

    Of a folder that is not there the nearest one that is counts, in which it would be made. What is in it must be usable
    too: files that root left there, after a ``vcond run`` by hand, stop a daemon later and tell less.
    """
    there = next((parent for parent in (folder, *folder.parents) if os.path.lexists(parent)), folder)
    try:
        if not there.is_dir():
            return f"{there} is not a folder", "move that file away, or set another folder"
        if not _usable(there):
            return _why(there, folder)
        if there == folder:
            return next((_why(path, folder) for path in map(folder.joinpath, OURS) if not _usable(path)), None)
    except OSError as why:
        return f"cannot look at {why.filename or there}: {why.strerror}", "check the disk, and who owns it"
    return None


def check(folder: Path) -> None:
    """For who is about to write there. Raises ConfigError with all of it in one line.

    Root may write anywhere, and what it wrote in somebody else's folder that one cannot read: it is refused as well.
    """
    if (found := unusable(folder)) is not None:
        raise ConfigError("; ".join(found), KEY)
    if not os.geteuid() and folder.exists() and (owner := folder.stat().st_uid):
        name = _name(owner)
        fix = f"use systemctl start vcond, or: runuser -u {name} -- vcond run"
        raise ConfigError(f"{folder} belongs to {name}, who could not use what root writes there; {fix}", KEY)


def made(folder: Path) -> None:
    """The folder is there afterwards. Raises ConfigError when it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as why:
        raise ConfigError(f"cannot make {folder}: {why.strerror}", KEY) from None


def _usable(path: Path) -> bool:
    wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    return os.access(path, wanted, effective_ids=True) or not path.exists()  # gone meanwhile


def _why(path: Path, folder: Path) -> tuple[str, str]:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"{path} is on a read-only file system", "mount it for writing, or set another folder"
    me, owner = _name(os.geteuid()), _name(path.lstat().st_uid)
    whose = "" if me == owner else f": it belongs to {owner}"
    mend = f"; if {me} is to own it: chown -R {me}: {folder}" if me != owner else f"; or: chmod -R u+rwX {folder}"
    fix = f"run it as root, or as the daemon's user: runuser -u vcond -- vcond check{mend}"
    return f"{path} is not writable for {me}{whose}", fix


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
