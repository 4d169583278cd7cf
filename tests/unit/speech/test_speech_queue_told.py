"""What the operator of a speech queue is told: the right machine, the right stream, and no longer than it is so."""

from __future__ import annotations

import asyncio
import base64
import time

import msgspec
import pytest
from queue_rig import Edge, QueueRig
from structlog.testing import capture_logs

from vcond.call import events as ev
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice
from vcond.speech.queue import answers, client, messages, sent, server
from vcond.speech.queue.messages import Answer

pytestmark = pytest.mark.peer
KEY = base64.b64encode(bytes([1]) * 32).decode()


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "REST", 0.2)
    monkeypatch.setattr(client, "LOOK", 0.05)
    monkeypatch.setattr(server, "BACK", 0.05)
    made = QueueRig(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_machines_that_came_back_are_known_before_they_are_asked(rig, room, track, monkeypatch) -> None:
    monkeypatch.setattr(sent, "SILENT", 0.3)
    await rig.serve("gpu-1")  # makes the streams
    await rig.kill("gpu-1")
    choice = Choice("speech_engines:Scripted", str(rig.folder))
    line, one = track(), Edge(rig, room().clock, where="queue when deferred", choice=choice, patience=5)
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        await one.told("no machine answers")
        assert await speech.settled("", 300)  # it was transcribed here: nothing waits for an answer any more
        assert "no machine answers" in speech.trouble
        await rig.serve("gpu-2")
        while speech.trouble:
            await one.said.get()


@pytest.mark.parametrize(("old", "clocks"), [(True, False), (False, True)], ids=["copy", "clock"])
async def test_a_refusal_of_a_copy_whose_time_is_over_says_nothing_of_clocks(rig, room, track, old, clocks) -> None:
    await rig.serve("gpu-1")
    await rig.kill("gpu-1")
    nats = await rig.client()
    stream = nats.jetstream()
    jobs = await nats.subscribe("SPEECH.jobs")
    line, one = track(), Edge(rig, room().clock)
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        job = messages.envelope((await jobs.next_msg(timeout=60)).data).id
        answer = Answer("gpu-9", "late", deadline=time.time() - 1 if old else time.time() + 60)
        data = messages.Cipher().seal("answer", job, "edge-1", 0, messages.pack(answer))
        await stream.publish("SPEECH.texts.edge-1.0", data)
        again = await jobs.next_msg(timeout=60)
        assert again.headers["Nats-Msg-Id"] == f"{job}.1"
        said = [one.said.get_nowait() for _ in range(one.said.qsize())]
        assert any("compare the clocks" in told for told in said) == clocks
        await rig.serve("gpu-2")
        assert await speech.settled("", 300)
    await nats.close()
    assert [text.text for text in line.of(ev.Transcribed)] == ["1"]


@pytest.mark.parametrize("key", ["", KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("ours", [True, False], ids=["refuses-our-version", "answers-in-its-version"])
async def test_a_machine_of_another_version_is_named_and_one_of_ours_does_the_job(
    rig, room, track, ours, key, monkeypatch
) -> None:
    monkeypatch.setattr(sent, "GRACE", 0.5)
    await rig.serve("gpu-1", key)
    await rig.kill("gpu-1")
    nats = await rig.client()
    jobs = await nats.subscribe("SPEECH.jobs")
    line, one = track(), Edge(rig, room().clock, key=key)
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        job = messages.envelope((await jobs.next_msg(timeout=60)).data).id
        refusal = messages.Cipher().seal("answer", job, "edge-1", 0, messages.pack(Answer("gpu-9", "version")))
        other = msgspec.msgpack.encode({"v": 2, "id": job, "edge": "edge-1", "number": 0})
        await nats.jetstream().publish("SPEECH.texts.edge-1.0", refusal if ours else other)
        await one.told("gpu-9 speaks another version: upgrade it" if ours else "sends a message of version 2")
        await rig.serve("gpu-2", key)
        assert await speech.settled("", 60)
        assert speech.trouble == ""
    await nats.close()
    assert [(text.text, text.machine) for text in line.of(ev.Transcribed)] == [("1", "gpu-2")]


async def test_where_answers_have_no_room_their_stream_is_named(rig, room, track) -> None:
    await rig.serve("gpu-1")
    await rig.kill("gpu-1")
    nats = await rig.client()
    config = (await nats.jetstream().stream_info("SPEECH_TEXTS")).config
    await nats.jetstream().update_stream(config.evolve(max_bytes=1))
    house, line, one = room(), track(), Edge(rig, room().clock)
    own = SpeechConfig(engine="speech_engines:Scripted", model=str(house.folder), workers=1, nice=0, queue=rig.config())
    served = server.SpeechServer(own, clock=house.clock, machine="gpu-1", cipher=messages.Cipher())
    one.speech.catch_up(line, line.say(1))
    with capture_logs() as logged:
        serving = asyncio.create_task(served.run())
        async with one.running() as speech:
            while not (told := [entry["error"] for entry in logged if "cannot be stored" in entry["event"]]):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
            await nats.jetstream().update_stream(config)
            assert await speech.settled("", 300)
        serving.cancel()
        await asyncio.wait({serving})
    await nats.close()
    assert "SPEECH_TEXTS" in told[0]
    assert "SPEECH_JOBS" not in told[0]
    assert [text.text for text in line.of(ev.Transcribed)] == ["1"]
