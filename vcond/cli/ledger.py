"""``vcond ledger``: what happened to each vCon and who received it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vcond.cli.options import DEFAULT, ConfigFile, OtherConfig
from vcond.cli.output import Json, show

ledger_app = typer.Typer(
    help="The ledger of what happened to each vCon and who received it.", invoke_without_command=True
)

MOST: Final = 10_000_000
"""Rows that are shown; a plain text is asked for, as numbers cost every command of the ledger the half of a start."""


@ledger_app.callback()
def ledger(
    context: typer.Context,
    config: ConfigFile = DEFAULT,
    call: Annotated[str, typer.Option("--call", help="Only of one call or vCon, by its id.")] = "",
    party: Annotated[
        str,
        typer.Option("--party", help="Only of calls that somebody was in: tel:+1..., sip:, mailto:, name: or uuid:."),
    ] = "",
    sink: Annotated[str, typer.Option("--sink", help="Only what this sink got.")] = "",
    limit: Annotated[str, typer.Option(help="At most so many rows, the newest: 1 to 10,000,000.")] = "1000",
    export: Annotated[
        Path | None, typer.Option("--export", help="Write all rows and a signed head into this file, as lines of JSON.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the ledger: one row for each fact, the newest last. `vcond ledger verify` says whether it is whole."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MOST:
        raise typer.BadParameter(f"must be a number from 1 to {MOST:,}", param_hint="--limit")
    from vcond.cli.records import records

    with records(config) as opened:
        if export is not None:
            from vcond.cli.ledger_export import export_to

            rows = export_to(opened, export)
            show({"rows": rows, "file": str(export)}, as_json, [f"{rows} rows and a head: {export}"])
            return
        vcons = [call] if call else []
        if party:
            try:
                vcons = [one.vcon for one in opened.index.find(party) if call in {"", one.vcon, one.call}] or ["-"]
            except ValueError as why:
                raise typer.BadParameter(str(why), param_hint="--party") from None
        found = opened.ledger.rows(vcons=vcons, sink=sink, limit=int(limit))
    show(found, as_json, lines(found))


@ledger_app.command("verify")
def ledger_verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="An exported ledger; without it, the one in the state folder.")
    ] = None,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Heads to compare with, instead of vcond's own.")
    ] = None,
    trust: Annotated[
        str, typer.Option("--trust", help="Certificates (PEM) of whoever signs heads: then each is to be signed.")
    ] = "",
    config: OtherConfig = None,
    as_json: Json = False,
) -> None:
    """Check that no row was changed, removed, moved or added, by the hashes, heads and what the outbox knows. Exit 1 if one was."""
    from vcond.cli.ledger_export import verified, verified_file

    told = verified(config or context.obj, heads, trust) if file is None else verified_file(file, heads, trust)
    faults = told["faults"]
    signed = "" if told["signed"] else "; whether heads are signed was not checked (--trust)"
    good = f"{told['rows']} rows, {told['heads']} heads: whole{signed}"
    show(told, as_json, [*faults, f"{told['rows']} rows: {len(faults)} FAULTS" if faults else good])
    raise typer.Exit(1 if faults else 0)


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """For people."""
    if not rows:
        yield "the ledger has no such row"
    for row in rows:
        more = [
            " ".join(filter(None, [row.get("sink"), row.get("form"), row.get("target")])),
            row.get("by", ""),
            row.get("reason", ""),
            f"status {row['status']}" if row.get("status") else "",
            f"{len(row['parties'])} parties" if row.get("parties") else "",
        ]
        told = ", ".join(filter(None, more))
        yield f"{row['seq']:>7}  {row['at']:<24}  {row['event']:<14} {row.get('vcon', '')}" + (
            f"  {told}" if told else ""
        )
