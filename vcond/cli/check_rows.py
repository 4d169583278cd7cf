"""What ``vcond check`` prints: a configuration that cannot be used is said before all that looks further is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcond.base.errors import VcondError
from vcond.cli.options import load_all


def rows(path: Path, *, offline: bool, errors_only: bool, loopback: bool) -> list[dict[str, Any]]:
    """``level``, ``what``, ``detail`` and ``fix`` of each finding, see ``vcond.cli.check``."""
    try:
        loaded = load_all(path)
    except VcondError as why:
        fix = "correct the file named here"
        return [{"level": "error", "what": "configuration", "detail": str(why), "fix": fix}]
    from vcond.cli.check import findings

    found = findings(loaded, path, offline=offline, errors_only=errors_only, loopback=loopback)
    return [{"level": f.level, "what": f.what, "detail": f.detail, "fix": f.fix} for f in found]
