"""``vcond retention``: how long what there is of calls stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_daemon
from vcond.cli.output import Json, show

retention_app = typer.Typer(help="How long what there is of calls stays: [[retention]].", no_args_is_help=True)


SHOWN = 1000
"""Lines of a plan; as JSON all of it is shown."""


@retention_app.command("plan")
def retention_plan(
    days: Annotated[float, typer.Option(help="Also what is due in so many days.", min=0, max=36_500)] = 0,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show what the next sweep removes, and from where; nothing is changed."""
    from vcond.cli.admin_client import ask

    rows = ask(load_daemon(config).admin_socket, "retention", days=str(days))
    show(rows, as_json, plan_lines(rows))


def plan_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What retention would have go, for people."""
    if not rows:
        yield "nothing is due"
    for row in rows[:SHOWN]:
        held = "  ON LEGAL HOLD: stays" if row["held"] else ""
        yield f"{row['due']}  {row['place']:<20} {row['vcon']}  {row['why']}{held}"
    if len(rows) > SHOWN:
        yield f"... and {len(rows) - SHOWN} more"
