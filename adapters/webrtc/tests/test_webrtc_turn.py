"""Logins at a real TURN server (coturn), made with the secret that it shares with us."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import time
from contextlib import asynccontextmanager

import pytest
from aioice import stun, turn

from vcond.testing.needs import needs
from vcond.testing.time import LoopClock
from vcond_webrtc import WebRtcAdapter, WebRtcConfig

pytestmark = pytest.mark.peer
SECRET = "north"


@asynccontextmanager
async def coturn(folder):
    """The port of a TURN server on loopback."""
    program = shutil.which("turnserver")
    needs(program, "turnserver is missing: apt-get install coturn")
    assert program is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        program, "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1",
        f"--listening-port={port}", "--realm=example.com", "--use-auth-secret", f"--static-auth-secret={SECRET}",
        "--allow-loopback-peers", "--log-file=stdout", "--simple-log", f"--pidfile={folder}/pid", f"--userdb={folder}/db",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
    )  # fmt: skip
    try:
        await _answers(port)
        yield port
    finally:
        process.kill()
        await process.wait()


async def _answers(port: int) -> None:
    """Return when it answers a STUN request, asked again until it does."""
    loop = asyncio.get_running_loop()
    request = bytes(stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.bind(("127.0.0.1", 0))
        while True:
            await loop.sock_sendto(asking, request, ("127.0.0.1", port))
            try:
                async with asyncio.timeout(0.2):
                    await loop.sock_recv(asking, 2048)
            except TimeoutError:
                continue
            return


def today() -> LoopClock:
    """coturn looks at the clock of the machine."""
    return LoopClock(time.time_ns())


async def test_coturn_takes_our_login_and_that_of_each_publisher(serving, tmp_path):
    async with coturn(tmp_path) as port:
        server = f"turn:127.0.0.1:{port}?transport=udp"
        async with serving(turn=server, turn_secret=SECRET, clock=today()) as (_, person):
            ann = person()
            answer = await ann.post(await ann.offer())
            assert answer.status == 201
            assert " typ relay" in await answer.text()
            told = re.fullmatch(
                r'<(.+)>; rel="ice-server"; username="(.+)"; credential="(.+)"; credential-type="password"',
                answer.headers["Link"],
            )
            assert told[1] == server
            transport, _ = await turn.create_turn_endpoint(
                asyncio.DatagramProtocol, server_addr=("127.0.0.1", port), username=told[2], password=told[3]
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
            transport.close()


async def finding(**config) -> tuple[str, str]:
    adapter = WebRtcAdapter(WebRtcConfig(**config))
    (told,) = [found async for found in adapter.check() if found.what == "STUN and TURN servers"]
    return told.level, told.detail


async def test_check_asks_the_servers(tmp_path):
    async with coturn(tmp_path) as port:
        here = f"turn:127.0.0.1:{port}"
        assert await finding(stun=f"stun:127.0.0.1:{port}", turn=here, turn_secret=SECRET) == ("ok", "they answer")
        assert await finding(turn=here, turn_secret="south") == ("error", f"{here} gives vcond no relay address")
    nobody = "turn:127.0.0.1:1?transport=tcp"
    assert await finding(turn=nobody, turn_user="u", turn_password="p") == (
        "error",
        f"{nobody} gives vcond no relay address",
    )


async def test_where_the_turn_server_does_not_know_us_publishers_come_without_it(serving, tmp_path):
    async with (
        coturn(tmp_path) as port,
        serving(turn=f"turn:127.0.0.1:{port}", turn_secret="south", clock=today()) as (_, person),
    ):
        ann = person()
        answer = await ann.post(await ann.offer())
        assert answer.status == 201
        assert " typ relay" not in await answer.text()
        assert " typ host" in await answer.text()
