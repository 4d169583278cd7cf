"""A complete host in memory: what an adapter is handed, for its tests.

``MemoryHost`` does what the core does with what an adapter tells it (the fold, placement on the call's clock, merging,
ending, recovery) and keeps all of it to be looked at. Nothing is mocked but the disk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import numpy as np
import soxr
import structlog
from structlog.typing import FilteringBoundLogger

from vcond.base.time import samples
from vcond.call import events as ev
from vcond.call.ids import Minter
from vcond.call.interruption import interrupted
from vcond.call.state import fold
from vcond.call.stopped_audio import TapRule, miss
from vcond.media.codecs import Pcm
from vcond.sdk.contract import Clock, Direction, Instant, LiveCall
from vcond.testing.call import MemoryCall
from vcond.testing.ingress import MemoryIngress
from vcond.testing.time import LoopClock
from vcond.testing.waiters import Waiters

TOKEN: Final = "ingress-token-of-the-tests"  # noqa: S105 - guards nothing
_TOKEN_FORM: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


class MemoryHost(Waiters):
    """The host of one adapter. ``async with`` serves its ingress; without routes that is not needed."""

    def __init__(
        self, adapter: str = "test", *, clock: Clock | None = None, token: str = TOKEN, public_url: str = ""
    ) -> None:
        super().__init__()
        self.adapter = adapter
        self.clock: Clock = clock or LoopClock()
        self.ingress = MemoryIngress(token, public_url)
        self.log: FilteringBoundLogger = structlog.get_logger(adapter=adapter)
        self.calls: list[MemoryCall] = []
        """Every call that there ever was, in the order in which they opened; also ended and merged ones."""
        self.drops: Counter[tuple[str, str]] = Counter()
        """What was counted as dropped, by (what, reason)."""
        self.attachments: list[tuple[bool, str]] = []
        """What was said with ``attached``, in order."""
        self.faults: list[str] = []
        """Where the adapter broke the contract. A test should find it empty."""
        self.stopping = False
        """Whether vcond waits for its calls to end."""
        self.unmergeable = ""
        """Why no call can be merged (``disk``, ``too-large``), as the core may say; empty = they can."""
        self.rule = TapRule()
        """What the adapter said of its taps."""
        self._left: list[MemoryCall] = []
        self._minter = Minter("memory.test", seed=1)
        self._stack = AsyncExitStack()

    @classmethod
    def after_crash(cls, old: MemoryHost, *, clock: Clock | None = None) -> MemoryHost:
        """A second host as vcond would start with after the first was killed: its open calls are ``unfinished``."""
        host = cls(old.adapter, clock=clock or old.clock, token=old.ingress.token)
        host._minter = old._minter
        for call in old.calls:
            copy = host._recovered(call)
            host.calls.append(copy)
            if not copy.over:
                host._left.append(copy)
        return host

    def _recovered(self, call: MemoryCall) -> MemoryCall:
        """The call as its journal tells it; tracks that were open are closed where they were cut off."""
        copy = MemoryCall(self, call.events)
        copy.sounds = {index: sound.moved(0) for index, sound in call.sounds.items()}
        if not copy.over:
            ends = {track.file: copy.sounds[track.index].length - track.shift for track in copy.state.tracks}
            for event in interrupted(copy.state, ends.__getitem__, now=self.now()):
                copy.record(event)
        return copy

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.ingress)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    # What an adapter sees.

    def call(self, key: str, *, at: Instant, direction: Direction = "unknown") -> MemoryCall:
        """The live call of that key: an open one, one left unfinished (taken up again), or a new one."""
        for call in self.open_calls():
            if call.key == key:
                return call
        for call in self._left:
            if call.key == key and not call.over:
                self._left.remove(call)
                call.record(ev.Recovered(at=at))
                return call
        opened = ev.CallOpened(
            at=at, call=str(self._minter.mint(at)), adapter=self.adapter, key=key, direction=direction,
            recorder="memory.test", software="vcond test",
        )  # fmt: skip
        self.calls.append(MemoryCall(self, [opened]))
        self.changed()
        return self.calls[-1]

    def open_calls(self) -> Sequence[MemoryCall]:
        """Calls that have not ended, those of ``unfinished`` not counted."""
        return [call for call in self.calls if not call.over and call not in self._left]

    def unfinished(self) -> Sequence[MemoryCall]:
        """Calls of an earlier run that were neither taken up nor ended."""
        self._left = [call for call in self._left if not call.over]
        return list(self._left)

    def attached(self, ok: bool, detail: str = "") -> None:
        """Note whether the system is attached."""
        self.attachments.append((ok, detail))
        self.changed()

    def taps(self, *, after: float, again: Callable[[LiveCall, int], bool] | None = None, shared: bool = False) -> None:
        """What is held against the tracks at every ``tick``."""
        self.rule = TapRule(after, again, shared)

    def dropped(self, what: str, reason: str, count: int = 1) -> None:
        """Count something that was lost."""
        for token in (what, reason):
            if not _TOKEN_FORM.fullmatch(token):
                self.fault("dropped() wants short fixed tokens: a-z, 0-9 and -")
        self.drops[what, reason] += count
        self.changed()

    # What a test sees.

    @property
    def is_attached(self) -> bool:
        """What the adapter said last; False before it said anything."""
        return bool(self.attachments) and self.attachments[-1][0]

    def now(self) -> Instant:
        """This moment."""
        return self.clock.now()

    def fault(self, text: str) -> None:
        """Note that the adapter broke the contract."""
        self.faults.append(text)

    def summary(self) -> str:
        """One line of what there is, for messages of failed tests."""
        lines = [
            f"{call.key}: {len(call.state.parties)} parties, {len(call.state.tracks)} tracks,"
            f" {'over' if call.over else 'open'}"
            for call in self.calls
        ]
        return f"calls [{'; '.join(lines)}], dropped {dict(self.drops)}, faults {self.faults}"

    def by_key(self, key: str) -> MemoryCall:
        """The latest call of a key. KeyError when there is none."""
        for call in reversed(self.calls):
            if call.key == key:
                return call
        raise KeyError(key)

    def audio(self, call: MemoryCall, party: int | str, *, rate: int | None = None) -> Pcm:
        """What a party said, by its index or key, from the call's zero: all its tracks laid over one another.

        As long as the call when that has ended, else as long as the longest track. ``rate`` is that of the party's
        first track (8000 without any); tracks of another rate are resampled to it.
        """
        if isinstance(party, str):
            known = call.state.party_by_key(party)
            if known is None:
                raise KeyError(party)
            party = known.index
        tracks = [track for track in call.state.tracks if track.party == party]
        rate = rate or (tracks[0].rate if tracks else 8000)
        seconds = [call.sounds[track.index].length / track.rate for track in call.state.tracks]
        length = round(max(seconds, default=0.0) * rate)
        if call.state.ended is not None:
            length = samples(call.state.ended - call.state.opened, rate)
        mix = np.zeros(length, np.int32)
        for track in tracks:
            sound = call.sounds[track.index]
            pcm = sound.read(sound.length)
            pcm = pcm if track.rate == rate else soxr.resample(pcm, track.rate, rate)
            mix[: len(pcm)] += pcm[:length]
        return np.clip(mix, -32768, 32767).astype(np.int16)

    def tick(self) -> None:
        """Time passes without frames, as the core tells its tracks several times a second."""
        for call in self.open_calls():
            call.tick(self.clock.now())
            for one in miss(call, self.rule, self.clock.now()):
                self.log.warning("audio of a party has stopped", call=call.uuid, error=one.text, does=one.does)

    def state_from_events(self, call: MemoryCall) -> None:
        """Check that the state of a call is what its events tell. AssertionError when it is not."""
        again = fold(ev.decode(ev.encode(event)) for event in call.events)
        assert again.odd == call.state.odd
        assert (again.parties, again.history, again.ended) == (
            call.state.parties,
            call.state.history,
            call.state.ended,
        )
