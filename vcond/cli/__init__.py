"""The command line: ``vcond COMMAND``. Exit codes: 0 all is well, 1 something is wrong, 2 it could not be done."""

from __future__ import annotations

import sys

from vcond.errors import VcondError


def main() -> None:
    """The console script."""
    from vcond.cli.app import app  # the parts of a command are imported only to run it

    try:
        app(standalone_mode=True)
    except VcondError as why:
        print(f"vcond: {why}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
