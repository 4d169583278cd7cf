"""Records a call of which one party did not agree, and one whose voice is buffered, until it is killed. Says when it began."""

import asyncio
import sys
from pathlib import Path

import numpy as np

from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.capture.clock import SteadyClock
from vcond.capture.live_feed import LiveFeed
from vcond.capture.registry import CallRegistry
from vcond.config import DaemonConfig
from vcond.journal import Store
from vcond.policy.consent import Terms
from vcond.sdk.contract import ArrivalClock, Codec

RATE = 8000
START = 1_795_339_662 * SECOND


class Deaf:
    """Speech that hears nothing."""

    def listen(self, source, start=0):
        return self

    def forget_track(self, source):
        return 0

    def at_most(self, best):
        pass

    def advance(self, upto):
        pass

    def close(self, upto):
        pass


async def main(root: str, noise: list[np.ndarray]) -> None:
    now = [START]
    clock = SteadyClock(lambda: now[0], lambda: now[0])
    store = Store(Path(root))
    registry = CallRegistry(
        DaemonConfig(name="edge.example.com", state_dir=root), store=store, speech=Deaf(), clock=clock, bus=LiveFeed(),
        finish=lambda call, journal: None, discard=lambda journal: None,
        terms_of_call=lambda _: Terms(mode="ask", until_granted="buffer"),
    )  # fmt: skip
    call = registry.call("test", "k", clock.now(), "inbound")
    tracks = []
    for key in ("a", "b", "c"):
        party = call.party(key, at=clock.now(), who=ev.PartyInfo(name=key))
        tracks.append(call.track(party, at=clock.now(), codec=Codec.L16, rate=RATE, clock=ArrivalClock()))
    call.emit(ev.Consent(at=clock.now(), party=1, state="granted"))
    call.emit(ev.Consent(at=clock.now(), party=2, state="denied"))
    for step in range(len(noise[0]) // 160):
        now[0] += SECOND // 50
        for track, voice in zip(tracks, noise, strict=True):
            track.write(voice[step * 160 : step * 160 + 160].astype("<i2").tobytes(), arrived=clock.now())
        registry.tick(clock.now())
        if step % 50 == 0:
            await call.journal.flush()
            print("step", step, flush=True)
        await asyncio.sleep(0)
    await store.close()
    print("step", sys.maxsize, flush=True)


if __name__ == "__main__":
    seeds = [np.random.default_rng(seed) for seed in (1, 2, 3)]
    voices = [(one.standard_normal(60 * RATE) * 4000).clip(-32000, 32000).astype(np.int16) for one in seeds]
    asyncio.run(main(sys.argv[1], voices))
