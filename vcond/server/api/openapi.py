"""The description of the API (OpenAPI 3.1), made of the table of routes and its types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from vcond import __version__
from vcond.server.api.model import Problem, Query
from vcond.server.api.routes import Route

REFUSALS: Final = {
    "400": "A parameter is wrong.",
    "401": "A token is missing, wrong or expired.",
    "403": "The token has not the role, or the page is of another origin.",
    "404": "There is no such thing.",
    "408": "The body did not come.",
    "409": "The beginning of an id that several have, or a legal hold.",
    "410": "The file of the vCon is not kept any more.",
    "413": "Too large.",
    "416": "A range that the recording has not.",
    "429": "Too many requests: wait for as long as Retry-After says.",
    "503": "The disk does not answer or does not take the access record, or the certificate of `[seal]` is not good any more.",
}
_REF: Final = "#/components/schemas/{name}"


def described(routes: list[Route]) -> dict[str, Any]:
    """The whole document."""
    types = [route.answer for route in routes if route.media == ("application/json",)]
    answers, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    by_route = dict(zip([id(route) for route in routes if route.media == ("application/json",)], answers, strict=False))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_route.get(id(route)))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vcond",
            "version": __version__,
            "description": "Calls, records and deliveries. Every request needs a token: vcond token create.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                code: {"description": says, "content": {"application/json": {"schema": answers[-1]}}}
                for code, says in REFUSALS.items()
            },
        },
    }


def _operation(route: Route, answer: dict[str, Any] | None) -> dict[str, Any]:
    needs = f"Needs the role {route.role}." if route.role else "Any token will do."
    if answer is None:
        binary = route.answer is bytes
        content = {media: {"schema": {} if binary else {"type": "string"}} for media in route.media}
    else:
        content = {"application/json": {"schema": answer}}
    good = {"200": {"description": "Here it is.", "content": content}}
    if route.answer is bytes:
        good["206"] = {"description": "The range that was asked for.", "content": content}
    found: dict[str, Any] = {
        "summary": route.says,
        "description": needs,
        "operationId": _name(route),
        "responses": good | {code: {"$ref": f"#/components/responses/{code}"} for code in REFUSALS},
    }
    fields = _fields(route.takes)
    if given := [_parameter(name, schema, "path") for name, schema in fields.items() if name in route.in_path]:
        found["parameters"] = given
    rest = {name: schema for name, schema in fields.items() if name not in route.in_path}
    if route.method == "GET":
        found["parameters"] = given + [_parameter(name, schema, "query") for name, schema in rest.items()]
    else:
        body = {"type": "object", "properties": rest, "additionalProperties": False}
        found["requestBody"] = {"required": False, "content": {"application/json": {"schema": body}}}
    return found


def _name(route: Route) -> str:
    return "_".join(
        [route.method.lower(), *(part.strip("{}").replace("-", "_") for part in route.path.split("/") if part)]
    )


def _fields(takes: type[Query]) -> dict[str, Any]:
    (_,), components = msgspec.json.schema_components([takes], ref_template=_REF)
    found: dict[str, Any] = components[takes.__name__]["properties"]
    return found


def _parameter(name: str, schema: dict[str, Any], where: str) -> dict[str, Any]:
    says = schema.pop("description", "")
    return {"name": name, "in": where, "required": where == "path", "schema": schema} | (
        {"description": says} if says else {}
    )
