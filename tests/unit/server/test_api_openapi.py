"""The description of the API says what is served, and is OpenAPI 3.1."""

import json
from pathlib import Path

import pytest
from api_kit import daemon
from jsonschema import Draft202012Validator

from vcond.call import events as ev

DESCRIPTION = Path(__file__).parents[3] / "docs" / "openapi.json"


async def test_the_daemon_gives_what_the_documentation_has_and_serves_what_it_says(tmp_path: Path):
    async with daemon(tmp_path) as one:
        told = await one.told("/openapi.json", "watch")
        assert told == json.loads(DESCRIPTION.read_text())
        served = {(route.method.lower(), route.path) for route in one.parts.api._api.routes}
        assert {(method, path) for path, ways in told["paths"].items() for method in ways} == served
        assert (await one.asked("/openapi.json", None))[0] == 401


def test_every_schema_can_be_used_and_every_reference_leads_somewhere():
    described = json.loads(DESCRIPTION.read_text())
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    wanted = {line.split('"')[3] for line in DESCRIPTION.read_text().splitlines() if '"$ref"' in line}
    assert len(wanted) > 20
    for reference in wanted:
        found = described
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for path, ways in described["paths"].items():
        for way in ways.values():
            names = [one["name"] for one in way.get("parameters", []) if one["in"] == "path"]
            assert [f"{{{name}}}" for name in names] == [part for part in path.split("/") if part.startswith("{")]
            assert way["summary"]


@pytest.mark.parametrize(
    "path", ["/calls", "/calls/{call}", "/status", "/me", "/outbox", "/dead-letters", "/sinks", "/vcons", "/findings"]
)
async def test_answers_are_as_described(tmp_path: Path, path: str):
    async with daemon(tmp_path) as one:
        call = one.call(ev.PartyInfo(name="Ann", tel="+15551230001"), ev.PartyInfo(sip="1001@pbx"))
        call.emit(ev.Answered(at=one.at(1)))
        await one.dead(await one.vcon("plain"))
        described = await one.told("/openapi.json")
        schema = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = await one.told(path.format(call=call.uuid))
        for component in described["components"]["schemas"].values():
            if "properties" in component:
                component["additionalProperties"] = False  # nothing that is not described, either
        Draft202012Validator({**schema, "components": described["components"]}).validate(answer)
        assert answer or path == "/outbox"
