"""The user that the daemon runs as, for commands that root calls."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/vcond")
USER = "vcond"
"""Of systemd/vcond.service."""


@contextmanager
def as_daemon(state_dir: Path) -> Iterator[str]:
    """Root looks with the daemon's eyes meanwhile: what root may write says nothing. Yields the user's name, or "".

    The daemon's user is who owns ``state_dir``; for the packaged place that is not there yet, or root's by mistake, the
    unit's user. Effective ids only, and put back at the end.
    """
    found = None if os.geteuid() else _user(state_dir)
    if found is None:
        yield ""
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(os.getgrouplist(found.pw_name, found.pw_gid))
        os.setegid(found.pw_gid)
        os.seteuid(found.pw_uid)
        yield found.pw_name
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _user(state_dir: Path) -> pwd.struct_passwd | None:
    try:
        owner = state_dir.stat().st_uid
    except OSError:
        owner = 0
    try:
        if owner:
            return pwd.getpwuid(owner)
        return pwd.getpwnam(USER) if state_dir == DEFAULT_STATE else None
    except KeyError:
        return None
