"""Calls that are spoken on while the daemon that records them dies and comes back, and what has to be in their vCons."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import msgspec
import numpy as np
from daemon_kit import TOKEN
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from vcond.demo.call import FRAME, RATE, Recording
from vcond.demo.player import Sids, opening, steps
from vcond.media.codecs import Codec, decode

CHUNK = 400
"""Samples by which a place in a recording is found: no 50 ms of the calls are like others."""
NEAR = 3 * RATE
"""Samples by which it may lie elsewhere than where it was sent."""
LOUD = 5_000
FIRST = RATE // 2
"""Samples of a stream that are not compared: the first frames say where its zero is."""


@dataclass
class Edge:
    """Where the daemon is reached, while it is there."""

    base: str = ""
    up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Part:
    """A stream of a call: from which frame on, when it began (samples after the call did), and how many frames were sent."""

    frame: int
    at: int
    sent: int = 0


@dataclass(eq=False)
class Caller:
    """One call, known by its caller's number. While the daemon is away nobody speaks."""

    tel: str
    recording: Recording
    parts: list[Part] = field(default_factory=list)
    sids: Sids = field(default_factory=Sids)

    async def speak(self, edge: Edge) -> None:
        """From the first word to the hang-up, at the speed at which people speak, whatever becomes of the daemon."""
        loop = asyncio.get_running_loop()
        await edge.up.wait()
        begun, frame = loop.time(), 0
        while frame < self.recording.frames:
            await edge.up.wait()
            with contextlib.suppress(OSError, WebSocketException):  # it has died; the call goes on
                await self._stream(edge.base, frame, begun)
            frame = sum(part.sent for part in self.parts)

    async def _stream(self, base: str, frame: int, begun: float) -> None:
        """What is left from a frame on, as a stream of the same call."""
        loop, told = asyncio.get_running_loop(), self.recording
        caller, agent = told.parties
        parties = (msgspec.structs.replace(caller, tel=self.tel), agent)
        left = Recording(told.title, parties, tuple(track[frame * FRAME :] for track in told.tracks))
        sids = Sids(self.sids.account, self.sids.call)
        url = f"{base.replace('http', 'ws')}/twilio/stream/{TOKEN}"
        async with connect(url, compression=None, proxy=None) as socket:
            for message in opening(left, sids):
                await socket.send(message)
            now = loop.time()
            part = Part(frame, round((now - begun) * RATE))
            self.parts.append(part)
            for number, messages in enumerate(steps(left, sids)):
                await asyncio.sleep(max(0.0, now + number * FRAME / RATE - loop.time()))
                for message in messages:
                    await socket.send(message)
                part.sent += number < left.frames  # the last step is the hang-up
            await socket.wait_closed()

    def lost(self, recorded: np.ndarray) -> tuple[list[float], float]:
        """Seconds of sound that are not in a recording, shape (samples, 2): of the end of each stream but the last, and elsewhere.

        Raises AssertionError where a stream is not in it at all.
        """
        ends, elsewhere = [], 0.0
        for part in self.parts:
            sent = slice(part.frame * FRAME, (part.frame + part.sent) * FRAME)
            told = [
                missing(recorded[:, party], decode(Codec.PCMU, track)[sent], part.at)
                for party, track in enumerate(self.recording.tracks)
            ]
            ends.append(max(end for end, _ in told) / RATE)
            elsewhere += max(inside for _, inside in told) / RATE
        return ends[:-1], elsewhere + ends[-1]


def missing(recorded: np.ndarray, sent: np.ndarray, at: int) -> tuple[int, int]:
    """Samples of what was sent from position ``at`` on that are not in a recording, up to the last sound: of the end, and before it.

    The offset of a stream may follow its source (``vcond/media/placement``): what comes after that is looked for anew.
    """
    loud = np.flatnonzero(np.abs(sent[FIRST:].astype(int)) > LOUD)
    if not len(loud):
        return 0, 0  # this party said nothing here: silence says nothing of where it is
    sent, here = sent[: FIRST + int(loud[-1]) + 1], FIRST + int(loud[0])
    shift, inside = None, 0
    while here < len(sent):
        found = ((to, _shift(recorded, sent, to, at)) for to in range(here, len(sent) - CHUNK, RATE // 100))
        again = next(((to, by) for to, by in found if by is not None and by != shift), None)
        if again is None:
            break
        to, shift = again
        while to > here and recorded[shift + to - 1] == sent[to - 1]:
            to -= 1
        there = recorded[shift + to : shift + len(sent)]
        same = sent[to : to + len(there)] == there
        inside, here = inside + to - here, to + (len(same) if same.all() else int(np.argmin(same)))
    assert shift is not None, "what was said in a stream is not in the recording"
    return len(sent) - here, inside


def _shift(recorded: np.ndarray, sent: np.ndarray, here: int, at: int) -> int | None:
    """How much later a loud piece of what was sent is in a recording; None = it is not there, or not loud."""
    piece = sent[here : here + CHUNK]
    if np.abs(piece.astype(int)).max() <= LOUD:
        return None
    first = max(0, at + here - NEAR)
    found = recorded[first : at + here + NEAR].tobytes().find(piece.tobytes())
    return first + found // 2 - here if found >= 0 and found % 2 == 0 else None
