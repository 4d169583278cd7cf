"""Two-track Twilio calls that one core captures, without speech, against a server that only decodes the frames.

    python tests/bench/bench_twilio.py [--calls 50] [--seconds 5] [--rounds 3]

All servers are aiohttp under uvloop and decode with msgspec. The bare one keeps the payload and is done. The others
run the adapter at a host: ``memory`` is that of ``vcond.testing`` (PCM, placement, spans), ``core`` the daemon's own
with its journal on disk and no speech, ``encrypted`` the same with ``[keys] master``. A client in a process of its own sends what Twilio sends: 50 frames a second
and track, each in a WebSocket message of its own. Server and client have a core each, rounds take the servers in
turn, and what counts is the ratio of CPU time per message (all threads) in this run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import json
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import numpy as np
import structlog
import uvloop
from aiohttp import WSMsgType, web
from rounds import one_round

from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import AdapterHost
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond_twilio import TwilioAdapter, TwilioConfig
from vcond_twilio.wire import Media, decode

GOAL = 0.8
PATH = "/twilio/stream"
WARM_UP = 1.5
LIMIT = 30.0
"""Seconds that a round may take besides its measuring."""


class Bench(NamedTuple):
    """A host to measure with."""

    host: AdapterHost
    url: str
    """Where the adapter's route is served, token included."""
    frames: Callable[[], int]
    """How many frames of 20 ms its tracks have placed so far, however they were handed over."""


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[Bench]:
    """The host of ``vcond.testing``."""

    def frames() -> int:
        return sum(track._timeline.end for call in host.calls for track in call.tracks) // 160

    async with MemoryHost("twilio") as host:
        yield Bench(host, f"{host.ingress.bound_url}{PATH}/{host.ingress.token}", frames)


@contextlib.asynccontextmanager
async def core(*, encrypted: bool = False) -> AsyncIterator[Bench]:
    """The daemon's host, ingress and journal, which may be encrypted. Imported here: the other servers need nothing of the daemon."""
    from deaf_registry import deaf_registry, placed

    from vcond.capture.adapter_host import CaptureHost
    from vcond.config.schema import WebConfig
    from vcond.server.ingress import WebServer

    token = "token"
    server = WebServer(WebConfig(listen="127.0.0.1:0"), token=token)
    async with deaf_registry(encrypted=encrypted) as registry:
        await server.start()
        try:
            host = CaptureHost("twilio", registry, server.ingress("twilio"), lambda: None)
            yield Bench(host, f"{server.base_url}{PATH}/{token}", lambda: placed(registry))
        finally:
            registry.interrupt_all("stop")
            await server.close()


HOSTS = {"memory": memory, "core": core, "encrypted": functools.partial(core, encrypted=True)}


# The servers: each prints its URL, and at the end what it measured.


async def measure(frames: Callable[[], int], calls: int, seconds: float) -> None:
    """Wait for the load, then take CPU time and frames over ``seconds``; print them as JSON."""
    while frames() < calls * 100:  # noqa: ASYNC110 - nothing in the way of a frame may be changed to tell us
        await asyncio.sleep(0.05)
    await asyncio.sleep(WARM_UP)
    count, cpu, wall = frames(), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    count, cpu, wall = frames() - count, time.process_time() - cpu, time.monotonic() - wall
    print(json.dumps({"frames": count, "cpu": cpu, "wall": wall}), flush=True)


async def serve_vcond(calls: int, seconds: float, host: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with HOSTS[host]() as bench:
        task = asyncio.create_task(TwilioAdapter(TwilioConfig(path=PATH, max_streams=10_000)).run(bench.host))
        await asyncio.sleep(0)
        print(bench.url, flush=True)
        await measure(bench.frames, calls, seconds)
        task.cancel()
        await asyncio.wait([task])


async def serve_bare(calls: int, seconds: float) -> None:
    count = 0

    async def answer(request: web.Request) -> web.WebSocketResponse:
        nonlocal count
        response = web.WebSocketResponse(decode_text=False, max_msg_size=64 * 1024, compress=False)
        await response.prepare(request)
        kept: dict[str, bytes] = {}
        while True:
            message = await response.receive()
            if message.type is not WSMsgType.TEXT:
                return response
            told = decode(message.data)
            if type(told) is Media:
                kept[told.media.track] = told.media.payload
                count += 1

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}", flush=True)
    await measure(lambda: count, calls, seconds)
    await runner.cleanup()


# The client.


def frame(text: bytes) -> bytes:
    """A WebSocket text frame of a client, masked with zeros (RFC 6455 section 5.3 leaves the key to the client)."""
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack("!H", len(text))
    return b"\x81" + size + b"\0\0\0\0" + text


