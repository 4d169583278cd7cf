"""A state folder as vcond at commit f19b440 left it when it was killed, and what that version makes of it. See README.md."""

# ruff: noqa: ASYNC109, ASYNC110, ASYNC240, I001 - run by hand, with the modules of that version
from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from conftest import House
from core_kit import finishing, idle
from half import OF_THE_RECEIVER, Sink, document

from vcond.adapter import ArrivalClock, Codec
from vcond.calls import events as ev
from vcond.calls.causes import Cause
from vcond.calls.time import SECOND
from vcond.config import DaemonConfig, load
from vcond.core.clock import SteadyClock
from vcond.daemon import Daemon
from vcond.delivery import Outbox, OutboxConfig, Refused, Retry
from vcond.journal import read_folder
from vcond.speech.models import composed
from vcond.speech.models.catalog import Known
from vcond.speech.models.kept import keep
from vcond.speech.models.store import _finish

HERE = Path(__file__).parent
STATE = HERE / "state"
DAY = 86_400 * SECOND
LEFT_OUT = {".lock", "vcond.db.reserve", "vcond.db-shm"}
"""The next start makes them."""


def tone(hertz: float, frames: int) -> list[bytes]:
    wave = np.sin(np.arange(160 * frames) * (hertz * 2 * np.pi / 8000)) * 8000
    return [wave[at : at + 160].astype("<i2").tobytes() for at in range(0, len(wave), 160)]


def talk(house, key: str, *, frames: int = 40):
    """A call of two who are heard."""
    call = house.desk.call(key, at=house.now(0), direction="inbound")
    tracks = []
    for number, (tel, name) in enumerate((("+15550100", "Ann Example"), ("+15550101", "Ben Example"))):
        party = call.party(f"{key}-{number}", at=house.at(0), who=ev.Who(tel=tel, name=name))
        tracks.append(call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()))
    call.emit(ev.Answered(at=house.at(0)))
    for at, both in enumerate(zip(tone(440, frames), tone(660, frames), strict=True)):
        for track, frame in zip(tracks, both, strict=True):
            track.write(frame, arrived=house.now((at + 1) * 0.02))
    call.emit(ev.Digit(at=house.now(frames * 0.02), party=0, button="5"))
    return call


def said(house, call, number: int, track: int, words: str = "") -> None:
    """An utterance, and its text if there is one."""
    at = house.clock.now()
    call.record(ev.Utterance(at=at, utterance=number, track=track, start=800, stop=4800))
    if words:
        call.record(ev.Transcribed(at=at, utterance=number, engine="e", model="m", text=words, language="en"))


def end(house, call) -> tuple[object, object]:
    """Both hang up."""
    call.end(at=house.now(1.5), cause=Cause(q850=16))
    return house.finished[-1]


def late(house):
    """Speech gives up on the texts in time, and gives the missing ones afterwards, until it is killed."""
    house.speech.in_time = False

    async def settled(call: str, timeout: float) -> bool:
        if house.speech.late:
            await asyncio.Event().wait()  # killed before the amended vCon is made
        return False

    def answer(source, utterances) -> None:
        for one in utterances:
            source.emit(
                ev.Transcribed(at=house.clock.now(), utterance=one.utterance, engine="e", model="m",
                               text="goodbye", language="en", deferred=True)
            )  # fmt: skip

    house.speech.settled, house.speech.on_late = settled, answer


SUBJECTS = ("delivered", "half", "waits", "dead at both", "dead by the way", "no answer", "new")


async def make(work: Path) -> dict[str, str]:
    """Everything in ``work``, up to the kill; which call is which."""
    house = House(work / "journal", DaemonConfig(name="edge.example.com", state_dir=str(work))).open()
    dead = Refused("refused:422", status=422, answer=OF_THE_RECEIVER)
    archive = Sink("archive", {"dead at both": dead, "waits": Retry("busy", status=503), "new": Retry("busy")})
    crm = Sink("crm", {"half": Retry("busy", status=503), "waits": Retry("busy", status=503), "dead at both": dead,
                       "dead by the way": Refused("refused:403", status=403, answer="blocked by a proxy"),
                       "no answer": Retry("timeout"), "new": Retry("busy")})  # fmt: skip
    calls: dict[str, str] = {}
    outbox = Outbox(work / "outbox", [archive, crm], database=work / "vcond.db", clock=house.clock, rng=Random(1),
                    config=OutboxConfig(retry_first=3600, retry_most=3600, drain=0))  # fmt: skip
    async with outbox:
        running = asyncio.create_task(outbox.run())
        for n, subject in enumerate(SUBJECTS[:-1]):
            await outbox.publish(*document(n, subject))
        while not (len(archive.tried) == len(crm.tried) == len(SUBJECTS) - 1):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await outbox.publish(*document(len(SUBJECTS) - 1, "new"))
        house.now(0)
        call = talk(house, "ended")
        said(house, call, 0, 0, "hello")
        said(house, call, 1, 1, "how can I help")
        calls["ended"] = end(house, call)[0].uuid
        one, two = talk(house, "first"), talk(house, "second")
        said(house, one, 0, 0, "one moment")
        assert one.merge(two)
        calls |= {"merged": one.uuid, "taken": two.uuid}
        end(house, one)
        call = talk(house, "amended")
        said(house, call, 0, 0, "hello")
        said(house, call, 1, 1)
        calls["amended"] = call.uuid
        late(house)
        async with finishing(house, outbox, work) as finisher:
            finisher.submit(*end(house, call))
            await idle(finisher)
            while not house.speech.late:
                await asyncio.sleep(0.05)
        call = talk(house, "paused")
        call.emit(ev.Paused(at=house.now(1), by="party", party=1))
        calls["paused"] = call.uuid
        for name in ("running", "cut", "damaged"):
            call = talk(house, name)
            said(house, call, 0, 0, "hello")
            call.emit(ev.Digit(at=house.clock.now(), party=1, button="7"))
            calls[name] = call.uuid
        for call in list(house.store._journals.values()):
            await call.flush()
        shutil.copytree(work, STATE, ignore=lambda _, names: [n for n in names if n in LEFT_OUT])
    await house.store.close()
    return calls


