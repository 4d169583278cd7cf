"""Every route, driven by its own description with each role: no answer is a mistake of ours, none says what the role may not see."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from api_kit import daemon

from vcond.call import events as ev
from vcond.server.api import app as app_module
from vcond.server.api import guard as guard_module
from vcond.testing.needs import needs

TOOL = Path(__file__).parents[3] / ".peers" / "api" / "bin" / "schemathesis"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method,ignored_auth"
)
NUMBERS = (b"5551230001", b"4930123456")
SAID = b"a caller for you"


def with_examples(described: dict, values: dict[str, object]) -> dict:
    """The description with things that are there, so that not all is 404."""
    for ways in described["paths"].values():
        for way in ways.values():
            for one in way.get("parameters", []):
                if one["name"] in values and one["in"] == "path":
                    one["example"] = values[one["name"]]
    return described


@pytest.mark.parametrize("role", ["watch", "read", "operate", "erase", "admin"])
async def test_no_request_that_can_be_made_is_answered_wrongly(tmp_path: Path, monkeypatch, role: str):
    needs(TOOL.exists(), "schemathesis is missing: tools/setup.sh test")
    monkeypatch.setattr(guard_module, "BURST", 1e9)
    monkeypatch.setattr(guard_module, "WRONG_BURST", 1e9)
    told: list[bytes] = []
    answered = app_module._json

    def listening(value, status=200):
        response = answered(value, status)
        told.append(response.body)
        return response

    monkeypatch.setattr(app_module, "_json", listening)
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("attended-transfer")
        call = one.call(ev.PartyInfo(name="Ann", tel="+15551230001"), ev.PartyInfo(tel="+4930123456"))
        call.emit(ev.Dtmf(at=one.at(1), party=0, button="7"))
        call.emit(ev.RecordingPaused(at=one.at(2), by="party", party=1))
        described = await one.told("/openapi.json")
        file = tmp_path / "openapi.json"
        file.write_text(json.dumps(with_examples(described, {"uuid": uuid, "call": call.uuid, "dialog": 1})))
        told.clear()
        token = await one.token(role)
        process = await asyncio.create_subprocess_exec(
            str(TOOL), "run", str(file), "--url", f"{one.parts.api.base_url}/api/v1", "-H", f"Authorization: Bearer {token}",
            "--checks", CHECKS, "--exclude-path", "/events", "--phases", "examples,coverage,fuzzing", "-n", "3", "--seed", "1",
            "--warnings", "off", "--continue-on-failure",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert len(told) > 200
        everything = b"\n".join(told)
        assert (SAID in everything) is (role in {"read", "admin"})
        if role in {"watch", "operate"}:
            assert not [number for number in NUMBERS if number in everything]
            assert b'"button":"7"' not in everything
