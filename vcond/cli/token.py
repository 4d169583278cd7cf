"""``vcond token``: who may use the API. The running daemon keeps them, as hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_daemon
from vcond.cli.output import Json, show

token_app = typer.Typer(help="Tokens for the API and the page: [api] in the configuration.", no_args_is_help=True)


def _ask(config: Path, door: str, *, write: bool = False, **query: str) -> Any:
    from vcond.cli.admin_client import ask

    return ask(load_daemon(config).admin_socket, door, write=write, **query)


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Who will use it, for the list and the access record.")],
    role: Annotated[
        list[str],
        typer.Option(
            help="watch: live calls, numbers masked. read: finished vCons. operate: pause, retry. erase: forget. admin: all."
        ),
    ],
    days: Annotated[int, typer.Option(help="It is good for so many days.", min=1, max=3660)] = 90,
    config: ConfigFile = DEFAULT,
    as_json: Json = False,
) -> None:
    """Make a token and print it. It is shown only now: vcond keeps a hash of it. --role may be given several times."""
    made = _ask(config, "token-create", write=True, who=name, roles=",".join(role), days=str(days))
    where = made["url"] or "nowhere yet: set api.listen, then restart vcond"
    show(made, as_json, [made["token"], f"the API answers at {where}"])


@token_app.command("list")
def token_list(config: ConfigFile = DEFAULT, as_json: Json = False) -> None:
    """List the tokens: who has which role, until when."""
    rows = _ask(config, "tokens")
    lines = [
        f"{one['id']}  {','.join(one['roles']):<24} {'until' if one['good'] else 'EXPIRED'} {one['expires']}  {one['name']}"
        for one in rows
    ]
    show(rows, as_json, lines or ["there are no tokens: vcond token create NAME --role watch"])


@token_app.command("revoke")
def token_revoke(
    token: Annotated[str, typer.Argument(help="Its id, as vcond token list shows it.")], config: ConfigFile = DEFAULT
) -> None:
    """Make a token worthless at once, and end the sessions that were opened with it."""
    gone = _ask(config, "token-revoke", write=True, id=token)
    print(f"revoked {gone['id']}, of {gone['name']}")
