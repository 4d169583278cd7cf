"""A daemon that is told where traces go sends one a call, from its begin to its delivery, with nothing of what was said."""

import asyncio
import json
from pathlib import Path

from aiohttp import web
from daemon_kit import LIMIT, House


async def test_a_call_is_one_trace_up_to_its_delivery(tmp_path: Path):
    spans, bodies, changed = [], [], asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        body = await request.text()
        bodies.append(body)
        for resource in json.loads(body)["resourceSpans"]:
            spans.extend(resource["scopeSpans"][0]["spans"])
        changed.set()
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (tmp_path / "vcond.d").mkdir()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    (tmp_path / "vcond.d/traces.toml").write_text(f'[ops]\ntraces = "{url}"\n')
    house = House(tmp_path)
    try:
        async with house.running() as vcond:
            async with vcond.stream() as stream:
                await stream.play(1.0)
                await stream.stop()
            (document,) = await vcond.delivered(1)
            async with asyncio.timeout(LIMIT):
                while "delivery" not in {one["name"] for one in spans}:
                    changed.clear()
                    await changed.wait()
    finally:
        await runner.cleanup()
    assert sorted(one["name"] for one in spans) == ["call", "conversation", "delivery", "record", "ringing"]
    assert {one["traceId"] for one in spans} == {document["uuid"].replace("-", "")}
    for party in document["parties"][:2]:
        for told in filter(None, (party.get("tel"), party.get("name"))):
            assert told not in "".join(bodies)
