"""An adapter, a dialect, an engine and a sink of others: each a folder and one line of configuration, in one daemon.

They are the examples that docs/plug-ins.md names. Here each is installed as ``pip install`` would, into a folder of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from daemon_kit import LIMIT, TOKEN, House
from websockets.asyncio.client import connect

from vcond.demo.call import demo_call
from vcond.media.codecs import Codec, decode
from vcond.vcon import validate

UNIT = Path(__file__).resolve().parents[2] / "unit"
EXAMPLES = ("adapter", "dialect", "engine", "sink")
SECONDS = 4


def install(example: Path, folder: Path) -> Path:
    """The package of an example with its entry point, and nothing else."""
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    shutil.copytree(example / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    told = folder / f"{package}-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    [(group, points)] = project["entry-points"].items()
    told.joinpath("entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    return folder


@asynccontextmanager
async def receiver():
    """A web server that keeps what is PUT: its address, and what comes."""
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def put(request):
        came.put_nowait(await request.read())
        return web.Response(status=201)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_put("/vcons/{name}", put)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/vcons", came
    finally:
        await runner.cleanup()


def frames():
    """Of both parties, mu-law, 20 ms each: what is said at the beginning of the demo call."""
    for at in range(0, SECONDS * 8000, 160):
        yield at // 8, [track[at : at + 160] for track in demo_call().tracks]


async def in_time(send) -> None:
    """Each frame when it is spoken: the daemon's clock is the real one."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for ms, both in frames():
        await asyncio.sleep(max(0.0, begun + ms / 1000 - loop.time()))
        for side, payload in enumerate(both):
            await send(side, ms, payload)


async def acme_call(base: str) -> None:
    async with connect(f"{base.replace('http', 'ws')}/acme/{TOKEN}", proxy=None) as stream:
        await stream.send(json.dumps({"do": "begin", "call": "7", "from": "+15550100", "to": "+15550199"}))
        await in_time(lambda side, ms, payload: stream.send(bytes([side]) + ms.to_bytes(4) + payload))
        await stream.send(json.dumps({"do": "end"}))
        await stream.wait_closed()


async def pcm_call(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(json.dumps({"call": "8", "caller": "+15550102", "callee": "+15550103"}).encode() + b"\n")

    async def send(side, _, payload):
        pcm = decode(Codec.PCMU, payload).astype("<i2").tobytes()
        writer.write(bytes([side]) + len(pcm).to_bytes(2) + pcm)
        await writer.drain()

    await in_time(send)
    writer.write(b"\xff")
    await writer.drain()
    assert await reader.read() == b""
    writer.close()


async def test_calls_of_two_made_up_systems_are_written_down_by_a_made_up_engine_and_taken_by_a_made_up_sink(
    tmp_path: Path, monkeypatch
):
    folders = [install(UNIT / f"{name}_example", tmp_path / name) for name in EXAMPLES]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with receiver() as (url, came):
        house = House(
            tmp_path,
            engine="loudness",
            sinks=f'[[sinks]]\ntype = "httpput"\nurl = "{url}"\n',
            extra=f"[adapters.pcmline]\nport = {port}\n[adapters.acmestream]\n",
        )
        async with house.running() as vcond:
            await asyncio.gather(acme_call(vcond.base), pcm_call(port))
            async with asyncio.timeout(LIMIT):
                documents = [json.loads(await came.get()) for _ in range(2)]
    for document in documents:
        assert [finding for finding in validate(document) if finding.level == "error"] == []
        (said,) = [one for one in document["analysis"] if one["type"] == "wtf_transcription"]
        words = {word for segment in said["body"]["segments"] for word in segment["text"].split()}
        assert words
        assert words <= {"loud", "quiet"}
        assert {segment["speaker"] for segment in said["body"]["segments"]} == {0, 1}
    assert {document["parties"][0]["tel"] for document in documents} == {"+15550100", "+15550102"}
