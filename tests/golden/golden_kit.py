"""What golden records are made with: known voices, listeners for captures, and the form in which a vCon is kept."""

from __future__ import annotations

import contextlib
import hashlib
import random
from base64 import urlsafe_b64decode
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vcond.base.time import MILLI
from vcond.media.codecs import Pcm
from vcond.testing.call import MemoryCall
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock, run_virtual
from vcond.vcon import build, serialize, validate

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"

RATE, FRAME, FRAME_NS = 8000, 160, 20 * MILLI
TONES = (400, 800, 1250, 1600, 2000)
"""Hertz by party: each a whole number of periods in 20 ms but 1250, so that frames that moved are seen."""


def tone(hertz: int, seconds: float, *, first: int = 0) -> Pcm:
    """A triangle of whole numbers: the same samples on every machine. ``first``: its sample to begin with."""
    n = np.arange(first, first + round(seconds * RATE), dtype=np.int64)
    phase = n * hertz % RATE
    return (np.abs(phase * 4 - 2 * RATE) - RATE).astype(np.int16)  # -8000 to 8000


class Mouth:
    """One leg that speaks from when it is listened to until it is not."""

    def __init__(self, leg: Any, hertz: int, now: int) -> None:
        self.leg, self.hertz, self.next, self.said = leg, hertz, now + FRAME_NS, 0
        self.track: Any = None
        self.last: int | None = None
        self.held_in: str | None = None
        """The bridge in which it holds; who consults meanwhile speaks in another one."""

    def speak(self, now: int, *, held_is_silent: bool) -> None:
        """All frames that are complete by ``now``."""
        while self.next <= now:
            pcm = tone(self.hertz, 0.02, first=self.said)
            self.said += FRAME
            bridge = getattr(self.leg, "bridge", "")
            self.held_in = (bridge if self.held_in is None else self.held_in) if self.leg.holding else None
            quiet = self.held_in == bridge
            if not quiet or held_is_silent:
                if self.track is None:
                    self.track = self.leg.open_track(self.next, RATE)
                payload = bytes(2 * FRAME) if quiet else pcm.astype("<i2").tobytes()
                self.track.write(payload, arrived=self.next)
                self.last = self.next
            self.next += FRAME_NS


class Segmenting:
    """Taps for an adapter's switchboard: who is listened to speaks a tone of its own, a frame every 20 ms.

    ``held_is_silent``: a leg that holds gives silence (Asterisk's snoop) and not nothing (FreeSWITCH's files).
    """

    def __init__(self, clock: ManualClock, *, held_is_silent: bool) -> None:
        self.clock, self.held_is_silent = clock, held_is_silent
        self.on: dict[str, Mouth] = {}
        self.met = 0

    def start(self, leg: Any, *, both: bool = False) -> None:
        if leg.channel not in self.on:
            self.on[leg.channel] = Mouth(leg, TONES[self.met % len(TONES)], self.clock.now())
            self.met += 1

    def stop(self, leg: Any, at: int) -> None:
        mouth = self.on.pop(leg.channel, None)
        if mouth is not None and mouth.track is not None:
            mouth.track.close(at=at)

    def own(self, name: str) -> bool:
        return name.startswith(("vcond.", "s3993", "e3993", "b3993", "s39946", "e39946", "b39946"))

    def last_heard(self, leg: Any) -> int | None:
        mouth = self.on.get(leg.channel)
        return None if mouth is None else mouth.last

    def pass_time(self, host: MemoryHost, until: int) -> None:
        """Time passes in steps of 20 ms up to ``until``; everybody speaks."""
        while self.clock.now() < until:
            self.clock.advance(min(FRAME_NS, until - self.clock.now()))
            for mouth in list(self.on.values()):
                mouth.speak(self.clock.now(), held_is_silent=self.held_is_silent)
            host.tick()


@contextlib.contextmanager
def same_chance() -> Iterator[None]:
    """Chance is the same each time."""
    chance = random.getstate()
    random.seed(1)  # pauses between attempts to connect are jittered
    try:
        yield
    finally:
        random.setstate(chance)


def virtual(main: Coroutine[Any, Any, MemoryHost]) -> MemoryHost:
    """Run a script in virtual time."""
    with same_chance():
        return run_virtual(main)


def the_call(host: MemoryHost) -> MemoryCall:
    """The one call that was not merged into another."""
    (call,) = [call for call in host.calls if not call.state.merged_into]
    return call


def sealed_off(host: MemoryHost) -> MemoryCall:
    """The one call of a script, which is over and broke no rule of the contract."""
    assert host.faults == []
    call = the_call(host)
    assert call.over
    assert call.state.odd == 0
    host.state_from_events(call)
    return call


def document(host: MemoryHost) -> dict[str, Any]:
    """The vCon of the script's call, with its audio, as the daemon would build it."""
    call = sealed_off(host)
    return build(call.state, {index: sound.read(sound.length) for index, sound in call.sounds.items()})


def made(host: MemoryHost) -> bytes:
    """The vCon as a golden file: indented, and each recording as its sha512 and its length. AssertionError if invalid."""
    whole = document(host)
    wrong = [finding for finding in validate(whole) if finding.level == "error"]
    assert wrong == []
    kept = msgspec.json.decode(serialize(whole))
    for dialog in kept["dialog"]:
        if "body" in dialog:
            dialog["body"] = shortened(dialog["body"])
    return msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n"


def shortened(body: str) -> dict[str, Any]:
    """What stands for a recording."""
    data = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    return {"bytes": len(data), "sha512": hashlib.sha512(data).hexdigest()}
