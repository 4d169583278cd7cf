"""One test's world: the adapter at a host in memory, the phones, and what is left on the PBX. Loaded by path."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

import msgspec
import numpy as np
from heard import likeness

from vcond.base.time import samples
from vcond.testing.call import MemoryCall
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond_asterisk import AsteriskAdapter, Config

OWN, OTHER = 0.95, 0.2
"""Least correlation with what the party said, most with what another one said."""
PUNCTUAL = 0.03
"""Seconds that this process or Asterisk may be late without a packet being late."""
SLIP = 0.2
"""Seconds of a party's audio that may be lost: a PBX that gets no processor for a moment drops frames of its own."""
WITHIN = 120.0
SECONDS = 2.5
"""Length of what is said."""
TICK = 0.2
_numbers = itertools.count(1555_0000000 + os.getpid() % 1000 * 1000)


class House:
    """``async with House(...)``: attached adapter, phones that can call, ``number`` to call from."""

    def __init__(self, bed: Any, peer: ModuleType, farm: ModuleType, **config: Any) -> None:
        self.bed = bed
        self.number = str(next(_numbers))
        self.farm = farm.Farm(bed, peer.USER, peer.PASSWORD)
        self.pbx = farm.Ari(bed.pbx.url, peer.USER, peer.PASSWORD)
        self.app = f"e2e-{self.number[-6:]}"
        self.config = {
            "url": bed.pbx.url, "user": peer.USER, "password": peer.PASSWORD, "app": self.app,
            "internal": ["PJSIP/agent*", "PJSIP/busyagent"], "domain": "pbx.test", **config,
        }  # fmt: skip
        self.host = MemoryHost("asterisk")
        self.late = 0.0
        """How late this process was at most, or Asterisk with an answer, seconds: the machine has others to serve."""
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.pbx)
        await self._stack.enter_async_context(self.farm)
        self._measuring = asyncio.create_task(self._measure())
        self._stack.push_async_callback(self._measured)
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            await self.stop()
            if kind is None:
                await self.nothing_left()
                assert not self.host.faults
        finally:
            await self._stack.aclose()

    async def start(self, host: MemoryHost | None = None) -> None:
        """Run an adapter at the host (or at another one from now on) and wait until it is attached."""
        self.host = host or self.host
        adapter = AsteriskAdapter(msgspec.convert(self.config, Config))
        self._tasks = [asyncio.create_task(adapter.run(self.host)), asyncio.create_task(self._tick())]
        try:
            await self.until(lambda: self.host.is_attached, "attachment")
        except TimeoutError:
            print(self.bed.pbx.cli("core show channels"), self.bed.pbx.log_tail())
            raise

    async def stop(self) -> None:
        """Cancel the adapter, as a stopping daemon does."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.host.tick()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK / 4
            await asyncio.sleep(TICK / 4)
            await self.pbx.ask("GET", "/asterisk/ping")
            self.late = max(self.late, loop.time() - due)

    async def _measured(self) -> None:
        self._measuring.cancel()
        await asyncio.wait([self._measuring])
        assert self._measuring.cancelled()

    async def until(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for something at the host."""
        running = next(iter(self._tasks), None)
        try:
            await self.host.until(predicate, within=WITHIN, what=what)
        except TimeoutError:
            if running is not None and running.done():
                running.result()
            raise

    # Calls.

    async def connect(self, extension: str = "200", who: str = "agent") -> tuple[Any, Any, MemoryCall]:
        """A call that was answered, whose two parties are both listened to."""
        caller = await self.farm.dial(extension, self.number)
        callee = await self.farm.ringing(who, self.number)
        await callee.answer()
        await caller.up()
        await self.until(lambda: self.tracks(self.call) >= 2, "both tracks")
        return caller, callee, self.call

    @property
    def call(self) -> MemoryCall:
        """The call that goes on, or else the last one that was not merged into another. LookupError without."""
        calls = [call for call in self.host.calls if not call.state.merged_into]
        return next((call for call in calls if not call.over), calls[-1])

    def tracks(self, call: MemoryCall) -> int:
        """How many parties are heard now."""
        return len({track.party for track in call.state.tracks if track.closed is None})

    async def over(self, call: MemoryCall) -> MemoryCall:
        """Wait until a call has ended; its tracks are as long as it is."""
        await self.until(lambda: call.over, "the end of the call")
        self.host.state_from_events(call)
        return call

    async def say(self, **voices: Any) -> None:
        """Several speak at once: ``v1=phone`` says ``voice(1, SECONDS)``."""
        async with asyncio.TaskGroup() as group:
            for name, phone in voices.items():
                seed = int(name[1:])
                self.farm.voice(f"{self.number}-{seed}", voice(seed, SECONDS))
                group.create_task(phone.say(f"{self.number}-{seed}"))

    def heard(self, call: MemoryCall, party: int, seed: int, *, seconds: float = SECONDS, spare: float = 0.0) -> float:
        """How much of a voice is on a party's track; ``spare`` seconds of it may be lost."""
        return likeness(voice(seed, seconds), self.host.audio(call, party), spare)

    @property
    def least(self) -> float:
        """Least correlation with the own voice; less where the machine was late, so that phones and Asterisk left holes."""
        return OWN if self.late <= PUNCTUAL else 0.9

    def check_voices(self, call: MemoryCall, said: dict[int, list[int]]) -> dict[int, tuple[float, float]]:
        """Each party said its seeds and nobody else's; the worst figures."""
        everything = {seed for seeds in said.values() for seed in seeds}
        figures = {}
        for party, seeds in said.items():
            own = min(self.heard(call, party, seed, spare=SLIP) for seed in seeds)
            other = max((self.heard(call, party, seed) for seed in everything - set(seeds)), default=0.0)
            figures[party] = (round(own, 3), round(other, 3))
        print("correlations (own, other) by party:", figures)
        assert all(own >= self.least and other <= OTHER for own, other in figures.values()), figures
        return figures

    def check_lengths(self, call: MemoryCall, *, parties: int) -> None:
        """As many parties as there were, all of whose audio is as long as the call, within 40 ms."""
        assert len(call.state.parties) == parties
        assert call.state.ended is not None
        for party in call.state.parties:
            rate = 8000
            length = len(self.host.audio(call, party.index))
            assert abs(length - samples(call.state.ended - call.state.opened, rate)) <= rate * 0.04
        for track in call.state.tracks:
            assert track.closed is not None
            left = call.state.parties[track.party].presences[-1].left or call.state.ended
            assert abs(track.samples - samples(min(track.closed, left) - call.state.opened, rate)) <= rate * 0.04

    def gap(self, call: MemoryCall) -> float:
        """Longest stretch of loss in any track, seconds."""
        return max(
            (
                (stop - start) / track.rate
                for track in call.state.tracks
                for start, stop, kind in track.spans
                if kind == "lost"
            ),
            default=0.0,
        )

    # The PBX.

    async def leftovers(self) -> list[str]:
        """Helpers of ours that are on the PBX."""
        channels, bridges = await self.pbx.ask("GET", "/channels"), await self.pbx.ask("GET", "/bridges")
        return [one["id"] for one in (*channels, *bridges) if one["id"].startswith(f"{self.app}.")]

    async def nothing_left(self) -> None:
        """Wait until the PBX has no helper of ours any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                while await self.leftovers():  # noqa: ASYNC110 - the PBX can only be asked
                    await asyncio.sleep(0.05)
        assert await self.leftovers() == []


def moments(call: MemoryCall) -> list[tuple[int, str]]:
    """(party, event) of the party history, digits as ``keydown5``."""
    return [(m.party, m.event + m.button) for m in call.state.history]


def facts(call: MemoryCall, party: int | None = None) -> dict[str, str]:
    """Facts of the call, or of a party."""
    return {fact.name: fact.value for fact in call.state.facts if fact.party == party}


def rms(pcm: np.ndarray) -> float:
    """Loudness of samples."""
    return float(np.sqrt(np.mean(np.square(pcm.astype(np.float64))))) if len(pcm) else 0.0
