"""The client against what a real Janus said, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import janus_fake
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import ConfigError, ProtocolError, UnreachableError
from vcond_webrtc.janus import wire
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig
from vcond_webrtc.janus.wire import JanusError


def config(url: str, **changes) -> JanusConfig:
    keys = {"api_secret": janus_fake.API_SECRET, "admin_key": janus_fake.ADMIN_KEY, "timeout": 20}
    rooms = {"secrets": {"*": janus_fake.ROOM_SECRET}, "pins": {"*": janus_fake.PIN}}
    return JanusConfig(url=url, **{**keys, **rooms, **changes})


async def test_what_a_real_janus_said_is_understood():
    """The conversation of ``tests/peers/janus/capture.py``, byte for byte on both sides."""
    async with janus_fake.repeated() as url, Janus(config(url)) as janus:
        info = await janus.info()
        assert (info.version, info.version_string, list(info.plugins)) == (1102, "1.1.2", [wire.PLUGIN])
        assert await janus.rooms() == [wire.Room(1234, 0)]
        assert await janus.participants(1234) == []
        (rita,) = await janus.participants(1234)
        assert (rita.display, rita.publisher, rita.dummy) == ("Rita", True, False)
        with pytest.raises(JanusError) as refused:
            await janus.streams(1234, rita.id + 1)
        assert refused.value.code == wire.NO_SUCH_FEED
        assert await janus.streams(1234, rita.id) == [wire.Stream("audio", "0", "opus")]
        (forward,) = await janus.forward(1234, rita.id, mid="0", port=40_000, pt=111, ssrc=4242)
        assert (forward.host, forward.port, forward.ssrc) == ("127.0.0.1", 40_000, 4242)
        assert await janus.forwards(1234) == [wire.Forwards(rita.id, [forward])]
        await janus.stop_forward(1234, rita.id, forward.stream_id)
        await janus.stop_forward(1234, rita.id, forward.stream_id)  # 428, which is fine
        assert await janus.forward(1234, rita.id, mid="no such", port=40_000, pt=111, ssrc=4242) == []
        with pytest.raises(JanusError, match="no such room"):
            await janus.participants(1235)
        assert await janus.participants(1234) == []


async def test_what_janus_refuses_is_told_apart():
    async with janus_fake.FakeJanus() as fake:
        with pytest.raises(ConfigError, match="api_secret"):
            await Janus(config(fake.url, api_secret="wrong")).__aenter__()
        fake.plugin = False
        with pytest.raises(JanusError, match="no VideoRoom plugin"):
            await Janus(config(fake.url)).__aenter__()
        fake.plugin = True
        fake.rooms[1] = {}
        async with Janus(config(fake.url, secrets={"2": "x"}, admin_key="wrong")) as janus:
            with pytest.raises(JanusError, match="a secret is missing"):
                await janus.forwards(1)
            with pytest.raises(JanusError, match="a secret is wrong"):
                await janus.rooms()


async def test_a_janus_that_is_silent_or_gone_is_unreachable():
    with pytest.raises(UnreachableError):
        await Janus(config("ws://127.0.0.1:9")).__aenter__()
    async with janus_fake.FakeJanus() as fake:
        fake.silent = {"list"}
        async with Janus(config(fake.url, timeout=0.1)) as janus:
            with pytest.raises(UnreachableError, match="in time"):
                await janus.rooms()
        fake.question.clear()
        async with Janus(config(fake.url)) as janus:
            waiting = asyncio.create_task(janus.rooms())
            await fake.question.wait()
            await fake.cut()
            with pytest.raises(UnreachableError):
                await waiting
            with pytest.raises(UnreachableError):
                await janus.info()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"janus":1}', b"\xff\xfe", '{"janus":"timeout","session_id":1}', '{"janus":"ack","error":[]}'],
)
async def test_nonsense_ends_the_connection_and_is_called_so(text: str | bytes):
    async with janus_fake.FakeJanus() as fake:
        fake.silent = {"list"}
        async with Janus(config(fake.url)) as janus:
            waiting = asyncio.create_task(janus.rooms())
            await fake.question.wait()
            await fake.tell(text)
            with pytest.raises(ProtocolError):
                await waiting


async def test_events_of_others_and_answers_to_nobody_are_passed_over():
    async with janus_fake.FakeJanus() as fake, Janus(config(fake.url)) as janus:
        for text in ('{"janus":"event"}', '{"janus":"success","transaction":"99"}', '{"janus":"hangup","reason":"x"}'):
            await fake.tell(text)
        assert await janus.rooms() == []


async def test_more_bytes_than_are_taken_end_the_connection():
    async with janus_fake.FakeJanus() as fake:
        fake.silent = {"list"}
        async with Janus(config(fake.url)) as janus:
            waiting = asyncio.create_task(janus.rooms())
            await fake.question.wait()
            await fake.tell(json.dumps({"janus": "event", "x": "x" * wire.MAX_MESSAGE}))
            with pytest.raises(UnreachableError):
                await waiting


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["janus", "transaction", "data", "plugindata", "error", "code", "id", "participants", "list",
                         "publishers", "forwarders", "streams", "error_code", "display", "room"]), inner, max_size=6),
    max_leaves=12,
))  # fmt: skip
def test_whatever_comes_is_understood_or_a_protocol_error(value: object):
    text = json.dumps({"janus": "success", "plugindata": {"data": value}})
    with suppress(ProtocolError, JanusError):
        wire.answer("anything", wire.decode(text))
    with suppress(ProtocolError):
        wire.decode(json.dumps(value))


@given(st.text(max_size=400))
def test_a_display_name_has_no_line_breaks_and_an_end(text: str):
    name = wire.clean(text)
    assert len(name) <= wire.MOST_NAME
    assert name.isprintable()
    assert name == name.strip()


def test_no_secret_is_in_an_exception():
    error = JanusError("forward", wire.WRONG_SECRET)
    assert "admin_key" in str(error)
    assert janus_fake.ADMIN_KEY not in str(error)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"url": "http://127.0.0.1:8088"}, "url"),
        ({"url": "ws://user:secret@127.0.0.1"}, "url"),
        ({"bind": "localhost"}, "bind"),
        ({"bind": "0.0.0.0"}, "advertise"),
        ({"ports": (20_000, 10_000)}, "ports"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(changes: dict, path: str):
    with pytest.raises(ConfigError) as refused:
        JanusConfig(**changes).checked()
    assert refused.value.path == f"adapters.janus.{path}"


def test_rooms_may_be_numbers_or_words():
    read = msgspec.convert({"rooms": [1234, "board"], "secrets": {"board": "b", "*": "all"}}, JanusConfig)
    assert read.rooms == (1234, "board")
    assert (read.secret("board"), read.secret(1234)) == ("b", "all")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"rooms": [1.5]}, JanusConfig)


@pytest.mark.fuzz
@pytest.mark.parametrize("parser", [test_whatever_comes_is_understood_or_a_protocol_error])
def test_the_wire_takes_much_more_of_it(fuzz, parser):
    fuzz.examples(4000, parser)
