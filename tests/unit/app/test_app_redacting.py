"""A daemon with a sink that wants redacted vCons beside one that gets all: what lies where, encrypted and after a restart."""

from __future__ import annotations

import asyncio
import base64
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from vcond.app.wiring import Parts
from vcond.capture.clock import SteadyClock
from vcond.config import Config, Loaded
from vcond.redaction.redact import own_uuid
from vcond.vcon import read, serialize

sys.path.append(str(Path(__file__).parents[1] / "redaction"))

from redaction_kit import hidden_in, recording, vcon, voice, words, wtf

SPOKEN = "my card number is four five three two oh one five one one two eight three oh three six six"
SECRETS = ["4532 0151 1283 0366", "four five three two", "three six six"]


def config(root: Path, *, master: bool) -> Config:
    return msgspec.convert(
        {
            "vcond": {"name": "edge.example.com", "state_dir": str(root / "state"), "admin_socket": str(root / "admin"), "min_free_mb": 0},
            "speech": {"engine": "none"},
            "delivery": {"keep_days": 1},
            "keys": {"store": str(root / "keys")} | ({"master": base64.b64encode(bytes(range(32))).decode()} if master else {}),
            "sinks": [{"type": "folder", "name": "full", "path": str(root / "full")},
                      {"type": "folder", "name": "outside", "path": str(root / "outside"), "content": "redacted"}],
        },
        Config,
    )  # fmt: skip


@asynccontextmanager
async def parts_of(made: Config, *, delivers: bool = True):
    parts = Parts(Loaded(made), SteadyClock())
    await parts.outbox.open()
    work = [asyncio.create_task(one) for one in ((parts.speech.run(), parts.outbox.run()) if delivers else ())]
    try:
        yield parts
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await parts.close()


def call() -> dict:
    said = wtf((0, words(1.0, SPOKEN)))
    return vcon(dialog=[recording([voice(10, 1), voice(10, 2)])], analysis=[said], subject=f"card {SECRETS[0]}")


@pytest.mark.parametrize("master", [True, False], ids=["encrypted", "plain"])
async def test_each_folder_has_its_own_and_a_restart_changes_nothing_of_it(tmp_path, master):
    made, body = config(tmp_path, master=master), serialize(call())
    uuid = call()["uuid"]
    async with parts_of(made, delivers=False) as parts:  # it was killed before anything left
        await parts.outbox.publish(uuid, body)
    async with parts_of(made) as parts, asyncio.timeout(60):
        while (entry := await parts.outbox.get(uuid)) is None or entry.stage != "kept":  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)
    assert [path.name for path in (tmp_path / "full").iterdir()] == [f"{uuid}.vcon.json"]
    (file,) = (tmp_path / "outside").iterdir()
    assert file.name == f"{own_uuid(uuid)}.vcon.json"
    assert hidden_in((tmp_path / "full" / f"{uuid}.vcon.json").read_bytes(), SECRETS[:2]) == set(SECRETS[:2])
    assert hidden_in(file.read_bytes(), SECRETS) == set()
    document = read(file.read_bytes())
    assert "__REDACTED_CARD__" in document["analysis"][0]["body"]["transcript"]["text"]
    assert document["attachments"][-1]["body"]["second_look"] == "not done", "there is no engine"
    if master:
        kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert {secret for path in kept for secret in hidden_in(path.read_bytes(), SECRETS)} == set()
