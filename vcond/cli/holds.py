"""``vcond legal-hold``: calls of which nothing goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vcond.cli.admin_client import ask


def legal_hold(socket: str, call: str, reason: str, until: str, *, release: bool) -> list[dict[str, Any]]:
    """Put a call on hold, release it, or list what is held. Raises OperatorError."""
    if not call:
        rows: list[dict[str, Any]] = ask(socket, "holds")
        return rows
    if release:
        return [ask(socket, "release", write=True, call=call) | {"in_force": False}]
    query = {"until": until} if until else {}
    return [ask(socket, "hold", write=True, call=call, reason=reason, **query)]


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """For people."""
    if not rows:
        yield "no call is on legal hold"
    for row in rows:
        state = "held" if row["in_force"] else "not held"
        until = f" until {row['until']}" if row["until"] else ""
        yield f"{row['call']}  {state:<8}  since {row['since'] or '?'}{until}  {row['reason']}"
