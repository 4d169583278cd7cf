"""What every sink is put through with its real receiver, by the outbox: hours without it, large vCons, kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest
from delivery_kit import HandClock, Running, body_of, record, until, uuid_of

from vcond.delivery import OutboxConfig
from vcond.sdk.sink import Retry

HERE = Path(__file__).parent
LARGE = 30_000_000
"""Bytes of an hour of a call as WAV, roughly."""


async def trusts_only_its_authority(rig, certificate: Path) -> None:
    """A certificate that nobody vouches for holds the sink; with it as ``ca_file`` all is well."""
    await rig.start()
    sink = rig.sink()
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == ("tls:self-signed", True)
    assert "ca_file" in why.value.hint
    await sink.close()
    trusting = rig.sink(ca_file=str(certificate))
    await trusting.deliver(record())
    await trusting.close()
    await rig.stop()


class WallClock:
    now = staticmethod(time.time_ns)


class Endures:
    """Subclass it with a fixture ``rig``, one of ``SinkRig`` with ``sink()`` and ``config()``."""

    large = LARGE

    async def test_an_hour_without_the_receiver_costs_delay_only(self, rig, tmp_path):
        await rig.start()
        clock = HandClock()
        quick = OutboxConfig(keep_days=0, backoff_min=0.05, backoff_max=0.1, drain=5)
        try:
            async with Running(tmp_path, rig.sink(), clock=clock, config=quick) as it:
                await it.outbox.publish(uuid_of(0), body_of(0))
                await it.wait_for(1)
                await rig.down(on=True)
                for n in (1, 2, 3):
                    await it.outbox.publish(uuid_of(n), body_of(n))

                async def in_trouble():
                    return it.outbox.sinks()[0].state != "ok"

                await until(in_trouble)
                clock.pass_seconds(3600)
                await it.outbox.retry()
                await until(in_trouble)
                await rig.down(on=False)
                clock.pass_seconds(3600)
                await it.outbox.retry()
                await it.wait_for(4)
            assert dict(await rig.received()) == {uuid_of(n): [body_of(n)] for n in range(4)}
        finally:
            await rig.stop()

    async def test_thirty_megabytes_arrive_byte_for_byte_and_once(self, rig, tmp_path):
        await rig.start()
        try:
            async with Running(tmp_path, rig.sink(), clock=WallClock()) as it:
                await it.outbox.publish(uuid_of(1), body_of(1, self.large))
                await it.outbox.publish(uuid_of(2), body_of(2))
                await it.wait_for(2)
            whole = dict(await rig.received()) == {uuid_of(1): [body_of(1, self.large)], uuid_of(2): [body_of(2)]}
            assert whole, "both, byte for byte"  # megabytes side by side help nobody
        finally:
            await rig.stop()

    async def test_killed_between_the_answer_and_the_note_it_is_sent_again_as_the_same(self, rig, tmp_path):
        await rig.start()
        try:
            sink = rig.sink()
            told = {
                "root": str(tmp_path), "size": 200_000, "module": type(sink).__module__, "kind": type(sink).__name__,
                "config": msgspec.to_builtins(rig.config()),
            }  # fmt: skip
            child = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "endure_child.py"), stdin=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])])},
            )  # fmt: skip
            await child.communicate(json.dumps(told).encode() + b"\n")
            assert child.returncode == -signal.SIGKILL
            expected = {uuid_of(1): [body_of(1, 200_000)]}
            assert dict(await rig.received()) == expected, "the receiver had it"
            async with Running(tmp_path, sink, clock=WallClock()) as it:
                assert await it.outbox.get(uuid_of(1)) is not None
                await it.wait_for(1)
            assert dict(await rig.received()) == expected
        finally:
            await rig.stop()
