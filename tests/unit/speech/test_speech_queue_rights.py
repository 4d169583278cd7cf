"""What the user of the documentation may do in NATS: all that the queue needs, and no more."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig
from nats_server import PASSWORD
from queue_rig import QueueRig
from speech_running import running

from vcond.call import events as ev
from vcond.speech.config import SpeechConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.queue import answers

pytestmark = pytest.mark.peer
PAGE = Path(__file__).parents[3] / "docs" / "speech.md"


@pytest.fixture
async def rig(tmp_path, monkeypatch):
    """With the users of the page, whose password is the only thing changed, and one who may do everything."""
    monkeypatch.setattr(answers, "REST", 0.2)
    (block,) = re.findall(r"^authorization \{(.*?)^\}$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert block.count("change-me") == 1
    operator = f'users: [{{ user: operator, password: "{PASSWORD}" }},'
    made = QueueRig(tmp_path)
    made.server.authorization = block.replace("change-me", PASSWORD).replace("users: [", operator, 1)
    await made.start()
    yield made
    await made.stop()


async def test_with_the_rights_of_the_page_machines_make_the_streams_and_utterances_come_back(rig, room, track) -> None:
    await rig.serve("gpu-1")
    config = SpeechConfig(engine="none", where="queue", workers=1, restart_seconds=0.01, queue=rig.config())
    speech, line = Speech(config, clock=room().clock, machine="unused"), track()
    speech.catch_up(line, line.say(1, 2, 3))
    async with running(speech):
        assert await speech.settled("", 300)
    assert sorted(one.text for one in line.of(ev.Transcribed)) == ["1", "2", "3"]
    await rig.end("gpu-1")
    ours = await rig.client()  # what is done when an utterance is taken back, or was sent before
    place = (await ours.jetstream().publish("SPEECH.jobs", b"")).seq
    assert (await ours.jetstream().get_msg("SPEECH_JOBS", place)).seq == place
    assert await ours.jetstream().delete_msg("SPEECH_JOBS", place)
    await ours.close()


async def test_with_the_rights_of_the_page_what_is_of_others_is_refused(rig) -> None:
    operator = await nats.connect(f"nats://127.0.0.1:{rig.server.port}", user="operator", password=PASSWORD)
    await operator.jetstream().add_stream(StreamConfig(name="OTHERS", subjects=["others.>"]))
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def told(why: Exception) -> None:
        refused.put_nowait(str(why))

    ours = await nats.connect(
        f"nats://127.0.0.1:{rig.server.port}", user="vcond", password=PASSWORD, error_cb=told, allow_reconnect=False
    )
    for subject in (
        "others.thing", "$JS.API.STREAM.DELETE.OTHERS", "$JS.API.STREAM.INFO.OTHERS", "$JS.API.STREAM.PURGE.OTHERS",
        "$JS.API.STREAM.MSG.GET.OTHERS", "$JS.API.CONSUMER.DURABLE.CREATE.OTHERS.x", "$JS.API.CONSUMER.CREATE.OTHERS",
    ):  # fmt: skip
        await ours.publish(subject, b"{}")
        assert subject.lower() in (await asyncio.wait_for(refused.get(), 120)).lower()
    await ours.subscribe("others.>")
    assert "others.>" in (await asyncio.wait_for(refused.get(), 120)).lower()
    assert (await operator.jetstream().stream_info("OTHERS")).state.messages == 0
    await ours.close()
    await operator.close()
