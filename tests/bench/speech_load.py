"""Plays calls into a speech server in real time and notes when which word was shown. For vosk-server and for vcond.

Text lag of a word: from the moment at which its last sample is spoken in the call to the moment at which a text of its
utterance is received that was made with that sample heard, be it a partial or the final text. (Whether the model writes
the word then or waits for what follows is the model's affair, and the same for both.) Everything else is in it: the
pieces in which audio is sent, the network, waiting, decoding. An answer of vosk-server covers the pieces that were sent
before it; a line of vcond says how far it goes. vcond sends no partial text twice; so that the two are treated alike, a
partial of vosk-server that is the same as the one before it does not count either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from speech_calls import mulaw, plan
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from vcond.demo import child
from vcond.demo.call import Person, Recording
from vcond.demo.player import Sids, opening, steps

CHUNK = 1600
"""Samples of one message to vosk-server: 200 ms, as its own clients send."""
TAIL = 4.0
"""Seconds after the measured time in which texts still count."""
TOKEN = "bench-token"
QUIET_SECONDS, QUIET_CPU = 2, 0.05
DEADLINE = 15
"""Seconds that vcond waits for texts of a call that is over."""


@dataclass
class Load:
    """What is played."""

    calls: int
    seconds: float = 60.0
    """Of one call; the next begins on the same line."""
    warm_up: float = 15.0
    measure: float = 40.0
    seed: int = 0

    @property
    def until(self) -> float:
        """Seconds that are played."""
        return self.warm_up + self.measure

    def counts(self, moment: float) -> bool:
        """Whether what is spoken at this second of the run is measured."""
        return self.warm_up <= moment < self.until


@dataclass
class Result:
    """What was measured at one level."""

    calls: int
    words: list[float] = field(default_factory=list)
    """Text lag of each word spoken in the measured time, seconds."""
    finals: list[float] = field(default_factory=list)
    """From the end of the audio that ended an utterance to its final text, seconds."""
    missing: int = 0
    """Utterances of the measured time that had no text when the run was over."""
    cpu: float = 0.0
    """CPU seconds of the server a second."""
    others: float = 0.0
    """CPU seconds a second of everything else on the machine but this program."""

    def lag(self, share: float) -> float:
        """Quantile of the words' lag; what has no text counts as never."""
        lost = self.missing * 8  # words of a usual utterance
        if not self.words:
            return float("inf")
        rank = share * (len(self.words) + lost)
        ordered = sorted(self.words)
        return ordered[int(rank)] if rank < len(ordered) else float("inf")

    def row(self) -> str:
        """One line of a table."""
        final = np.percentile(self.finals, 95) if self.finals else float("inf")
        return (
            f"{self.calls:5} {len(self.words):6} {self.lag(0.5):7.2f} {self.lag(0.95):7.2f} {final:9.2f}"
            f" {self.missing:8} {self.cpu:6.2f} {self.others:7.2f}"
        )


HEAD = f"{'calls':>5} {'words':>6} {'p50 s':>7} {'p95 s':>7} {'final p95':>9} {'missing':>8} {'CPUs':>6} {'others':>7}"


