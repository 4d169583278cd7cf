"""What somebody sees who looks after a machine that transcribes for others: ``vcond status``, ``check``, health and metrics."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import aiohttp
import msgspec
import pytest
from nats_server import PASSWORD, WITH_US
from queue_rig import HERE, Edge, QueueRig

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.cli.admin_client import ask
from vcond.speech.queue import messages, tally
from vcond.speech.queue.messages import Refusal
from vcond.speech.queue.tally import Depth, Tally

pytestmark = pytest.mark.peer


class Served:
    """``vcond speech serve`` with a configuration of its own, and the commands beside it."""

    def __init__(self, rig: QueueRig) -> None:
        self.file, folder = rig.folder / "speech.toml", rig.folder / "gpu-1"
        self.socket = Path(tempfile.mkdtemp(prefix="vcs-")) / "admin.sock"
        folder.mkdir()
        self.file.touch(0o600)
        self.file.write_text(
            f'[vcond]\nadmin_socket = "{self.socket}"\nstate_dir = "{rig.folder}/state"\n[ops]\nlisten = "127.0.0.1:0"\n'
            f'[speech]\nengine = "speech_engines:Scripted"\nmodel = "{folder}"\nworkers = 1\n[speech.queue]\n'
            f'url = "{rig.config().url}"\nuser = "vcond"\npassword = "{PASSWORD}"\nmachine = "gpu-1"\n'
        )
        self.env = {**os.environ, "PYTHONPATH": str(HERE)}

    async def start(self) -> None:
        """Until its socket is there."""
        self.process = await asyncio.create_subprocess_exec(
            *WITH_US, sys.executable, "-m", "vcond", "speech", "serve", "--config", str(self.file), env=self.env,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(120):
            while not self.socket.exists():  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.05)

    async def until(self, wanted) -> dict:
        """What it says of itself, as soon as it is as wanted."""
        async with asyncio.timeout(120):
            while not wanted(told := await asyncio.to_thread(ask, str(self.socket), "status")):  # noqa: ASYNC110 - it has no event for this
                await asyncio.sleep(0.05)
        return told

    async def command(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vcond", *words, "--config", str(self.file), env=self.env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def get(self, url: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as web, web.get(url) as answer:
            return answer.status, await answer.text()


async def test_at_night_one_command_says_how_it_is_what_it_did_and_what_to_do(tmp_path, room, track) -> None:
    rig = QueueRig(tmp_path)
    await rig.start()
    served = Served(rig)
    await served.start()
    await served.until(lambda told: told["serves"]["connected"])
    code, printed = await served.command("check")
    assert (code, "ERROR" in printed) == (0, False), printed
    assert "transcribes for other machines, as gpu-1" in printed
    assert f"{rig.config().url}, stream SPEECH" in printed

    line, one = track(), Edge(rig, room().clock)
    one.speech.catch_up(line, line.say(1, 2))
    async with one.running() as speech:
        assert await speech.settled("", 60)
    assert len(line.of(ev.Transcribed)) == 2
    told = await served.until(lambda told: told["serves"]["texts"] == 2 and told["serves"]["queue"])
    assert told["serves"]["lag"] < 60
    code, printed = await served.command("status")
    assert code == 0, printed
    assert "transcribes for other machines, as gpu-1" in printed
    assert f"{rig.config().url}, stream SPEECH: 0 utterances wait" in printed
    assert "scripted" in printed.lower()
    assert "2 texts of " in printed
    assert printed.endswith("all is well\n")
    assert await served.get(f"{told['ops']}/readyz") == (200, "ok\n")
    _, figures = await served.get(f"{told['ops']}/metrics")
    assert 'vcond_stt_served_total{kind="text"} 2.0' in figures
    assert "vcond_stt_serving 1.0" in figures
    assert 'vcond_stt_queue_jobs{state="waiting"} 0.0' in figures

    nats = await rig.client()
    stranger = messages.Cipher(bytes(32)).seal("job", "7" * 64, "edge-7", 0, b"")
    other = msgspec.msgpack.encode({"v": 2, "id": "8" * 64, "edge": "edge-8", "number": 0})
    for data in (stranger, other, b"rubbish"):
        await nats.jetstream().publish("SPEECH.jobs", data)
    await served.until(lambda told: told["serves"]["dropped"] and len(told["serves"]["refused"]) == 2)
    code, printed = await served.command("status")
    assert code == 1
    assert "WRONG   refused: edge-7 has another speech.queue.key: 1 refused" in printed
    assert "-> give both machines the same key" in printed
    assert "edge-8 speaks another version" in printed
    assert "1 key, 1 version; 1 messages that were no jobs" in printed
    assert (await served.get(f"{told['ops']}/readyz"))[0] == 200, "it does what it is there for"
    await nats.close()

    await rig.server.kill()
    await served.until(lambda told: "does not answer" in told["ready"].get("queue", ""))
    code, printed = await served.command("status")
    assert code == 1
    assert "NOT connected" in printed
    assert "check that nats-server runs" in printed
    status, body = await served.get(f"{told['ops']}/readyz")
    assert (status, "does not answer" in body) == (503, True), body
    assert "vcond_stt_serving 0.0" in (await served.get(f"{told['ops']}/metrics"))[1]
    code, printed = await served.command("check")
    assert (code, "it is tried again all the time" in printed) == (1, True), printed
    assert (await served.command("calls"))[0] != 0

    served.process.terminate()
    assert await served.process.wait() == 0
    assert not served.socket.exists()
    await rig.server.start()
    await rig.stop()


async def test_a_socket_at_which_another_answers_is_left_to_it(tmp_path) -> None:
    rig = QueueRig(tmp_path)
    await rig.start()
    served = Served(rig)
    asked = []
    other = await asyncio.start_unix_server(lambda _, writer: (asked.append(1), writer.close()), served.socket)
    async with other:
        await served.start()
        line = (await served.process.stderr.readline()).decode()
        while "vcond status does not show this process" not in line:
            assert line
            line = (await served.process.stderr.readline()).decode()
        assert "another vcond answers at it" in line
        assert asked
        served.process.terminate()
        await served.process.communicate()
        assert served.process.returncode == 0
    await rig.stop()


def test_a_refusal_is_to_be_looked_after_for_ten_minutes_and_counted_for_good() -> None:
    class Clock:
        at = Instant(1_795_339_662 * SECOND)

        def now(self) -> Instant:
            return self.at

    clock = Clock()
    counted = Tally(clock)
    for why in Refusal.__args__:
        if why:
            counted.refusal(why, "edge-3")
    told = counted.troubles("SPEECH")
    assert len(told) == len(Refusal.__args__) - 1
    assert all(one.detail.startswith("edge-3 ") and one.fix for one in told)
    clock.at = Instant(clock.at + tally.RECENT)
    assert counted.troubles("SPEECH") == []
    assert counted.refused["key"] == 1


@pytest.mark.parametrize(
    ("jobs", "answers", "what", "stream"),
    [(0.81, 0.1, "queue", "SPEECH_JOBS"), (0.1, 0.81, "answers", "SPEECH_TEXTS")],
)
def test_a_stream_that_is_nearly_full_is_told_before_it_is(room, jobs, answers, what, stream) -> None:
    counted = Tally(room().clock)
    assert counted.troubles("SPEECH") == []
    counted.depth = Depth(40, 2, jobs, answers)
    (told,) = counted.troubles("SPEECH")
    assert (told.what, "81%" in told.detail, stream in told.fix) == (what, True, True)
    counted.depth = Depth(40, 2, 0.5, 0.5)
    assert counted.troubles("SPEECH") == []


def test_a_lag_is_never_less_than_nothing_whatever_the_clocks_say(room) -> None:
    counted = Tally(room().clock)
    counted.text(-5.0)
    assert counted.lag == 0.0
