"""Publishers of ``vcond check --loopback`` in a VideoRoom of their own, which Janus forgets with them."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from vcond.base.errors import PeerError, ProtocolError, RefusedError, UnreachableError
from vcond.cli.whip_publisher import CLOSE_LIMIT, CONNECT_LIMIT, Tone
from vcond.sdk.tls import client
from vcond.sdk.websocket import open_websocket
from vcond_webrtc.janus import wire
from vcond_webrtc.janus.config import JanusConfig

SETTING_UP = 3.0
"""Seconds until vcond has seen who publishes and Janus forwards it: they speak so much longer."""


def section(configured: Mapping[str, Any]) -> dict[str, Any]:
    """``[adapters.janus]`` of a daemon that records one room, which ``publish`` makes, and no other."""
    strings = any(isinstance(room, str) for room in configured.get("rooms", ()))
    room = f"vcond-check-{secrets.token_hex(8)}" if strings else secrets.randbits(48)
    return {**configured, "rooms": [room], "name": f"{configured.get('name', 'vcond')[:90]}-check", "grace": 0}


async def publish(configured: Mapping[str, Any], seconds: float) -> None:
    """Two publish for so long in the room of the section. Raises PeerError when they cannot."""
    config = msgspec.convert(configured, JanusConfig)
    tls = client(config.ca, "adapters.janus.ca") if config.url.startswith("wss:") else None
    try:
        socket = await open_websocket(
            config.url, config.timeout, wire.MAX_MESSAGE, protocols=["janus-protocol"], tls=tls
        )
        async with socket:
            await _published(_Api(config, socket), config, seconds)
    except (WebSocketException, OSError, TimeoutError) as why:
        raise UnreachableError(f"a publisher was not connected: {str(why) or type(why).__name__}") from None
    except (LookupError, TypeError, ValueError):
        raise ProtocolError("Janus gives an answer that its VideoRoom does not give") from None


async def _published(api: _Api, config: JanusConfig, seconds: float) -> None:
    (room,) = config.rooms
    await api.open()
    keys = {"secret": config.secret(room), "pin": config.pin(room), "admin_key": config.admin_key}
    more = {name: value for name, value in keys.items() if value}
    made = {"request": "create", "room": room, "is_private": True, "publishers": 2, "audiocodec": "opus", **more}
    await api.say(await api.attach(), made)
    handles = [await api.attach() for _ in range(2)]
    tones = [Tone(hertz, seconds + SETTING_UP) for hertz in (300.0, 500.0)]
    connections = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in tones]
    try:
        for name, handle, tone, connection in zip(("caller", "agent"), handles, tones, connections, strict=True):
            pin = {"pin": config.pin(room)} if config.pin(room) else {}
            await api.say(handle, {"request": "join", "ptype": "publisher", "room": room, "display": name, **pin})
            connection.addTransceiver(tone, direction="sendonly")
            await connection.setLocalDescription(await connection.createOffer())
            offer = {"type": "offer", "sdp": connection.localDescription.sdp}
            answer = await api.say(handle, {"request": "publish", "audiocodec": "opus"}, jsep=offer)
            await connection.setRemoteDescription(RTCSessionDescription(answer["jsep"]["sdp"], "answer"))
        async with asyncio.timeout(CONNECT_LIMIT):
            for tone in tones:
                await tone.over.wait()
        for handle in handles:
            await api.say(handle, {"request": "leave"})
    finally:
        for tone, connection in zip(tones, connections, strict=True):
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT):
                    await connection.close()
            tone.stop()
        destroyed: dict[str, Any] = {name: more[name] for name in ("secret", "admin_key") if name in more}
        with suppress(PeerError, OSError, WebSocketException):  # the room is empty; what went wrong before counts
            await api.say(handles[0], {"request": "destroy", "room": room, **destroyed})


class _Api:
    """Janus's API over its WebSocket, one request after another."""

    def __init__(self, config: JanusConfig, socket: ClientConnection) -> None:
        self._socket, self._timeout = socket, config.timeout
        keys = {"apisecret": config.api_secret, "token": config.token}
        self._always: dict[str, Any] = {name: value for name, value in keys.items() if value}
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """A session of its own, which ends with the connection."""
        self._always["session_id"] = (await self._ask(janus="create"))["data"]["id"]

    async def attach(self) -> int:
        """A handle of the VideoRoom plugin."""
        return int((await self._ask(janus="attach", plugin=wire.PLUGIN))["data"]["id"])

    async def say(self, handle: int, body: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A request to the plugin; its answer, which for some is an event. Raises PeerError."""
        answer = await self._ask(janus="message", handle_id=handle, body=body, **more)
        if "error_code" in answer.get("plugindata", {}).get("data", {}):
            code = answer["plugindata"]["data"]["error_code"]
            raise RefusedError(f"Janus refuses {body['request']} with code {code}")
        return answer

    async def _ask(self, **message: Any) -> dict[str, Any]:
        number = str(next(self._numbers))
        await self._socket.send(json.dumps({**self._always, **message, "transaction": number}))
        async with asyncio.timeout(self._timeout):
            while True:
                answer = json.loads(await self._socket.recv())
                if not isinstance(answer, dict):
                    raise ProtocolError("the answer of Janus is not a JSON object")
                if answer.get("transaction") == number and answer.get("janus") != "ack":
                    break
        if answer.get("janus") == "error":
            raise RefusedError(f"Janus refuses {message['janus']} with code {answer['error'].get('code')}")
        return answer
