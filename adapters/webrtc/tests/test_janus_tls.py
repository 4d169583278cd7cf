"""Janus over wss: whose certificate is believed."""

import json

import pytest
from websockets.asyncio.server import serve

from vcond.sdk.contract import ConfigError, UnreachableError
from vcond.sdk.tls import Served
from vcond.testing.certificates import certificate
from vcond_webrtc.janus.client import Janus
from vcond_webrtc.janus.config import JanusConfig


async def answers(socket):
    async for text in socket:
        asked = json.loads(text)
        await socket.send(json.dumps({"janus": "success", "transaction": asked["transaction"], "data": {"id": 7}}))


async def test_an_authority_of_ones_own_is_believed_and_no_other(tmp_path):
    cert, key = certificate(tmp_path)
    tls = Served(str(cert), str(key), "", "x").context
    async with serve(answers, "127.0.0.1", 0, ssl=tls, subprotocols=["janus-protocol"]) as server:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Janus(JanusConfig(url=url, ca=str(cert))):
            pass
        with pytest.raises(UnreachableError, match="SSLCertVerificationError"):
            await Janus(JanusConfig(url=url)).__aenter__()
        with pytest.raises(ConfigError, match=r"adapters\.janus\.ca"):
            await Janus(JanusConfig(url=url, ca="/nowhere.pem")).__aenter__()
