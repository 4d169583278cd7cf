"""Plays a call into a daemon as Twilio would: one WebSocket, both tracks, 20 ms media messages.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Two things differ from a real Twilio stream, and
only where a cue asks for it: ``dtmf`` is sent although Twilio sends it on bidirectional streams only, and a hold,
which a Twilio stream cannot tell, is nothing but silence.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from vcond.base.errors import UnreachableError
from vcond.demo.call import FRAME, FRAME_MS, Person, Recording

TRACKS = ("inbound", "outbound")
"""The caller is what Twilio receives, the agent what it sends."""
CONNECT_TIMEOUT = 10.0
SEND_TIMEOUT = 10.0
"""Seconds that a daemon may leave our frames unread before it counts as hung."""


def _sid(kind: str) -> str:
    return kind + secrets.token_hex(16)


@dataclass(frozen=True)
class Sids:
    """Twilio's names of account, call and stream."""

    account: str = field(default_factory=lambda: _sid("AC"))
    call: str = field(default_factory=lambda: _sid("CA"))
    stream: str = field(default_factory=lambda: _sid("MZ"))


def opening(recording: Recording, sids: Sids) -> tuple[str, str]:
    """The messages ``connected`` and ``start``."""
    start = {
        "accountSid": sids.account,
        "streamSid": sids.stream,
        "callSid": sids.call,
        "tracks": list(TRACKS),
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": _parameters(*recording.parties),
    }
    connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    return json.dumps(connected), json.dumps(
        {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": sids.stream}
    )


def _parameters(caller: Person, agent: Person) -> dict[str, str]:
    told = {
        "from": caller.tel,
        "to": agent.tel,
        "direction": "inbound",
        "callerName": caller.name,
        "calleeName": agent.name,
    }
    return {name: value for name, value in told.items() if value}


def steps(recording: Recording, sids: Sids) -> Iterator[list[str]]:
    """What is sent in each 20 ms of the call, and last what ends it. Every number is a string, as Twilio has it."""
    sequence = 1
    digits = [cue for cue in recording.cues if cue.kind == "digit"]

    def numbered(event: str, body: dict[str, str | dict[str, str]]) -> str:
        nonlocal sequence
        sequence += 1
        return json.dumps({"event": event, "sequenceNumber": str(sequence), "streamSid": sids.stream} | body)

    for frame in range(recording.frames):
        now = frame * FRAME_MS
        messages = []
        for name, track in zip(TRACKS, recording.tracks, strict=True):
            payload = base64.b64encode(track[frame * FRAME : (frame + 1) * FRAME]).decode()
            media = {"track": name, "chunk": str(frame + 1), "timestamp": str(now), "payload": payload}
            messages.append(numbered("media", {"media": media}))
        while digits and digits[0].at * 1000 < now + FRAME_MS:
            cue = digits.pop(0)
            dtmf = {"track": f"{TRACKS[cue.party]}_track", "digit": cue.button}
            messages.append(numbered("dtmf", {"dtmf": dtmf}))
        yield messages
    yield [numbered("stop", {"stop": {"accountSid": sids.account, "callSid": sids.call}})]


async def play(url: str, recording: Recording, *, speed: float, progress: Callable[[float], None]) -> Sids:
    """Play a call into the WebSocket at ``url``, ``speed`` times as fast as it was, and hang up.

    ``progress`` hears the position in seconds, 50 times a second of the call. Raises UnreachableError when the daemon
    cannot be reached, refuses or closes the stream, or no longer reads it.
    """
    sids = Sids()
    try:
        async with connect(url, compression=None, open_timeout=CONNECT_TIMEOUT, proxy=None) as socket:
            await _send(socket, opening(recording, sids))
            begun = asyncio.get_running_loop().time()
            for number, messages in enumerate(steps(recording, sids)):
                await _until(begun + (number + 1) * FRAME_MS / 1000 / speed)
                await _send(socket, messages)
                progress(min(number * FRAME_MS / 1000, recording.seconds))
    except (OSError, WebSocketException) as why:
        raise UnreachableError(f"the daemon refuses the call: {type(why).__name__}: {why}") from why
    return sids


async def _until(deadline: float) -> None:
    """Sleep up to a moment of the loop's clock; frames that are late go out at once, the rest keeps its time."""
    await asyncio.sleep(max(0.0, deadline - asyncio.get_running_loop().time()))


async def _send(socket: ClientConnection, messages: tuple[str, ...] | list[str]) -> None:
    async with asyncio.timeout(SEND_TIMEOUT):
        for message in messages:
            await socket.send(message)
