"""Opus WHIP publishers that one core captures, without speech, against aiortc that only takes their tracks.

    python tests/bench/bench_whip.py [--publishers 30] [--seconds 6] [--rounds 2]

Both servers answer the same offers under uvloop on one core. The bare one is an aiortc receiver whose tracks are read
to the end and thrown away: decryption, aiortc's jitter buffer and Opus decoder, nothing else. The other is the adapter
at the daemon's own host: decoded, 16 kHz, placed on the call's clock, written to the journal on disk, no speech. The
publishers are real aiortc clients in a process on another core, which send speech that was encoded before. Goal: all
publishers on one core, no frame lost, and no dearer than the bare receiver. What counts is CPU time (of all threads) in
this run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fractions
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from time import monotonic, process_time
from typing import Any, NamedTuple

import aiohttp
import av
import numpy as np
import structlog
import uvloop
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from rounds import one_round

from vcond.testing.sounds import voice
from vcond_webrtc import WebRtcAdapter, WebRtcConfig, ports

WARM_UP = 2.0
LIMIT = 40.0
"""Seconds that a round may take besides its measuring."""
FRAME = 960
GOAL = 1.0
CORE = 0.9
"""Of one core, what all publishers together may take: beyond that nothing is left for anything else."""


class Count(NamedTuple):
    """What a server has taken so far."""

    publishers: int
    frames: int
    """Of 20 ms, or packets."""
    lost: int
    """Frames that are missing in what was taken."""


# The servers: each prints its URL, and at the end what it measured.


@contextlib.asynccontextmanager
async def vcond_server() -> AsyncIterator[tuple[str, Callable[[], Count]]]:
    """The adapter at the daemon's host. Imported here: the bare server needs nothing of the daemon."""
    from deaf_registry import deaf_registry

    from vcond.capture.adapter_host import CaptureHost
    from vcond.config.schema import WebConfig
    from vcond.server.ingress import WebServer

    def count() -> Count:
        calls = registry.live
        tracks = [track._timeline.frames for call in calls for track in call.tracks]
        spans = [(span, track.rate) for call in calls for track in call.state.tracks for span in track.spans]
        lost = sum((stop - start) * 50 // rate for (start, stop, kind), rate in spans if kind == "lost")
        return Count(len(tracks), sum(tracks), lost)

    server = WebServer(WebConfig(listen="127.0.0.1:0"), token="token")
    async with deaf_registry() as registry:
        await server.start()
        host = CaptureHost("webrtc", registry, server.ingress("webrtc"), lambda: None)
        config = WebRtcConfig(max_sessions=1000, max_per_address=1000, offers_per_minute=10_000)
        adapter = asyncio.create_task(WebRtcAdapter(config).run(host))
        try:
            yield f"{server.base_url}/whip", count
        finally:
            adapter.cancel()
            await asyncio.wait([adapter])
            await server.close()


@contextlib.asynccontextmanager
async def bare_server() -> AsyncIterator[tuple[str, Callable[[], Count]]]:
    """aiortc as its documentation uses it."""
    frames = publishers = 0
    connections, tasks = [], set()

    async def consume(track: MediaStreamTrack) -> None:
        nonlocal frames, publishers
        with contextlib.suppress(MediaStreamError):
            await track.recv()
            publishers += 1
            while True:
                await track.recv()
                frames += 1

    async def answer(request: web.Request) -> web.Response:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        connection.on("track", lambda track: tasks.add(asyncio.create_task(consume(track))))
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        for transceiver in connection.getTransceivers():
            ports.use(transceiver.receiver.transport.transport.iceGatherer, ["127.0.0.1"], ports.ANY)
        await connection.setLocalDescription(await connection.createAnswer())
        return web.Response(status=201, text=connection.localDescription.sdp, content_type="application/sdp")

    app = web.Application()
    app.router.add_post("/whip", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/whip", lambda: Count(publishers, frames, 0)
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
        for task in tasks:
            task.cancel()
        await runner.cleanup()


SERVERS = {"bare": bare_server, "vcond": vcond_server}


async def serve(kind: str, publishers: int, seconds: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with SERVERS[kind]() as (url, count):
        print(url, flush=True)
        while count().publishers < publishers:  # noqa: ASYNC110 - nothing in the way of a frame may be changed to tell us
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP)
        before, cpu, wall = count(), process_time(), monotonic()
        await asyncio.sleep(seconds)
        cpu, wall, after = process_time() - cpu, monotonic() - wall, count()
        frames, lost = after.frames - before.frames, after.lost - before.lost
        print(json.dumps({"frames": frames, "lost": lost, "cpu": cpu, "wall": wall}), flush=True)


# The publishers.


def spoken() -> list[bytes]:
    """Ten seconds of a party as Opus packets: six of speech, four of silence, as people talk."""
    pause = np.zeros(96_000, np.int16)
    pcm = np.concatenate([voice(1, 3.0, 48_000), pause, voice(2, 3.0, 48_000), pause])
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", 32_000
    packets = []
    for at in range(0, len(pcm) // FRAME * FRAME, FRAME):
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(pcm[at : at + FRAME].tobytes())
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


class Tape(MediaStreamTrack):
    """Packets that were encoded before, 50 a second."""

    kind = "audio"

    def __init__(self, packets: list[bytes]) -> None:
        super().__init__()
        self.packets, self.sent, self.begun = packets, 0, 0.0

    async def recv(self) -> av.Packet:
        self.begun = self.begun or monotonic()
        await asyncio.sleep(max(0.0, self.begun + self.sent * 0.02 - monotonic()))
        packet = av.Packet(self.packets[self.sent % len(self.packets)])
        packet.pts, packet.time_base = self.sent * FRAME, fractions.Fraction(1, 48_000)
        self.sent += 1
        return packet


async def publish(publishers: int, url: str) -> None:
    """Publish until killed, each a call of its own."""
    packets = spoken()
    kept = []
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as http:
        for _ in range(publishers):
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            transceiver = connection.addTransceiver(Tape(packets), direction="sendonly")
            ports.use(transceiver.sender.transport.transport.iceGatherer, ["127.0.0.1"], ports.ANY)
            await connection.setLocalDescription(await connection.createOffer())
            headers = {"Content-Type": "application/sdp"}
            async with http.post(url, data=connection.localDescription.sdp, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                await connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
            kept.append(connection)
        await asyncio.Event().wait()


# The run.


def measured(kind: str, publishers: int, seconds: float) -> dict[str, float]:
    """One server under the load of all publishers."""
    server = [kind, str(publishers), str(seconds)]
    return one_round(__file__, server, ["publish", str(publishers)], limit=LIMIT + seconds)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--publishers", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=6)
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in SERVERS}
    for _ in range(given.rounds):
        for kind, results in rounds.items():
            results.append(measured(kind, given.publishers, given.seconds))
    print(f"{given.publishers} Opus publishers, 50 packets a second each; medians of {given.rounds} rounds")
    print(f"{'server':8} {'packets/s':>10} {'of sent':>8} {'lost':>5} {'CPU':>6} {'of a core a publisher':>22}")
    for kind, results in rounds.items():
        rate = statistics.median(result["frames"] / result["wall"] for result in results)
        load = statistics.median(result["cpu"] / result["wall"] for result in results)
        lost = sum(result["lost"] for result in results)
        print(
            f"{kind:8} {rate:10.0f} {rate / given.publishers / 50:8.1%} {lost:5.0f} {load:6.1%}"
            f" {load / given.publishers:22.2%}"
        )
    loads = {kind: [result["cpu"] / result["wall"] for result in results] for kind, results in rounds.items()}
    ratio = statistics.median(bare / ours for bare, ours in zip(loads["bare"], loads["vcond"], strict=True))
    lost = sum(result["lost"] for result in rounds["vcond"])
    # loss is what the tracks say; this is for a publisher who is not there at all, with room for a busy machine
    missing = min(result["frames"] / result["wall"] for result in rounds["vcond"]) < 0.97 * 50 * given.publishers
    print(
        f"vcond captures {ratio:.0%} of the publishers that bare aiortc takes (goal: {GOAL:.0%}); {lost:.0f} frames lost"
    )
    return int(ratio < GOAL or lost > 0 or missing or statistics.median(loads["vcond"]) > CORE)


if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) == 4 else ""
    if role in SERVERS:
        uvloop.run(serve(role, int(sys.argv[2]), float(sys.argv[3])))
    elif role == "publish":
        uvloop.run(publish(int(sys.argv[2]), sys.argv[3]))
    else:
        sys.exit(main())
