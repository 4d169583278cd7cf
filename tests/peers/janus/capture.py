"""Makes adapters/webrtc/tests/janus_captured.jsonl anew: what our client and a real Janus say to one another.

    .venv/bin/python tests/peers/janus/capture.py

One participant (Chromium) joins, publishes, and leaves; vcond's client asks all that it ever asks. Each line is who
spoke ("sent" by us, "came" from Janus) and the text, byte for byte but for this machine's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import janus_peer
import msgspec

TOP = Path(__file__).resolve().parents[3]
for folder in ("tests/e2e/webrtc", "tests/e2e/janus"):
    sys.path.insert(0, str(TOP / folder))

from chromium_kit import browser  # noqa: E402 - found by the path above
from room_kit import join, leave, served  # noqa: E402 - the participants of the end-to-end test

from vcond_webrtc.janus.client import Janus  # noqa: E402 - after the path is set
from vcond_webrtc.janus.config import JanusConfig  # noqa: E402 - after the path is set
from vcond_webrtc.janus.wire import JanusError  # noqa: E402 - after the path is set

OUT = TOP / "adapters/webrtc/tests/janus_captured.jsonl"
PORT, SSRC = 40_000, 4242


class Recorded(Janus):
    """A client that writes down what it says and hears."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__(config)
        self.lines: list[tuple[str, str]] = []

    async def _send(self, message) -> None:
        self.lines.append(("sent", json.dumps(message)))
        await super()._send(message)

    def _take(self, message) -> None:
        self.lines.append(("came", message if isinstance(message, str) else message.decode()))
        super()._take(message)


async def main() -> None:
    config = JanusConfig(
        api_secret=janus_peer.API_SECRET,
        admin_key=janus_peer.ADMIN_KEY,
        secrets={"*": janus_peer.ROOM_SECRET},
        pins={"*": janus_peer.ROOM_PIN},
    )
    async with janus_peer.running() as janus, served() as url, browser(None) as page:
        ask = Recorded(msgspec.structs.replace(config, url=janus.url))
        async with ask:
            await conversation(ask, page, janus, url)
    text = "".join(json.dumps({"who": who, "text": text}) + "\n" for who, text in ask.lines)
    OUT.write_text(text.replace(janus_peer.lan(), "192.0.2.2"))
    print(f"{len(ask.lines)} messages in {OUT}")


async def conversation(ask: Recorded, page, janus: janus_peer.Janus, url: str) -> None:
    """The order that ``test_janus_replay`` repeats."""
    room = janus_peer.ROOM
    await ask.info()
    await ask.rooms()
    await ask.participants(room)
    await page.open(url)
    await join(page, janus, "Rita")
    while not (people := await ask.participants(room))[0].publisher:
        ask.lines[:] = ask.lines[:-2]
    rita = people[0].id
    with contextlib.suppress(JanusError):
        await ask.streams(room, rita + 1)
    (stream,) = await ask.streams(room, rita)
    (forward,) = await ask.forward(room, rita, mid=stream.feed_mid, port=PORT, pt=111, ssrc=SSRC)
    await ask.forwards(room)
    await ask.stop_forward(room, rita, forward.stream_id)
    await ask.stop_forward(room, rita, forward.stream_id)
    await ask.forward(room, rita, mid="no such", port=PORT, pt=111, ssrc=SSRC)
    with contextlib.suppress(JanusError):
        await ask.participants(room + 1)
    await leave(page)
    await ask.participants(room)


if __name__ == "__main__":
    asyncio.run(main())
