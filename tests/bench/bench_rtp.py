"""RTP legs that one core captures, without speech, against a bare asyncio receiver.

    python tests/bench/bench_rtp.py [--legs 200] [--seconds 5] [--rounds 3]

Both have one socket a leg, asyncio's own loop, and ``max_size`` set (vcond/media/rtp/ports.py says why). The bare one
reads the header and stores the payload, and is done. Ours is the way of the daemon: ports, receiver, the core's tracks
with their placement and spans, the journal on disk; two legs are a call. A client in a process of its own sends 50
packets a second and leg, all legs spread over each 20 ms. Server and client have a core each, rounds take the servers in
turn, and what counts is the ratio of CPU time per packet (all threads) in this run. ``srtp`` is ours with packets that are
encrypted (AES_CM_128_HMAC_SHA1_80) and pass SIPREC's receiver; the bare one has clear text all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import structlog
from rounds import one_round

from vcond.media.codecs import Codec, encode
from vcond.testing.sounds import voice

if TYPE_CHECKING:
    from vcond.capture.registry import CallRegistry
    from vcond.media.rtp.receiver import RtpReceiver

GOALS = {"core": 0.7, "srtp": 0.5}
WARM_UP = 1.5
LIMIT = 30.0
"""Seconds that a round may take besides its measuring."""
SERVERS = ("bare", "core", "srtp")
KEY = bytes(range(30))
SUITE = "AES_CM_128_HMAC_SHA1_80"
HEADER = struct.Struct("!BBHII")


# The servers: each prints its ports, and at the end what it measured.


async def measure(packets: Callable[[], int], legs: int, seconds: float) -> None:
    """Wait for the load, then take CPU time and packets over ``seconds``; print them as JSON."""
    while packets() < legs * 50:  # noqa: ASYNC110 - nothing in the way of a packet may be changed to tell us
        await asyncio.sleep(0.05)
    await asyncio.sleep(WARM_UP)
    count, cpu, wall = packets(), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    count, cpu, wall = packets() - count, time.process_time() - cpu, time.monotonic() - wall
    print(json.dumps({"packets": count, "cpu": cpu, "wall": wall}), flush=True)


class Bare(asyncio.DatagramProtocol):
    """What any receiver must do."""

    count = 0

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.seq = 0

    def connection_made(self, transport) -> None:
        transport.max_size = 2048

    def datagram_received(self, data: bytes, addr) -> None:
        _, _, self.seq, _, _ = HEADER.unpack_from(data)
        kept = self.kept
        kept.append(data[12:])
        if len(kept) == 50:
            kept.clear()
        Bare.count += 1


async def serve_bare(legs: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(legs):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        made.append((await loop.create_datagram_endpoint(Bare, sock=sock))[0])
    print(json.dumps([transport.get_extra_info("sockname")[1] for transport in made]), flush=True)
    await measure(lambda: Bare.count, legs, seconds)
    for transport in made:
        transport.close()


def receiving(registry: CallRegistry, legs: int, *, encrypted: bool = False) -> Iterator[RtpReceiver]:
    """Receivers of ``legs`` legs, two a call, whose audio goes to the core."""
    from vcond.media.rtp.formats import STATIC
    from vcond.media.rtp.receiver import RtpReceiver
    from vcond.sdk.contract import RtpClock

    class Leg:
        """One party of a call."""

        def __init__(self, call, party: int) -> None:
            self.call, self.party = call, party

        def stream(self, stream):
            of = stream.format
            return self.call.track(self.party, at=stream.at, codec=of.codec, rate=of.rate, clock=RtpClock(of.rate))

        def pressed(self, key) -> None:
            pass

        def silent(self, since, until) -> None:
            pass

        def over(self, stream, at) -> None:
            pass

    def receiver(leg: Leg):
        if not encrypted:
            return RtpReceiver(STATIC, leg)
        from vcond_siprec.keys import Crypto
        from vcond_siprec.srtp import SecureReceiver

        return SecureReceiver(STATIC, leg, Crypto("1", SUITE, KEY))

    for number in range(legs):
        now = registry.clock.now()
        call = registry.call("bench", str(number // 2), now, "unknown")
        yield receiver(Leg(call, call.party(str(number), at=now)))


async def serve_core(legs: int, seconds: float, *, encrypted: bool = False) -> None:
    """Imported here: the bare server needs nothing of the daemon."""
    from deaf_registry import deaf_registry, placed

    from vcond.media.rtp.ports import RtpPorts

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with deaf_registry() as registry, RtpPorts(registry.clock, ports=(0, 0)) as ports:
        made = [await ports.open(one) for one in receiving(registry, legs, encrypted=encrypted)]
        print(json.dumps([sock.address[1] for sock in made]), flush=True)
        await measure(lambda: placed(registry), legs, seconds)
        lost = sum(sock.receiver.stats.lost + sock.receiver.stats.overflow for sock in made)
        if lost:
            sys.exit(f"{lost} packets were lost")


# The client.


def spoken() -> list[bytes]:
    """Ten seconds of a party as payloads: six of speech, four of silence, as people talk."""
    pcm = np.concatenate([voice(1, 3.0), np.zeros(16_000, np.int16), voice(2, 3.0), np.zeros(16_000, np.int16)])
    coded = encode(Codec.PCMU, pcm)
    return [coded[at : at + 160] for at in range(0, len(coded), 160)]


def sealer() -> Callable[[bytes], bytes]:
    """What encrypts packets."""
    from pylibsrtp import Policy, Session

    profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    return Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)).protect


def send(ports: list[int], *, encrypted: bool) -> None:
    """Send for ever."""
    payloads = spoken()
    sealed = sealer() if encrypted else bytes
    socks = []
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        socks.append(sock)
    begun, sent = time.monotonic(), 0
    step = 0.02 / len(socks)
    with contextlib.suppress(OSError):
        for tick in range(10**9):
            payload = payloads[tick % len(payloads)]
            for number, sock in enumerate(socks):
                sock.send(sealed(HEADER.pack(0x80, 0, tick & 0xFFFF, tick * 160 & 0xFFFFFFFF, number) + payload))
                sent += 1
                ahead = begun + sent * step - time.monotonic()
                if ahead > 0.0005:
                    time.sleep(ahead)


# The run.


def measured(kind: str, legs: int, seconds: float) -> dict[str, float]:
    """CPU time per packet of one server under the load of one client."""
    server = [kind, str(legs), str(seconds)]
    said = one_round(__file__, server, ["sealed" if kind == "srtp" else "client", str(legs)], limit=LIMIT + seconds)
    micros = said["cpu"] / max(said["packets"], 1) * 1e6
    return {"us": micros, "rate": said["packets"] / said["wall"], "load": said["cpu"] / said["wall"]}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--legs", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in SERVERS}
    for _ in range(given.rounds):
        for kind, results in rounds.items():
            results.append(measured(kind, given.legs, given.seconds))
    print(f"{given.legs} legs of 50 packets a second; medians of {given.rounds} rounds")
    print(f"{'server':8} {'packets/s':>10} {'CPU':>6} {'us/packet':>10} {'legs/core':>10}")
    for kind, results in rounds.items():
        of = {name: statistics.median(result[name] for result in results) for name in ("us", "rate", "load")}
        print(f"{kind:8} {of['rate']:10.0f} {of['load']:6.1%} {of['us']:10.1f} {2e4 / of['us']:10.0f}")
    missed = 0
    for kind, goal in GOALS.items():
        ratios = sorted(bare["us"] / ours["us"] for bare, ours in zip(rounds["bare"], rounds[kind], strict=True))
        ratio = statistics.median(ratios)
        missed |= ratio < goal
        print(
            f"{kind}: {ratio:.0%} ({ratios[0]:.0%} to {ratios[-1]:.0%}) of the legs that the bare receiver stores"
            f" (goal: {goal:.0%})"
        )
    return missed


if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) == 4 else ""
    if role in SERVERS:
        serve = {"bare": serve_bare, "core": serve_core, "srtp": partial(serve_core, encrypted=True)}[role]
        asyncio.run(serve(int(sys.argv[2]), float(sys.argv[3])))
    elif role in {"client", "sealed"}:
        send(json.loads(sys.argv[3]), encrypted=role == "sealed")
    else:
        sys.exit(main())
