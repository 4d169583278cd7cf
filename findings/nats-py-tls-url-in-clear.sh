#!/usr/bin/env bash
# nats-py 2.16.0: a URL with tls:// does not ask for TLS. Whether the connection is encrypted is decided by `tls_required` in the
# server's INFO alone; where that is missing, CONNECT goes out in clear, with user and password. The errors SecureConnWantedError and
# SecureConnRequiredError are there and raised nowhere.
#
# Seen: a listener that says INFO without `tls_required` reads the password of a client that was given tls:// and an SSLContext.
# Expected: SecureConnWantedError before anything is sent, as nats.go has it (ErrSecureConnWanted).
# What vcond does: the password is a callback that refuses until the handshake of its SSLContext was seen.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install nats-py==2.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import asyncio
import ssl

import nats


async def main():
    sent = asyncio.get_running_loop().create_future()

    async def server(reader, writer):
        writer.write(b'INFO {"server_id":"X","version":"2.10.0","max_payload":1048576,"auth_required":true}\r\n')
        sent.set_result(await reader.readline())
        writer.close()

    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = asyncio.create_task(
        nats.connect(
            f"tls://127.0.0.1:{port}", tls=ssl.create_default_context(), user="edge", password="hush", allow_reconnect=False
        )
    )
    line = await asyncio.wait_for(sent, 10)
    print(line)
    assert line.startswith(b"CONNECT ") and b'"hush"' in line
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)


asyncio.run(main())
print("as described")
PY
