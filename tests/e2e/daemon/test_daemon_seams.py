"""A running vcond between networks that fail: resets inside a frame, connections that are open and dead, names that hang."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest
from daemon_kit import House

from vcond.demo import child
from vcond.testing.line import Line


class SlowLine(Line):
    """A line to the ingress: what passes comes late and in pieces, and it can be reset in a piece."""

    def __init__(self, target: int, seed: int) -> None:
        super().__init__(target)
        self._chance = Random(seed)
        self._ways: set[asyncio.StreamWriter] = set()

    def reset(self) -> None:
        """Connections end without a goodbye (RST), whatever was on its way."""
        for writer in [one for one in self._ways if not one.is_closing()]:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._ways.clear()

    async def carry(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        self._ways.add(writer)
        while data:
            size = self._chance.randrange(1, 400)
            writer.write(data[:size])
            data = data[size:]
            await asyncio.sleep(self._chance.choice([0, 0, 0, 0.002]))


def port(base: str) -> int:
    return int(base.rpartition(":")[2])


def report(document: dict) -> dict:
    return next(a["body"] for a in document["attachments"] if a["purpose"] == "vcond-capture-report")


def kept(document: dict) -> float:
    return max(one["seconds"]["received"] + one["seconds"]["silent"] for one in report(document)["parties"])


async def test_a_stream_that_is_reset_inside_frames_goes_on_in_the_same_record(tmp_path: Path):
    house = House(tmp_path)
    async with house.running() as vcond, SlowLine(port(vcond.base), seed=1) as line:
        vcond.base, sids = line.url, None
        for _ in range(2):
            async with vcond.stream(sids) as stream:
                sids = stream.sids
                await stream.play(1)
                await vcond.ticks(1)
                line.reset()
        async with vcond.stream(sids) as stream:
            await stream.play(1)
            await stream.stop()
        (document,) = await vcond.delivered(1)
    assert 2.5 <= kept(document) <= 3.1, "three seconds, but for what was on its way"
    assert report(document)["complete"] is False


async def test_a_stream_that_is_open_and_dead_ends_its_call_and_holds_up_no_other(tmp_path: Path):
    house = House(tmp_path, extra="idle_timeout = 1")
    async with house.running() as vcond, SlowLine(port(vcond.base), seed=2) as line:
        straight, vcond.base = vcond.base, line.url
        async with vcond.stream() as lost:
            await lost.play(1)
            line.die()
            vcond.base = straight
            async with vcond.stream() as stream:
                await stream.play(1)
                await stream.stop()
            documents = await vcond.delivered(2)
    warnings = sorted([one["code"] for one in report(document)["warnings"]] for document in documents)
    assert warnings == [[], ["stream-lost"]]
    assert all(0.9 <= kept(document) <= 1.1 for document in documents)


@pytest.fixture
def unresolved(tmp_path: Path) -> tuple[str, ...]:
    """What begins a command for whom no name server answers, but at 127.0.0.77."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")
    hides = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(resolv))
    if subprocess.run([*hides, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a name server can be put in the way by root only")
    return hides


async def test_names_that_nobody_resolves_hold_up_neither_calls_nor_other_sinks_nor_the_stop(
    tmp_path: Path, unresolved: tuple[str, ...]
):
    house = House(tmp_path, command_line=(*unresolved, *child.COMMAND))
    away = "".join(
        f'[[sinks]]\nname = "away{n}"\ntype = "conserver"\nurl = "https://away{n}.example.com"\ningress_lists = ["a"]\ntoken = "k"\nconnect_timeout = 1\n'
        for n in range(8)
    )
    house.sinks = f'{away}[[sinks]]\ntype = "folder"\npath = "{house.vcons}"\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.77", 53))
        async with house.running() as vcond:
            async with vcond.stream() as stream:
                await stream.play(0.5)
                await stream.stop()
            await vcond.delivered(1)
            rows = await vcond.ask("outbox")
            await vcond.process.stop(limit=600)
        assert vcond.process._process.returncode == 0, "it ended by itself"
        assert {one["uuid"] for one in rows} == {document["uuid"] for document in house.documents()}
        assert silent.recv(1000, socket.MSG_DONTWAIT), "it was asked"
