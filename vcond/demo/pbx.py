"""The demo call through a real Asterisk: two phones speak the recording, hold and press the key.

PBX and phones are those of the tests (``tests/peers/asterisk``), so this works from a checkout only.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp

import vcond
from vcond.demo.call import FRAME, RATE, Recording
from vcond.demo.errors import DemoError
from vcond.demo.media_stream_player import Progress
from vcond.media.codecs import Codec, decode

PEERS = Path("tests", "peers", "asterisk")
EXTENSION, AGENT = "200", "agent"
"""What is dialled on that PBX, and the phone that rings then."""
TICK = 0.1
NUMBER = "+12025550100"
"""The caller's when the recording tells none."""


@dataclass(frozen=True)
class Move:
    """Something that a phone does at seconds from the answer: ``say`` a clip, ``hold``, ``unhold``, ``digit``."""

    at: float
    kind: str
    clip: bytes = b""
    """PCMU to say."""
    button: str = ""
    ms: int = 0


def moves(recording: Recording, party: int) -> list[Move]:
    """What a party does, in order. Asterisk does nothing else to a channel while it plays, so each cue cuts the audio.

    A clip ends one frame before its cue, to be over by then, and its silence at the end is not played.
    """
    track, found, begin = recording.tracks[party], list[Move](), 0
    for cue in [cue for cue in recording.cues if cue.party == party]:
        at = round(cue.at * RATE)
        found += _clip(track, begin, at - FRAME)
        found.append(Move(cue.at, cue.kind, button=cue.button, ms=cue.ms))
        begin = at + cue.ms * RATE // 1000 + FRAME
    return found + _clip(track, begin, len(track))


def _clip(track: bytes, begin: int, end: int) -> list[Move]:
    """From the first to the last sound of a stretch; nothing when it is silent."""
    part = track[begin:end]
    first = len(part) - len(part.lstrip(b"\xff"))
    clip = part.strip(b"\xff")
    return [Move((begin + first) / RATE, "say", clip)] if clip else []


class AsteriskPlayer:
    """A PBX and a phone farm, started for this demo and stopped after it."""

    title = "through a real Asterisk"
    waiting = "starting Asterisk; the first time it is downloaded (53 MB)"
    daemon: Sequence[str] | None = None

    def __init__(self) -> None:
        folder = Path(vcond.__file__).parents[1] / PEERS
        if not (folder / "peer.py").is_file():
            raise DemoError(f"--pbx asterisk works from a checkout of vcond only: there is no {folder}")
        self._peer, self._farm = (_module(folder / f"{name}.py") for name in ("peer", "farm"))
        self._bed: Any = None

    async def start(self, folder: Path) -> str:
        """Start both Asterisks on free ports of loopback. Raises DemoError."""
        try:
            self._bed = await asyncio.to_thread(self._peer.start, folder)
        except (self._peer.UnavailableError, RuntimeError, OSError) as why:
            raise DemoError(f"there is no Asterisk: {why}") from why
        return (
            "[adapters.asterisk]\n"
            f'url = "{self._bed.pbx.url}"\nuser = "{self._peer.USER}"\npassword = "{self._peer.PASSWORD}"\n'
            f'internal = ["PJSIP/{AGENT}*"]'
        )

    async def stop(self) -> None:
        """Stop both."""
        if self._bed is not None:
            await asyncio.to_thread(self._bed.stop)

    async def play(self, recording: Recording, url: str, token: str, progress: Progress) -> None:  # noqa: ARG002 - the other players need them
        """Dial, answer, speak, hang up. Raises DemoError when a phone does not do what it is told."""
        number = recording.parties[0].tel or NUMBER
        try:
            async with self._farm.Farm(self._bed, self._peer.USER, self._peer.PASSWORD) as farm:
                caller = await farm.dial(EXTENSION, number, recording.parties[0].name)
                agent = await farm.ringing(AGENT, number)
                await agent.answer()
                await caller.up()
                async with asyncio.TaskGroup() as tasks:
                    for party, phone in enumerate((caller, agent)):
                        tasks.create_task(_speak(farm, phone, party, moves(recording, party)))
                    tasks.create_task(_count(recording.seconds, progress))
                await caller.hang_up()
                await caller.gone()
        except ExceptionGroup as group:
            raise DemoError(f"a phone failed: {group.exceptions[0]}") from group
        except (RuntimeError, TimeoutError, aiohttp.ClientError) as why:
            raise DemoError(f"a phone failed: {why}") from why


async def _speak(farm: Any, phone: Any, party: int, todo: list[Move]) -> None:
    """All moves of one phone, each at its time from now."""
    voices = {
        number: farm.voice(f"demo-{party}-{number}", decode(Codec.PCMU, move.clip))
        for number, move in enumerate(todo)
        if move.kind == "say"
    }
    do: dict[str, Callable[[int, Move], Awaitable[None]]] = {
        "say": lambda number, _: _play(farm, phone, voices[number]),
        "hold": lambda _, __: phone.hold(on=True),
        "unhold": lambda _, __: phone.hold(on=False),
        "digit": lambda _, move: phone.press(move.button, move.ms),
    }
    begun = asyncio.get_running_loop().time()
    for number, move in enumerate(todo):
        await asyncio.sleep(begun + move.at - asyncio.get_running_loop().time())
        await do[move.kind](number, move)


async def _play(farm: Any, phone: Any, voice: str) -> None:
    """Begin to say something. When it is over is known from its length."""
    await farm.ari.ask("POST", f"/channels/{phone.channel}/play", media=f"sound:test/{voice}")


async def _count(seconds: float, progress: Progress) -> None:
    """Tell the position until the end of the recording."""
    begun = asyncio.get_running_loop().time()
    while (position := asyncio.get_running_loop().time() - begun) < seconds:
        progress(position)
        await asyncio.sleep(TICK)
    progress(seconds)


def _module(path: Path) -> ModuleType:
    """A module of the checkout, which is no package."""
    name = f"vcond_demo_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
