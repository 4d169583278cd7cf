"""vCons of others at a hub: each is kept or refused, and whoever opens one that was kept gets an answer."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from api_kit import DATA
from hub_kit import hub, uuid_of

from vcond.server.api import guard
from vcond.testing.changed import changed
from vcond.vcon import read

ODD = (
    None, True, 0, -1, 2**63, 10**30, 1e308, "", "x", "2026-11-22T09:00:00Z", "none", "base64url", "recording", "tags", "lawful_basis",
    "wtf_transcription", "audio/flac", "RIFF", "\0", "é", [], [0], [None], [[0]], {}, {"a": {}}, {"type": "text"}, {"segments": [{}]},
)  # fmt: skip
ROUNDS = 300
LOOKS = ("", "/outline", "/findings", "/transcript?form=vtt", "/audio/0", "/peaks/0?count=10", "/audio/1?form=original")


@pytest.mark.fuzz
async def test_what_is_kept_is_answered_for_whatever_is_in_it(tmp_path: Path, fuzz, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "PACE", 1e6)
    monkeypatch.setattr(guard, "BURST", 1e6)
    documents = [read(file.read_bytes()) for file in sorted(DATA.glob("*.vcon.json"))]
    kept = 0
    async with hub(tmp_path) as one:
        await one.parts.admin.start()
        socket = aiohttp.UnixConnector(one.parts.config.vcond.admin_socket)
        async with aiohttp.ClientSession("http://vcond", connector=socket) as local:
            for number, chance in enumerate(fuzz.rounds(ROUNDS)):
                document = {**chance.choice(documents), "uuid": uuid_of(number)}
                sent = json.dumps(changed(document, chance, ODD)).encode()
                status = await one.bring(sent)
                assert status in (204, 422), sent
                if (await one.ask("GET", f"/vcon/{uuid_of(number)}"))[0] != 200:
                    continue
                kept += 1
                for look in LOOKS:
                    async with local.get(f"/api/v1/vcons/{uuid_of(number)}{look}") as answer:
                        assert answer.status in (200, 400, 404), (look, sent)
                        await answer.read()
        await one.parts.admin.close()
    assert kept
