"""``vcond config``: what is in force, an example, keys of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_all
from vcond.cli.output import Json, show

config_app = typer.Typer(help="The configuration.", no_args_is_help=True)


@config_app.command("show")
def config_show(config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """Print what is in force and where each key comes from: default, file, variable, credential. No secret is shown."""
    from vcond.cli.settings import in_force

    rows = in_force(load_all(config))
    show(rows, as_json, [f"{row['key']} = {row['value']}  # {row['origin']}" for row in rows])


@config_app.command("sample")
def config_sample() -> None:
    """Print an example configuration."""
    from vcond.cli.settings import sample

    print(sample(), end="")


@config_app.command("migrate")
def config_migrate(
    file: Annotated[Path, typer.Argument(envvar="VCOND_CONFIG", help="The configuration file.")] = DEFAULT,
    write: Annotated[bool, typer.Option("--write", help="Rewrite the files; without it nothing is changed.")] = False,
    as_json: Json = False,
) -> None:
    """Rename keys of earlier versions, in FILE and in vcond.d beside it; comments and order stay."""
    from vcond.cli.migrate import lines, migrate, rows

    found = migrate(file, write=write)
    show(rows(found), as_json, lines(found, write=write))
