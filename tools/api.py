"""The API as docs show it: its routes as a table, and its description for programs."""

from __future__ import annotations

import json

from vcond.server.api.calls import Calls
from vcond.server.api.erasures import Erasures
from vcond.server.api.openapi import described
from vcond.server.api.records import Records
from vcond.server.api.routes import Route
from vcond.server.api.search import Search

DESCRIPTION = "docs/openapi.json"


def routes() -> list[Route]:
    """All, behind which there is no daemon."""
    calls, erasures = Calls(None, None, None, None, hub=False), Erasures(None, None)  # type: ignore[arg-type]  # nothing is asked
    search, records = Search(None, None, None, None, None), Records(None, None, None, None, None)  # type: ignore[arg-type]  # nor here
    return [*calls.routes, *erasures.routes, *search.routes, *records.routes]


def table() -> list[tuple[str, ...]]:
    """Route, role, what it gives."""
    return [(f"`{one.method} {one.path}`", one.role or "any", one.says) for one in routes()]


def files() -> dict[str, str]:
    """What is written for programs."""
    return {DESCRIPTION: json.dumps(described(routes()), indent=1) + "\n"}
