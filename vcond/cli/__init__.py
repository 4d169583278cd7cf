"""The command line: ``vcond COMMAND``. Exit codes: 0 all is well, 1 something is wrong, 2 it could not be done."""

from __future__ import annotations

import os
import sys

from vcond.base.errors import VcondError
from vcond.cli.with_rich import keep_rich_out


def main() -> None:
    """The console script."""
    keep_rich_out()
    from typer.main import get_command

    from vcond.cli.app import app  # the parts of a command are imported only to run it
    from vcond.cli.empty_values import none_empty
    from vcond.cli.plain_values import quick

    try:
        none_empty(quick(get_command(app)))(standalone_mode=True)
    except VcondError as why:
        print(f"vcond: {why}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read it has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is told at the end
        sys.exit(0)
    except OSError as why:
        where = f"{why.filename}: " if why.filename else ""
        more = "; run it as root, as the user vcond or in the group vcond" if isinstance(why, PermissionError) else ""
        print(f"vcond: {where}{why.strerror or type(why).__name__}{more}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