class Processes:
    """CPU time of a process and all below it, of this program, and of everything else."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._begun = self._spent()

    def note(self, result: Result) -> None:
        """Write down CPU seconds a second since this was made."""
        server, ours, machine, now = (b - a for a, b in zip(self._begun, self._spent(), strict=True))
        result.cpu, result.others = server / now, max(0.0, machine - server - ours) / now

    async def quiet(self, limit: float = 180.0) -> None:
        """Wait until the server has nothing to do for two seconds: its model is loaded, its recognizers are warm."""
        until, idle = time.monotonic() + limit, 0
        while idle < QUIET_SECONDS and time.monotonic() < until:
            before = self._spent()[0]
            await asyncio.sleep(1)
            idle = idle + 1 if self._spent()[0] - before < QUIET_CPU else 0

    def _spent(self) -> tuple[float, float, float, float]:
        ticks, todo = 0, [self._pid]
        while todo:
            pid = todo.pop()
            with contextlib.suppress(OSError):
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
                for task in Path(f"/proc/{pid}/task").iterdir():
                    todo += map(int, (task / "children").read_text().split())
        total = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        hertz = os.sysconf("SC_CLK_TCK")
        busy = (sum(total) - total[3] - total[4]) / hertz
        return ticks / hertz, time.process_time(), busy, time.monotonic()


async def _at(begun: float, moment: float) -> None:
    await asyncio.sleep(max(0.0, begun + moment - time.monotonic()))


# vosk-server.


async def peer(command: list[str], port: int, load: Load) -> Result:
    """Play into ``asr_server.py`` as it stands, one WebSocket for each party of each call."""
    env = {**os.environ, "VOSK_SERVER_INTERFACE": "127.0.0.1", "VOSK_SERVER_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        url = f"ws://127.0.0.1:{port}"
        await _listening(port, process)
        lines = plan(load.calls, load.seconds, load.until, load.seed)
        result, begun = Result(load.calls), time.monotonic() + 1
        async with asyncio.TaskGroup() as tasks:
            for line in lines:
                for at, legs in line:
                    for leg in legs:
                        tasks.create_task(_peer_leg(url, begun, at, leg, load, result))
            await _at(begun, load.warm_up)
            cpu = Processes(process.pid)
            await _at(begun, load.until)
            cpu.note(result)
        return result
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.2)
    raise SystemExit("the command of --peer ended before it listened")


async def _peer_leg(url: str, begun: float, at: float, pcm: np.ndarray, load: Load, result: Result) -> None:
    """One party of one call. A server that hangs up, or owes a text when its time is over, has lost an utterance."""
    await _at(begun, at)
    measured = at < load.until and at + len(pcm) / 8000 > load.warm_up
    try:
        async with connect(url, compression=None, proxy=None, open_timeout=60, ping_interval=None) as socket:
            await _peer_speak(socket, begun, at, pcm, load, result)
    except (WebSocketException, OSError, TimeoutError):
        result.missing += int(measured)


async def _peer_speak(socket: Any, begun: float, at: float, pcm: np.ndarray, load: Load, result: Result) -> None:
    await socket.send(json.dumps({"config": {"sample_rate": 8000}}))
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(_peer_texts(socket, begun, at, load, result))
        for start in range(0, len(pcm), CHUNK):
            moment = at + (start + CHUNK) / 8000
            if moment > load.until + 2:
                break
            await _at(begun, moment)
            if reader.done():
                return
            await socket.send(pcm[start : start + CHUNK].tobytes())
        await socket.send('{"eof" : 1}')
        await asyncio.wait([reader], timeout=TAIL)
        if not reader.done():
            result.missing += 1
            reader.cancel()


async def _peer_texts(socket: Any, begun: float, at: float, load: Load, result: Result) -> None:
    """One answer comes for each piece sent, in order."""
    shown: list[tuple[float, float]] = []
    pieces, said = 0, ""
    with contextlib.suppress(WebSocketException):  # whoever sends is told of it, too
        async for message in socket:
            pieces += 1
            answer = json.loads(message)
            if "partial" not in answer or answer["partial"] != said:
                _peer_text(answer, time.monotonic() - begun, at, pieces, shown, load, result)
            said = answer.get("partial", "")


def _peer_text(
    answer: dict, now: float, at: float, pieces: int, shown: list[tuple[float, float]], load: Load, result: Result
) -> None:
    """What was answered to the so many pieces of a leg that began at ``at``."""
    if "partial" in answer:
        if answer["partial"]:
            shown.append((now, at + pieces * CHUNK / 8000))
        return
    words = answer.get("result", [])
    _note(result, load, shown, now, [at + word["end"] for word in words])
    if words and load.counts(at + words[-1]["end"]):
        result.finals.append(now - (at + pieces * CHUNK / 8000))
    shown.clear()


def _note(result: Result, load: Load, shown: list[tuple[float, float]], final: float, ends: list[float]) -> None:
    """The lag of every word of an utterance. ``shown``: when a partial text came, and how far into the run it goes."""
    for end in ends:
        if load.counts(end):
            seen = next((when for when, covers in shown if covers >= end), final)
            result.words.append(max(0.0, min(seen, final) - end))


# vcond.

CONFIG = """
[vcond]
name = "edge.example.com"
state_dir = "{root}/state"
admin_socket = "{root}/admin"
log_format = "json"
drain = 1
min_free_mb = 0
[web]
listen = "127.0.0.1:0"
token = "{token}"
[ops]
listen = "127.0.0.1:0"
[speech]
{speech}
[record]
transcript_deadline = {deadline}
[adapters.twilio]
[[sinks]]
type = "folder"
path = "{root}/vcons"
"""


async def vcond(speech: str, load: Load) -> Result:
    """Play into ``vcond run`` as Twilio does, and read its live page's lines."""
    with tempfile.TemporaryDirectory(prefix="vcb-") as folder:
        root = Path(folder)
        (root / "vcond.toml").write_text(CONFIG.format(root=root, token=TOKEN, speech=speech, deadline=DEADLINE))
        async with _daemon(root) as (process, base, live):
            result = Result(load.calls)
            lines = [
                [(at, _stream(f"{number}-{at:.0f}", legs, load.until + 2 - at)) for at, legs in line]
                for number, line in enumerate(plan(load.calls, load.seconds, load.until, load.seed))
            ]
            shown: dict[tuple[str, float], list[tuple[float, str, float]]] = defaultdict(list)
            begun = time.monotonic() + 1
            opened: dict[str, float] = {}
            owed: Counter[str] = Counter()
            watcher = asyncio.create_task(_watch(live, begun, shown, owed))
            async with asyncio.TaskGroup() as tasks:
                for number, line in enumerate(lines):
                    for at, stream in line:
                        tasks.create_task(_vcond_call(base, begun, at, f"{number}-{at:.0f}", stream, opened))
                await _at(begun, load.warm_up)
                cpu = Processes(process.pid)
                await _at(begun, load.until)
                cpu.note(result)
            await _all_there(root / "vcons", len(opened))
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            result.missing = max(0, owed["utterance"] - owed["transcribed"])
            for file in (root / "vcons").glob("*.vcon.json"):
                _judge(json.loads(file.read_bytes()), load, opened, shown, result)
    return result


