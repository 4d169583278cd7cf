"""The adapter behind its door."""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from stream_kit import written

from vcond.testing.checks import check_decoder
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_stream import StreamAdapter, StreamConfig
from vcond_stream.dialects import DIALECTS

HOME = Path(__file__).parents[1]


@asynccontextmanager
async def serving(**config):
    async with MemoryHost("stream") as host:
        task = asyncio.create_task(StreamAdapter(StreamConfig(**config)).run(host))
        await host.until(lambda: host.is_attached)
        async with aiohttp.ClientSession() as session:

            def dial(where, **more):
                return session.ws_connect(f"{host.ingress.bound_url}/stream{where}", **more)

            yield host, dial
        task.cancel()
        await asyncio.wait([task])


async def send(socket, messages) -> None:
    for kind, data in messages:
        if kind == "close":
            await socket.close(code=data)
        else:
            await (socket.send_str(data.decode()) if kind == "text" else socket.send_bytes(data))


@pytest.mark.parametrize("dialect", ["telnyx", "plivo", "jambonz", "audiohook"])
@pytest.mark.parametrize("by", ["path", "shape"])
def test_a_call_from_its_beginning_to_its_end(dialect, by):
    ann, ben = voice(1, 1.5), voice(2, 1.5)

    async def main() -> None:
        async with serving() as (host, dial):
            where = f"/{dialect}/{host.ingress.token}" if by == "path" else f"/{host.ingress.token}"
            async with dial(where, protocols=("audio.jambonz.org",)) as socket:
                for messages in written(dialect, ann, ben):
                    await send(socket, messages)
                    await asyncio.sleep(0.02)
                await host.until(lambda: host.calls and host.calls[0].over)
            assert find(ann, host.audio(host.calls[0], 0))[0] > 0.95
            assert find(ben, host.audio(host.calls[0], 1))[0] > 0.95
            assert host.drops == {}

    run_virtual(main())


def test_a_wrong_path_is_refused_with_a_code_and_no_call():
    async def main() -> None:
        async with serving() as (host, dial), dial(f"/plivo/{host.ingress.token}") as socket:
            await send(socket, written("telnyx", voice(1, 0.1), voice(2, 0.1))[0])
            assert (await socket.receive()).data == 1008
            assert host.calls == []

    run_virtual(main())


def test_of_a_name_that_the_url_says_twice_the_first_counts():
    async def main() -> None:
        async with serving() as (host, dial), dial(f"/livekit/{host.ingress.token}?call=a&call=b") as socket:
            await socket.send_bytes(bytes(960))
            await host.until(lambda: host.calls)
            assert [call.key for call in host.calls] == ["livekit:a"]

    run_virtual(main())


def test_without_the_token_nobody_comes_in():
    async def main() -> None:
        async with serving() as (host, dial):
            for wrong in ("", "/telnyx", "/telnyx/x", f"/nobody/{host.ingress.token}"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await dial(wrong)
                assert refused.value.status in {403, 404}

    run_virtual(main())


@pytest.mark.parametrize(
    ("public_url", "level"),
    [
        ("", "warning"),
        ("https://edge.example.com", "ok"),
        ("http://edge.example.com", "warning"),
        ("https://127.0.0.1", "error"),
    ],
)
async def test_check_says_whether_a_platform_can_reach_it(public_url, level):
    findings = [finding async for finding in StreamAdapter(StreamConfig(public_url=public_url)).check()]
    assert [finding.level for finding in findings] == [level]
    assert (findings[0].fix == "") == (level == "ok")


def test_the_sample_is_the_default_and_stands_in_the_readme():
    text = (HOME / "sample.toml").read_text()
    config = msgspec.convert(tomllib.loads(text)["adapters"]["stream"], StreamConfig)
    assert msgspec.structs.replace(config, public_url="") == StreamConfig()
    assert set(tomllib.loads(text)["adapters"]["stream"]) == set(StreamConfig.__struct_fields__)
    assert text in (HOME / "README.md").read_text()


def test_every_dialect_has_its_part_of_the_readme():
    text = (HOME / "README.md").read_text()
    missing = [name for name in DIALECTS if f"/stream/{name}/TOKEN" not in text]
    assert missing == []


@pytest.mark.parametrize("installed", [True, False])
def test_the_decoder_of_calls_is_loaded_before_the_first_and_not_on_the_event_loop(installed):
    check_decoder(serving, installed=installed)
