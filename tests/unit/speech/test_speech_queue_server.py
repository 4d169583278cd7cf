"""The speech queue with a real nats-server and machines that transcribe as processes of their own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats_server
import numpy as np
import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig
from nats_server import PASSWORD, WITH_US
from queue_rig import HERE, Edge, QueueRig
from speech_engines import HANG, RAISE
from typer.testing import CliRunner

from vcond.base import metrics
from vcond.base.errors import ConfigError
from vcond.call import events as ev
from vcond.cli.app import app
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice
from vcond.speech.queue import answers, audio, client, messages, sent, server
from vcond.speech.queue.messages import Answer, QueuedUtterance

pytestmark = pytest.mark.peer
KEY, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture
async def rig(tmp_path, monkeypatch) -> AsyncIterator[QueueRig]:
    monkeypatch.setattr(answers, "REST", 0.2)
    monkeypatch.setattr(client, "LOOK", 0.05)
    made = QueueRig(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def edge(rig, room):
    clock = room().clock
    return lambda **more: Edge(rig, clock, **more)


def texts(track) -> dict[int, str]:
    """By utterance; each once."""
    found = track.of(ev.Transcribed)
    assert len({one.utterance for one in found}) == len(found)
    return {one.utterance: one.text for one in found}


def count(kind: str) -> float:
    return metrics.stt_queue_answers_total.labels(kind)._value.get()


async def test_an_utterance_comes_back_as_words_of_the_machine_that_heard_it(rig, edge, track, marks) -> None:
    await rig.serve("gpu-1")
    line = track()
    line.pcm = np.repeat(np.array([0, 5, 6, 0], np.int16), 800)
    line.language, line.vocabulary = "en", ("five", "six")
    async with edge().running() as speech:
        listener = speech.listen(line)
        listener.segmenter = marks()
        listener.close(3200)
        assert await speech.settled("call", 30)
        assert speech.trouble == ""
    (heard,) = line.of(ev.Transcribed)
    assert (heard.text, heard.engine, heard.model, heard.machine) == ("5 6", "scripted", "whole", "gpu-1")
    assert [(w.start, w.stop, w.text) for w in heard.words] == [(800, 1600, "5"), (1600, 2400, "6")]
    assert rig.did("gpu-1", "hint") == ["8000 en five,six"]


async def test_jobs_go_out_before_anybody_serves_only_when_there_are_streams(rig, edge, track) -> None:
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        await one.told("vcond speech serve makes them")
        await rig.serve("gpu-1")
        assert await speech.settled("", 30)
    assert texts(line) == {0: "1"}


async def test_a_server_killed_in_the_middle_of_an_utterance_costs_time_only(rig, edge, track) -> None:
    rig.hangs_once("gpu-1", "gpu-2")
    await rig.serve("gpu-1")
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(HANG, 1, 2))
    async with one.running() as speech:
        await asyncio.to_thread((rig.folder / "gpu-1" / "fifo").read_text)  # it is in the middle of it
        await rig.kill("gpu-1")
        await rig.serve("gpu-2")
        assert await speech.settled("", 60)
    assert texts(line) == {0: str(HANG), 1: "1", 2: "2"}
    assert {one.machine for one in line.of(ev.Transcribed)} == {"gpu-2"}


async def test_a_server_that_is_told_to_stop_gives_back_what_it_has(rig, edge, track) -> None:
    rig.hangs_once("gpu-1", "gpu-2")
    await rig.serve("gpu-1", held=300)
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(HANG))
    async with one.running() as speech:
        await asyncio.to_thread((rig.folder / "gpu-1" / "fifo").read_text)
        await rig.serve("gpu-2", held=300)
        await rig.end("gpu-1")
        assert await speech.settled("", 60)
    assert texts(line) == {0: str(HANG)}


async def test_nats_killed_and_restarted_and_the_edge_killed_lose_and_double_nothing(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    await rig.serve("gpu-2")
    lines = [track(f"call-{n}") for n in range(10)]
    spoken = {line.call: line.say(*range(1, 11)) for line in lines}
    first = edge(most=16)
    for line in lines:
        first.speech.catch_up(line, spoken[line.call])
    async with first.running():
        await lines[4].until(lambda: len(texts(lines[4])) >= 2)
        await rig.server.kill()
        await rig.server.start()
        await lines[4].until(lambda: len(texts(lines[4])) >= 5)
    second = edge(most=16)
    for line in lines:
        done = texts(line)
        second.speech.catch_up(line, [one for one in spoken[line.call] if one.utterance not in done])
    async with second.running() as speech:
        assert await speech.settled("", 90)
    for line in lines:
        assert sorted(texts(line).items()) == [(n, str(n + 1)) for n in range(10)]
    assert {one.machine for line in lines for one in line.of(ev.Transcribed)} == {"gpu-1", "gpu-2"}


async def test_a_queue_that_is_there_again_is_well_before_anybody_speaks(rig, edge) -> None:
    await rig.serve("gpu-1")  # makes the streams
    await rig.server.kill()
    one = edge()
    async with asyncio.timeout(60), one.running() as speech:
        await one.told("does not answer")
        await rig.server.start()
        while await one.said.get():
            pass
        assert speech.trouble == ""


async def test_servers_end_with_the_process_of_the_tests(tmp_path) -> None:
    told = (
        "import asyncio, pathlib, sys, queue_rig\nasync def main():\n"
        " rig = queue_rig.QueueRig(pathlib.Path(sys.argv[1]))\n await rig.start()\n await rig.serve('gpu-1')\n"
        " print(rig.server.process.pid, rig.children['gpu-1'].pid, flush=True)\n await asyncio.Event().wait()\nasyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(
        *WITH_US, sys.executable, "-c", told, str(tmp_path), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(Path(nats_server.__file__).parent)])},
    )  # fmt: skip
    pids = [*map(int, (await parent.stdout.readline()).split())]
    assert len(pids) == 2
    ends = [os.pidfd_open(pid) for pid in pids]
    parent.kill()
    await parent.wait()
    for end in ends:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(end, ended.set)
        async with asyncio.timeout(60):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(end)
        os.close(end)


async def test_what_is_deferred_is_done_here_when_nobody_answers(rig, edge, room, track, monkeypatch) -> None:
    monkeypatch.setattr(sent, "SILENT", 0.3)
    await rig.serve("gpu-1")  # makes the streams
    await rig.kill("gpu-1")
    line, one = (
        track(),
        edge(where="queue when deferred", choice=Choice("speech_engines:Scripted", str(rig.folder)), patience=5),
    )
    one.speech.catch_up(line, line.say(1, 2, 3))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    assert texts(line) == {0: "1", 1: "2", 2: "3"}
    assert {one.machine for one in line.of(ev.Transcribed)} == {""}


async def test_a_machine_without_the_key_refuses_and_is_named_and_one_with_it_does_the_job(rig, edge, track) -> None:
    await rig.serve("gpu-1", OTHER)
    line, one = track(), edge(key=KEY)
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        await one.told("gpu-1 does not have our key")
        await rig.end("gpu-1")
        await rig.serve("gpu-2", KEY)
        assert await speech.settled("", 60)
        assert speech.trouble == ""
    assert texts(line) == {0: "1"}
    assert rig.did("gpu-1", "fed") == []


async def test_with_a_key_nothing_of_an_utterance_is_readable_in_the_streams(rig, edge, track) -> None:
    await rig.serve("gpu-1", KEY)
    await rig.kill("gpu-1")
    line, one = track("secret-call"), edge(key=KEY)
    line.vocabulary = ("secret-word",)
    one.speech.catch_up(line, line.say(7))
    nats = await rig.client()
    jobs = await nats.subscribe("SPEECH.jobs")
    async with one.running():
        data = (await jobs.next_msg(timeout=60)).data
    await nats.close()
    assert not [word for word in (b"secret", b"fLaC") if word in data]


async def test_what_an_engine_always_fails_on_is_given_up_and_others_are_not_held_up(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(RAISE, 1))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    assert texts(line) == {1: "1"}
    assert [(one.utterance, one.reason) for one in line.of(ev.Untranscribed)] == [(0, "engine-failed")]


async def test_a_language_that_no_machine_understands_is_told(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    line, one = track(), edge()
    line.language = "de"
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    assert [one.reason for one in line.of(ev.Untranscribed)] == ["language"]


async def test_jobs_that_are_none_are_refused_and_those_behind_them_are_done(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    flac, rate = audio.encoded(np.full(800, 5, np.int16), 8000)
    good = QueuedUtterance("call", 0, 0, 800, rate, hashlib.sha256(flac).digest(), time.time() + 60, flac)
    other = msgspec.msgpack.encode({"v": 2, "id": "2" * 64, "edge": "edge-9", "number": 0})
    sealed = {
        "hash": msgspec.structs.replace(good, sha256=bytes(32)),
        "audio": msgspec.structs.replace(good, rate=16_000),
        "late": msgspec.structs.replace(good, deadline=1.0),
        "invalid": msgspec.structs.replace(good, stop=0),
    }
    bad = [
        messages.Cipher().seal("job", f"{n:064}", "edge-9", 0, messages.pack(job))
        for n, job in enumerate(sealed.values())
    ]
    nats = await rig.client()
    stream = nats.jetstream()
    for data in (b"", b"rubbish", other, *bad):
        await stream.publish("SPEECH.jobs", data)
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    assert texts(line) == {0: "1"}
    waiting = await stream.pull_subscribe("SPEECH.texts.edge-9.0", stream="SPEECH_TEXTS")
    found = []
    while len(found) < 1 + len(bad):
        for message in await waiting.fetch(10, timeout=30):
            answer = messages.answer(messages.envelope(message.data).body)
            found.append((answer.refused, answer.deadline))
            await message.ack()
    assert sorted(found) == sorted((why, 1.0 * (why == "late")) for why in ("version", *sealed))
    await nats.close()


async def test_a_queue_that_is_full_is_told_and_holds_up_nothing_for_good(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    await rig.kill("gpu-1")
    nats = await rig.client()
    stream = nats.jetstream()
    config = (await stream.stream_info("SPEECH_JOBS")).config
    await stream.update_stream(config.evolve(max_bytes=900))
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(1, 2, 3, 4))
    async with one.running() as speech:
        await one.told("the queue is full")
        await rig.serve("gpu-1")
        assert await speech.settled("", 60)
    await nats.close()
    assert texts(line) == {0: "1", 1: "2", 2: "3", 3: "4"}


async def test_what_is_larger_than_a_message_is_told_and_done_here_or_not_at_all(rig, edge, track) -> None:
    rig.server.more = ("max_payload: 32KB",)
    await rig.server.stop()
    await rig.server.start()
    await rig.serve("gpu-1")
    loud = np.random.default_rng(1).integers(1000, 9000, 40_000, np.int16)
    for where, expected in (("queue", {1: "5"}), ("queue when deferred", {0: None, 1: "5"})):
        line = track(where.replace(" ", "-"))
        line.pcm = np.concatenate([loud, np.full(800, 5, np.int16)])
        one = edge(
            where=where,
            choice=Choice("queue") if where == "queue" else Choice("speech_engines:Scripted", str(rig.folder)),
        )
        spoken = [
            ev.Utterance(at=line.at(0), utterance=line.next_utterance(), track=0, start=a, stop=b)
            for a, b in ((0, 40_000), (40_000, 40_800))
        ]
        one.speech.catch_up(line, spoken)
        async with one.running() as speech:
            if where == "queue":
                await one.told("raise max_payload")
            assert await speech.settled("", 60)
        assert texts(line).keys() == expected.keys()
        assert [one.reason for one in line.of(ev.Untranscribed)] == (["too-large"] if where == "queue" else [])


async def test_answers_that_nobody_waits_for_are_dropped_and_counted(rig, edge, track) -> None:
    await rig.serve("gpu-1")
    nats, before = await rig.client(), {kind: count(kind) for kind in ("late", "invalid", "text")}
    late = messages.Cipher().seal("answer", "4" * 64, "edge-1", 0, messages.pack(Answer("gpu-9")))
    for data in (late, late, b"rubbish"):
        await nats.jetstream().publish("SPEECH.texts.edge-1.0", data)
    line, one = track(), edge()
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    await nats.close()
    assert {kind: count(kind) - was for kind, was in before.items()} == {"late": 2, "invalid": 1, "text": 1}


async def test_streams_that_would_lose_something_are_not_used(rig, edge) -> None:
    nats = await rig.client()
    for name, subject in (("SPEECH_JOBS", "SPEECH.jobs"), ("SPEECH_TEXTS", "SPEECH.texts.*.*")):
        config = StreamConfig(
            name=name, subjects=[subject], retention=RetentionPolicy.WORK_QUEUE, discard=DiscardPolicy.OLD
        )
        await nats.jetstream().add_stream(config)
    await nats.close()
    one = edge()
    async with one.running():
        await one.told("--discard new")


@pytest.mark.parametrize("turns", range(4))
async def test_both_sides_end_when_they_are_told_to_in_the_moment_in_which_nats_goes_away(
    rig, edge, room, turns
) -> None:
    house, one = room(), edge()
    config = SpeechConfig(engine="speech_engines:Scripted", model=str(house.folder), workers=1, queue=rig.config())
    served = server.SpeechServer(config, clock=house.clock, machine="gpu-1", cipher=messages.Cipher())
    sides = [asyncio.create_task(served.run())]
    await served.serving.wait()
    sides.append(asyncio.create_task(one.speech.run()))
    while one.speech._queue._link is None:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    await rig.server.kill()
    for _ in range(turns):
        await asyncio.sleep(0)
    for side in sides:
        side.cancel()
    done, _ = await asyncio.wait(sides, timeout=20)
    assert done == set(sides)
    assert all(side.cancelled() for side in sides)


async def test_the_command_serves_with_a_small_configuration_of_its_own_and_ends_when_it_is_told(
    rig, edge, track
) -> None:
    file, folder = rig.folder / "speech.toml", rig.folder / "gpu-7"
    folder.mkdir()
    file.touch(0o600)
    file.write_text(
        f'[vcond]\nadmin_socket = "{rig.folder}/admin.sock"\n[ops]\nlisten = ""\n'
        f'[speech]\nengine = "speech_engines:Scripted"\nmodel = "{folder}"\nworkers = 1\n[speech.queue]\n'
        f'url = "{rig.config().url}"\nuser = "vcond"\npassword = "{PASSWORD}"\nmachine = "gpu-7"\nkey = "{KEY}"\n'
    )
    child = await asyncio.create_subprocess_exec(
        *WITH_US, sys.executable, "-m", "vcond", "speech", "serve", "--config", str(file),
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    line, one = track(), edge(key=KEY)
    one.speech.catch_up(line, line.say(1))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    child.terminate()
    assert await child.wait() == 0
    assert [(one.text, one.machine) for one in line.of(ev.Transcribed)] == [("1", "gpu-7")]


@pytest.mark.parametrize(
    ("queue", "more", "what"),
    [
        ("", "", "speech.queue.url"),
        ('url = "nats://127.0.0.1:1"', 'where = "queue"', "speech.where"),
        ('url = "nats://127.0.0.1:1"', 'engine = "none"', "speech.engine"),
        ('url = "http://127.0.0.1:1"', 'engine = "remote"\nurl = "ws://127.0.0.1:1"', "speech.queue.url"),
        ('url = "nats://127.0.0.1:1"\nkey = "short"', 'engine = "remote"\nurl = "ws://127.0.0.1:1"', "speech.queue.key"),
    ],
    ids=["no-url", "where", "no-engine", "address", "key"],
)  # fmt: skip
def test_a_machine_that_cannot_serve_says_which_key_is_wrong(tmp_path, queue, more, what) -> None:
    file = tmp_path / "speech.toml"
    file.touch(0o600)
    file.write_text(f"[speech]\n{more}\n[speech.queue]\n{queue}\n")
    with pytest.raises(ConfigError, match=what.replace(".", r"\.")):
        CliRunner().invoke(app, ["speech", "serve", "--config", str(file)], catch_exceptions=False)