@contextlib.asynccontextmanager
async def _daemon(root: Path) -> AsyncIterator[tuple[Any, str, Any]]:
    async with child.daemon(root / "vcond.toml", root / "log", root / "notify") as process:
        await process.ready()
        connector = aiohttp.UnixConnector(str(root / "admin"))
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as admin:
            async with admin.get("http://vcond/v1/status") as answer:
                base = (await answer.json(content_type=None))["listen"]
            await Processes(process._process.pid).quiet()
            async with admin.get("http://vcond/v1/live") as live:
                yield process._process, base.replace("http", "ws"), live


async def _watch(live: Any, begun: float, shown: dict, owed: Counter[str]) -> None:
    """Count utterances and texts; note when each text came, what it is and how far it goes, by (who, its start)."""
    while raw := await live.content.readline():
        now = time.monotonic() - begun
        line = json.loads(raw)
        if line["kind"] == "event":
            owed[line["text"]] += 1
        else:
            key = (line.get("name", ""), line.get("start", 0.0))
            shown[key].append((now, line["kind"], line.get("stop", 0.0)))


def _stream(name: str, legs: tuple, seconds: float) -> tuple[list[str], list[bytes]]:
    """What begins a Twilio stream, and what goes over its socket each 20 ms then.

    All of it is made before the run, down to the bytes: who plays must not take the processors from who is measured.
    """
    people = (Person("caller", f"{name}-0", "+15550100"), Person("agent", f"{name}-1", "+15550101"))
    frames = min(len(legs[0]) // 160, round(seconds * 50))
    coded = [b"".join(mulaw(leg))[: frames * 160] for leg in legs]
    recording = Recording("bench", people, (coded[0], coded[1]))
    sids = Sids()
    return list(opening(recording, sids)), [b"".join(map(_frame, messages)) for messages in steps(recording, sids)]


def _frame(text: str) -> bytes:
    """A client's WebSocket frame (RFC 6455 section 5.2), masked with zeros, which leaves the text as it is."""
    data = text.encode()
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


async def _vcond_call(
    base: str, begun: float, at: float, name: str, stream: tuple[list[str], list[bytes]], opened: dict[str, float]
) -> None:
    """One Twilio stream, in frames of 20 ms; it hangs up at the end."""
    await _at(begun, at)
    first, frames = stream
    async with connect(
        f"{base}/twilio/stream/{TOKEN}", compression=None, proxy=None, open_timeout=60, ping_interval=None
    ) as socket:
        for message in first:
            await socket.send(message)
        opened[name] = zero = time.monotonic() - begun
        for number, frame in enumerate(frames):
            await _at(begun, zero + (number + 1) * 0.02)
            socket.transport.write(frame)


async def _all_there(folder: Path, count: int) -> None:
    """Wait until every call's vCon lies there, with its texts or without."""

    def there() -> bool:
        return len(list(folder.glob("*.vcon.json"))) >= count

    until = time.monotonic() + DEADLINE + 30
    while time.monotonic() < until and not there():  # noqa: ASYNC110 - files have no event
        await asyncio.sleep(0.2)


def _judge(document: dict, load: Load, opened: dict[str, float], shown: dict, result: Result) -> None:
    """Take the words' times out of a vCon and find when each was shown."""
    names = [party.get("name", "") for party in document["parties"]]
    body = next((a["body"] for a in document.get("analysis", []) if a["type"] == "wtf_transcription"), None)
    if body is None:
        return
    body = json.loads(body) if isinstance(body, str) else body
    words = body.get("words", [])
    for segment in body["segments"]:
        name = names[segment["speaker"]]
        at = opened[name.rpartition("-")[0]]
        texts = shown.get((name, round(segment["start"], 2)), [])
        final = next((when for when, kind, _ in texts if kind == "final"), None)
        ends = [at + words[index]["end"] for index in segment.get("words", [])]
        if final is None:
            continue
        shown_upto = [(when, at + upto) for when, kind, upto in texts if kind == "partial"]
        _note(result, load, shown_upto, final, ends)
        if ends and load.counts(ends[-1]):
            result.finals.append(final - (at + segment["end"]))