def dial(url: str, number: int) -> socket.socket:
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    sock = socket.create_connection((name, int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in sock.recv(4096)
    start = {
        "event": "start", "sequenceNumber": "1", "streamSid": f"MZ{number:032x}",
        "start": {
            "accountSid": "AC" + "0" * 32, "callSid": f"CA{number:032x}", "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, "customParameters": {},
        },
    }  # fmt: skip
    sock.sendall(frame(b'{"event":"connected","protocol":"Call","version":"1.0.0"}'))
    sock.sendall(frame(json.dumps(start).encode()))
    return sock


def spoken() -> list[str]:
    """Ten seconds of a party as base64 frames: six of speech, four of silence, as people talk."""
    pcm = np.concatenate([voice(1, 3.0), np.zeros(16_000, np.int16), voice(2, 3.0), np.zeros(16_000, np.int16)])
    coded = encode(Codec.PCMU, pcm)
    return [base64.b64encode(coded[at : at + 160]).decode() for at in range(0, len(coded), 160)]


def send(url: str, calls: int) -> None:
    """Send for ever: each call 50 messages a second and track, all calls spread over each 20 ms."""
    payloads = spoken()
    socks = [dial(url, number) for number in range(calls)]
    begun, sent = time.monotonic(), 0
    step = 0.02 / (calls * 2)
    with contextlib.suppress(OSError):
        for tick in range(10**9):
            payload = payloads[tick % len(payloads)]
            for half, track in enumerate(("inbound", "outbound")):
                body = (
                    f'{{"event":"media","sequenceNumber":"{2 * tick + half + 2}","media":{{"track":"{track}",'
                    f'"chunk":"{tick + 1}","timestamp":"{20 * tick}","payload":"{payload}"}},"streamSid":"'
                )
                for number, sock in enumerate(socks):
                    sock.sendall(frame(f'{body}MZ{number:032x}"}}'.encode()))
                    sent += 1
                    ahead = begun + sent * step - time.monotonic()
                    if ahead > 0.0005:
                        time.sleep(ahead)


# The run.


def measured(kind: str, calls: int, seconds: float) -> dict[str, float]:
    """CPU time per message of one server under the load of one client."""
    server = [kind, str(calls), str(seconds)]
    said = one_round(__file__, server, ["client", str(calls)], limit=LIMIT + seconds)
    micros = said["cpu"] / max(said["frames"], 1) * 1e6
    return {"us": micros, "rate": said["frames"] / said["wall"], "load": said["cpu"] / said["wall"]}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--calls", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"bare": [], **{host: [] for host in HOSTS}}
    for _ in range(given.rounds):
        for kind, results in rounds.items():
            results.append(measured(kind, given.calls, given.seconds))
    print(f"{given.calls} two-track calls, 100 messages a second each; medians of {given.rounds} rounds")
    print(f"{'server':8} {'messages/s':>10} {'CPU':>6} {'us/message':>11} {'calls/core':>11} {'of bare':>8}")
    medians = {
        kind: {name: statistics.median(result[name] for result in results) for name in ("us", "rate", "load")}
        for kind, results in rounds.items()
    }
    ratios = {
        kind: sorted(bare["us"] / result["us"] for bare, result in zip(rounds["bare"], results, strict=True))
        for kind, results in rounds.items()
    }
    for kind, of in medians.items():
        least, ratio, most = ratios[kind][0], statistics.median(ratios[kind]), ratios[kind][-1]
        row = f"{of['rate']:10.0f} {of['load']:6.1%} {of['us']:11.1f} {1e4 / of['us']:11.0f} {ratio:8.0%}"
        print(f"{kind:8} {row}  ({least:.0%} to {most:.0%})")
    ratio = statistics.median(ratios["core"])
    print(f"vcond captures {ratio:.0%} of the calls that the bare server decodes (goal: {GOAL:.0%})")
    costs = [on["us"] / off["us"] - 1 for off, on in zip(rounds["core"], rounds["encrypted"], strict=True)]
    print(f"encryption costs {statistics.median(costs):.1%} CPU a call ({min(costs):.1%} to {max(costs):.1%})")
    return int(ratio < GOAL)


if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) == 4 else ""
    if role == "bare":
        uvloop.run(serve_bare(int(sys.argv[2]), float(sys.argv[3])))
    elif role in HOSTS:
        uvloop.run(serve_vcond(int(sys.argv[2]), float(sys.argv[3]), role))
    elif role == "client":
        send(sys.argv[3], int(sys.argv[2]))
    else:
        sys.exit(main())