def harm(calls: dict[str, str]) -> None:
    """What a crash in the middle of a write leaves, and a bad block in the middle."""
    log = STATE / "journal" / calls["cut"] / "events.log"
    log.write_bytes(log.read_bytes()[:-7])
    log = STATE / "journal" / calls["damaged"] / "events.log"
    whole = log.read_bytes()
    log.write_bytes(whole[:-20] + b"\0" * 10 + whole[-10:])


CONFIG = (HERE / "vcond.toml").read_text()


class Whole(Daemon):
    """Goes on until the amended vCons are there, too."""

    def _finishing(self) -> bool:
        return bool(self.finisher.busy) or len(self.finisher.amender) > 0


async def read_by_it(work: Path) -> dict[str, dict[str, str]]:
    """What its own ``vcond recover`` a day later delivers: by sink, by uuid, the SHA-512 of the vCon."""
    work.mkdir()
    shutil.copytree(STATE, work / "state")
    config = work / "vcond.toml"
    config.write_text(CONFIG.format(work))
    later = House.at(None, 0) + DAY
    await Whole(load(config, os.environ), clock=SteadyClock(lambda: later, lambda: later)).recover_only()
    return {
        sink: {
            file.name.removesuffix(".vcon.json"): hashlib.sha512(file.read_bytes()).hexdigest()
            for file in sorted((work / sink).glob("*.vcon.json"))
        }
        for sink in ("archive", "crm")
    }


def model(folder: Path) -> None:
    """A model as it was installed and compiled; of no use to an engine."""
    shutil.rmtree(folder, ignore_errors=True)
    made = folder / ".made"
    for name in ("am/final.mdl", "conf/model.conf", "graph/HCLr.fst", "graph/Gr.fst", "graph/disambig_tid.int"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(f"of no use: {name}\n")
    known = Known("tiny-en", "vosk", "en", 0, "Apache-2.0", url="https://models.example.com/tiny-en.zip")
    _finish(known, made, folder / "tiny-en", known.url, "ab" * 32)
    out = folder / "tiny-en" / composed.FOLDER
    out.mkdir()
    for name in composed.MADE:
        (out / name).write_text(f"of no use: {name}\n")
    told = composed.Told(
        of={name: keep(folder / "tiny-en" / "graph" / name) for name in composed.PARTS},
        files={name: keep(out / name) for name in composed.MADE},
        made_at="2026-11-29T14:00:00+00:00",
    )
    (out / composed.TOLD).write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))


def by_halves(work: Path, today: Path) -> dict[str, list[str]]:
    """An outbox by this version, then by the one in ``today``, then by this one again; what each sink took."""
    took: dict[str, list[str]] = {"archive": [], "crm": []}
    work.mkdir()
    for path, first, last, takes in ((None, 0, 3, "0"), (today, 3, 6, "1,3"), (None, 6, 9, "4,6")):
        environment = os.environ if path is None else os.environ | {"PYTHONPATH": str(path)}
        asked = [sys.executable, str(HERE / "half.py"), str(work), str(first), str(last), takes]
        done = subprocess.run(asked, check=True, env=environment, stdout=subprocess.PIPE)
        for sink, uuids in json.loads(done.stdout.splitlines()[-1]).items():
            took[sink] += uuids
    shutil.rmtree(HERE / "half", ignore_errors=True)
    shutil.copytree(work, HERE / "half", ignore=lambda _, names: LEFT_OUT.intersection(names))
    return took


def main(work: Path, today: Path) -> None:
    """Everything anew."""
    shutil.rmtree(STATE, ignore_errors=True)
    calls = asyncio.run(make(work / "made"))
    harm(calls)
    events = {name: len(read_folder(STATE / "journal" / uuid)[0]) for name, uuid in calls.items()}
    delivered = asyncio.run(read_by_it(work / "read"))
    model(HERE / "models")
    told = {"calls": calls, "events": events, "delivered": delivered, "half": by_halves(work / "half", today)}
    (HERE / "told.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
