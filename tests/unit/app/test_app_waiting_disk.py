"""A whole daemon while calls go on: a disk that takes seconds to answer keeps threads waiting, never the one that takes audio."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import threading
import traceback
from pathlib import Path

import pytest

from vcond.app import daemon as module
from vcond.app.daemon import Daemon
from vcond.capture.clock import SteadyClock
from vcond.config import load
from vcond.sdk.contract import ArrivalClock, Cause, Codec
from vcond.storage.files import Files

DAEMON = (Path(__file__).resolve().parents[2] / "data" / "daemon.toml").read_text()
WAITS = (
    "open", "pwrite", "pread", "read_into", "size", "truncate", "sync", "sync_soon", "sync_folder", "make_folder", "link",
    "rename", "delete_one", "free",
)  # fmt: skip


class Probe:
    """Notes who asks the disk, from which thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, self.waited, self.elsewhere = False, set(), set()
        self._loop = threading.get_ident()
        for name in WAITS:
            monkeypatch.setattr(Files, name, self._noted(name, getattr(Files, name)))

    def _noted(self, name: str, right):
        def noted(*given, **more):
            if self.on and threading.get_ident() == self._loop:
                self.waited.add(
                    (name, *(f"{Path(one.filename).name}:{one.name}" for one in traceback.extract_stack(limit=5)[:-1]))
                )
            elif self.on:
                self.elsewhere.add(name)
            return right(*given, **more)

        return noted


def speaks(host, key: str):
    """A tenth of a second of one party."""
    now = host.clock.now()
    call = host.call(key, at=now)
    track = call.track(call.party("a", at=now), at=now, codec=Codec.PCMU, rate=8000, clock=ArrivalClock())
    for number in range(5):
        track.write(b"\x10" * 160, arrived=now + 20_000_000 * (number + 1))
    return call


async def whatever_an_operator_does(parts, host) -> None:
    """To calls that go on, and to one that is over and delivered."""
    do, ask = parts.status.writes | parts.api.writes, parts.status.reads
    goes_on, over, unwanted = (speaks(host, key) for key in ("goes on", "over", "unwanted"))
    await do["pause"]({"call": goes_on.uuid, "reason": "card"})
    await do["resume"]({"call": goes_on.uuid})
    await do["consent"]({"call": goes_on.uuid, "party": "0", "state": "denied"})
    await do["forget"]({"call": unwanted.uuid})
    await do["hold"]({"call": over.uuid, "reason": "case 7"})
    over.end(at=host.clock.now(), cause=Cause(text="normal"))
    await parts.finisher.idle()
    while (await parts.outbox.get(over.uuid)).stage != "kept":  # noqa: ASYNC110 - other threads, who tell nobody
        await asyncio.sleep(0.01)
    await do["resend"]({"uuid": over.uuid})
    for name in ("status", "calls", "outbox", "sinks", "findings"):
        await ask[name]({})
    token = await do["token-create"]({"who": "a", "roles": "watch", "days": "1"})
    await do["token-revoke"]({"id": token["token"].split("_")[1]})
    await do["release"]({"call": over.uuid})
    await do["forget"]({"call": over.uuid})
    parts.registry.tick(host.clock.now())
    parts.squeezer.look(parts.registry.live)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_disk_that_is_waited_for_keeps_no_audio_waiting_whatever_an_operator_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
):
    probe = Probe(monkeypatch)

    class Adapter:
        async def run(self, host):
            host.attached(True)
            await one.parts.outbox.opened.wait()
            probe.on = True
            await whatever_an_operator_does(one.parts, host)
            probe.on = False
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    text = DAEMON.format(folder=tmp_path, sink="vcons", more="")
    if encrypted:
        (tmp_path / "master").write_bytes(base64.b64encode(bytes(range(32))))
        text += f'[keys]\nmaster = "{tmp_path}/master"\nstore = "{tmp_path}/keys"\n'
    (tmp_path / "vcond.toml").write_text(text)
    monkeypatch.setattr(module.plugins, "adapters", lambda _: {"twilio": Adapter()})
    one = Daemon(load(tmp_path / "vcond.toml", os.environ), clock=SteadyClock())
    async with asyncio.timeout(120):
        await one.run()
    assert {"pwrite", "sync", "sync_folder", "rename", "delete_one"} <= probe.elsewhere, "else nothing was shown"
    assert probe.waited == set()
