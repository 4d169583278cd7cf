"""``vcond retention``: how long what there is of calls stays."""

from __future__ import annotations

from typing import Annotated

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_daemon
from vcond.cli.output import Json, show

retention_app = typer.Typer(help="How long what there is of calls stays: [[retention]].", no_args_is_help=True)


@retention_app.command("plan")
def retention_plan(
    days: Annotated[float, typer.Option(help="Also what is due in so many days.", min=0, max=36_500)] = 0,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show what the next sweep removes, and from where; nothing is changed."""
    from vcond.cli.admin_client import ask
    from vcond.cli.forget import plan_lines

    rows = ask(load_daemon(config).admin_socket, "retention", days=str(days))
    show(rows, as_json, plan_lines(rows))
