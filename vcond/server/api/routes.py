"""One route of the API: what it needs, takes and gives. The table of them is what is served, and what is described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from vcond.server.api.guard import Who
from vcond.server.api.model import Query
from vcond.server.api.tokens import Role

Q = TypeVar("Q", bound=Query)


class Asked(NamedTuple):
    """A request that may be answered."""

    who: Who
    values: Any
    """Of the type of the route's parameters."""
    request: web.Request

    @property
    def whole(self) -> bool:
        """Whether numbers are shown whole."""
        return self.who.may("read")


class Route(NamedTuple):
    """``run`` returns what is an ``answer``, or a response of ``media``."""

    method: str
    path: str
    role: Role | None
    """None: any token will do."""
    takes: type[Query]
    answer: Any
    says: str
    run: Callable[[Asked], Awaitable[Any]]
    media: tuple[str, ...] = ("application/json",)

    @property
    def in_path(self) -> list[str]:
        """Names of parameters that are in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


def decoded(route: Route, given: dict[str, Any]) -> Query:
    """The parameters, typed: those of a query are texts, those of JSON what they are. Raises ValueError that says which is wrong."""
    try:
        return msgspec.convert(given, route.takes, strict=route.method != "GET")
    except msgspec.ValidationError as why:
        raise ValueError(str(why)) from None
