"""What is left of a call that was forgotten, as docs/privacy.md says it: a search for its audio, its words and its numbers."""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from records_kit import FRAME, TEL, config, edge

from vcond.call import events as ev
from vcond.sdk.contract import Cause
from vcond.storage.files import Files
from vcond.storage.key_store import INDEX

WINDOW = 80
"""Samples that are compared."""
WORDS = "my mother was born in ullapool"


@pytest.fixture
def written(monkeypatch) -> dict[str, list[bytes]]:
    """All that the storage class ever handed to the system, by file: also what is overwritten or deleted since."""
    found: dict[str, list[bytes]] = defaultdict(list)
    pwrite = Files.pwrite

    def spy(self: Files, fd: int, data: memoryview, offset: int) -> int:
        found[str(Path(f"/proc/self/fd/{fd}").readlink())].append(bytes(data))
        return pwrite(self, fd, data, offset)

    monkeypatch.setattr(Files, "pwrite", spy)
    return found


def secrets() -> list[bytes]:
    """Words and numbers as they are and in base64, wherever they lie in it; so the audio."""
    plain = [WORDS.encode(), b"ullapool", TEL.encode(), FRAME[32:160]]
    return plain + [one for secret in plain for one in in_base64(secret)]


def in_base64(secret: bytes) -> list[bytes]:
    """At each of the three places that it may have; without what its neighbours have a part in."""
    return [
        coding(bytes(shift) + secret)[4:-4]
        for shift in range(3)
        for coding in (base64.b64encode, base64.urlsafe_b64encode)
    ]


def heard(data: bytes) -> bool:
    """Whether the call's tone is in some bytes, read as 16-bit samples, at whatever level: by correlation."""
    turn = np.exp(1j * np.arange(WINDOW) / 3)
    for shift in range(0, 2 * WINDOW, WINDOW // 2 | 1):  # whatever lies before it
        pcm = np.frombuffer(data[shift : shift + (len(data) - shift) // 2 * 2], "<i2").astype(float)
        parts = pcm[: len(pcm) // WINDOW * WINDOW].reshape(-1, WINDOW)
        power = (parts**2).sum(axis=1)
        alike = 2 * np.abs(parts @ turn) ** 2 / WINDOW
        if np.any((power > 100 * WINDOW) & (alike > 0.9 * power)):
            return True
    return False


def found_in(data: bytes) -> bool:
    return any(secret in data for secret in secrets()) or heard(data)


async def spoken(it, key: str) -> str:
    call = it.call(key)
    at = it.parts.clock.now()
    call.record(ev.Utterance(at=at, utterance=0, track=0, start=0, stop=4000))
    call.record(ev.Transcribed(at=at, utterance=0, engine="e", model="m", text=WORDS, words=[]))
    call.end(at=at, cause=Cause(q850=16))
    await it.until(lambda: it.stage(call.uuid, "kept"))
    return str(call.uuid)


@asynccontextmanager
async def repeating() -> AsyncIterator[str]:
    """A receiver whose answers repeat what it was sent; the address of a vCon there."""

    async def answer(request: web.Request) -> web.Response:
        if request.method in {"DELETE", "HEAD"}:
            return web.Response(status=404 if request.method == "HEAD" else 204)
        assert WORDS.encode() in await request.read()
        return web.Response(text=f"stored: {TEL} said: {WORDS}")

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{uuid}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{{uuid}}"
    finally:
        await runner.cleanup()


def kept(tmp_path: Path) -> dict[Path, bytes]:
    """All files that vcond has, as they are."""
    folders = [tmp_path / "state", tmp_path / "keys"]
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_the_search_finds_what_it_is_for():
    assert found_in(b"x" + WORDS.encode())
    assert found_in(base64.b64encode(b"x" + TEL.encode() + b"yy"))
    assert heard(b"x" * 7 + FRAME * 50)
    assert not found_in(os.urandom(1 << 20))


@pytest.mark.parametrize("encrypted", [True, False])
async def test_what_is_left_of_a_call_is_what_the_page_says(tmp_path: Path, written, encrypted: bool):
    keys = {"keys": {"master": base64.b64encode(bytes(32)).decode()}} if encrypted else {}
    (tmp_path / "keys").mkdir()
    folder = {"type": "folder", "name": "folder", "path": str(tmp_path / "folder")}
    async with repeating() as url, edge(
        config(tmp_path, record={"media_dir": str(tmp_path / "media")}, **keys,
               sinks=[folder, {"type": "http_put", "name": "echo", "url": url}])
    ) as it:  # fmt: skip
        call, other = await spoken(it, "a"), await spoken(it, "b")
        assert WORDS in (await it.entry(call)).sinks[0].answer
        await it.parts.words.follow(rest=0)
        assert await it.parts.words.find(["ullapool"], 9) == [other, call]
        hashed = it.parts.words._index._hash(0, "ullapool").to_bytes(6)
        before = kept(tmp_path)
        assert any(found_in(body) for body in before.values()) is not encrypted
        databases = {path.name: found_in(body) for path, body in before.items() if ".db" in path.name}
        files = {"vcond.db", "records.db", "words.db"}
        assert {name + end for name in files for end in ("", "-wal")} <= databases.keys()
        assert {path.name for path, body in before.items() if body.startswith(b"SQLite")} == files
        assert databases["vcond.db-wal"] is not encrypted, "answers of receivers are all that databases have"
        assert not any(found for name, found in databases.items() if encrypted or not name.startswith("vcond"))
        assert found_in((tmp_path / "folder" / f"{call}.vcon.json").read_bytes())
        assert any(hashed in body for body in before.values())
        for one in (call, other):
            assert (await it.write("forget", call=one))["state"] == "complete"
        after = kept(tmp_path)
        assert not any(found_in(body) or hashed in body for body in after.values())
        assert not any((tmp_path / "folder").iterdir())
        everything = {name: b"".join(parts) for name, parts in written.items() if str(tmp_path / "folder") not in name}
        places = {Path(name).relative_to(tmp_path).parts[1] for name, body in everything.items() if found_in(body)}
        assert places == (set() if encrypted else {"journal", "outbox"}), "what free blocks may still have"
        if it.parts.keys is not None:  # what a backup has of it: the files as they were, and no key
            assert it.parts.keys.ids() == [INDEX]
