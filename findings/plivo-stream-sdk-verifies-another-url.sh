#!/usr/bin/env bash
# plivo-stream-sdk 0.1.1 (with plivo 4.63.0): with_signature_verification=True refuses a WebSocket handshake that is signed over the URL
# that was dialled, in whichever of its four schemes. It verifies the URL with http:// in front and "/websocket" behind it.
#
# Seen: X-Plivo-Signature-V3 made by plivo's own library with the account's token over ws://, wss://, http:// and https://HOST/stream:
# "Invalid socket signature", the handshake is refused. Over http://HOST/stream/websocket, which nobody dials: taken.
# What follows: who compares with this SDK learns nothing of what Plivo signs; verification there is off by default.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install plivo-stream-sdk==0.1.1 plivo==4.63.0 fastapi==0.115.6 starlette==0.41.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import asyncio

from plivo.utils.signature_v3 import construct_get_url, get_signature_v3
from plivo_stream.fastapi.streaming import PlivoFastAPIStreamingHandler
from starlette.websockets import WebSocket

TOKEN, NONCE, HOST = "a-token-of-this-example", "05429567804466091622", "edge.example.com"
errors = []


async def handshake(headers):
    """Whether the handler accepts a handshake to wss://HOST/stream."""
    said, messages = [], [{"type": "websocket.disconnect", "code": 1000}, {"type": "websocket.connect"}]

    async def receive():
        return messages.pop()

    async def send(message):
        said.append(message["type"])

    lines = [(name.encode(), value.encode()) for name, value in {"host": HOST, **headers}.items()]
    scope = {"type": "websocket", "scheme": "wss", "path": "/stream", "query_string": b"", "headers": lines, "server": (HOST, 443)}
    handler = PlivoFastAPIStreamingHandler(WebSocket(scope, receive, send))

    @handler.on_error
    async def failed(error):
        errors.append(str(error))

    try:
        async with asyncio.timeout(20):
            await handler.start(with_signature_verification=True, auth_token=TOKEN)
    except RuntimeError:  # it closes what it did not accept
        pass
    return "websocket.accept" in said


def taken(url):
    """Whether it is, signed over ``url``."""
    signature = get_signature_v3(TOKEN, construct_get_url(url, {}), NONCE)
    signature = signature.decode() if isinstance(signature, bytes) else signature
    return asyncio.run(handshake({"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": NONCE}))


dialled = {scheme: taken(f"{scheme}://{HOST}/stream") for scheme in ("ws", "wss", "http", "https")}
other = taken(f"http://{HOST}/stream/websocket")
print("signed over the URL that was dialled, by scheme:", dialled)
print("signed over http://HOST/stream/websocket:", other)
print("said:", sorted(set(errors)))
assert not any(dialled.values())
assert other
assert "Invalid socket signature" in errors
print("as described")
PY
