"""WebRTC: publishers whose packets come as they would out of aiortc; what lies above it is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial

from golden_kit import FRAME, RATE, TONES, tone, virtual

from vcond.base.time import SECOND, Instant
from vcond.media.codecs import Codec, Pcm, encode
from vcond.testing.host import MemoryHost
from vcond.testing.time import until
from vcond_webrtc.calls import CallTracker
from vcond_webrtc.channel import Packet
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.session import HUNG_UP, Session

PEOPLE = {
    "ann": Claims(call="visit-7", party="ann", name="Ann Example", role="customer", tel="+15550100"),
    "ben": Claims(call="visit-7", party="ben", name="Ben Example", role="agent"),
    "cleo": Claims(call="visit-7", party="cleo", name="Cleo Example", role="supervisor"),
}


class Page:
    """One publisher that is connected: it speaks, mutes itself, hangs up, or is gone."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.run = asyncio.create_task(session.run())
        self.seq, self.stamp = 65_530, 2**32 - 1_600  # both wrap within the first second
        session._on_state("connected")

    async def speak(self, pcm: Pcm) -> None:
        """A packet every 20 ms."""
        for at in range(0, len(pcm), FRAME):
            self.session._take(0, Packet("pcmu", self.seq, self.stamp, encode(Codec.PCMU, pcm[at : at + FRAME])))
            self.skip(1)
            await asyncio.sleep(FRAME / RATE)

    def skip(self, packets: int) -> None:
        """Packets that were sent and never came."""
        self.seq, self.stamp = (self.seq + packets) % 2**16, (self.stamp + packets * FRAME) % 2**32

    async def hang_up(self) -> None:
        self.session.end(HUNG_UP)
        await self.run


class Room:
    """A tracker of calls at a host."""

    def __init__(self) -> None:
        self.host = MemoryHost("webrtc")
        self.config = WebRtcConfig(grace=5, media_timeout=3)
        self.tracker: CallTracker
        self.pages: list[Page] = []

    @asynccontextmanager
    async def attached(self, host: MemoryHost | None = None):
        self.host = host or self.host
        async with self.host:
            self.tracker = CallTracker(self.host, self.config)
            ticks = asyncio.create_task(self._tick())
            try:
                yield
            finally:
                ticks.cancel()
                self.tracker.close()
                for page in self.pages:
                    page.session.end("stopping")
                await asyncio.wait([ticks, *(page.run for page in self.pages)])
                self.pages.clear()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.host.tick()

    def joins(self, name: str, *, consent: bool = False) -> Page:
        agreed = Instant(self.host.clock.now() - SECOND // 2) if consent else None
        word = f"{name}-{len(self.pages)}"
        self.pages.append(Page(Session(word, self.host, self.tracker, self.config, PEOPLE[name], agreed)))
        return self.pages[-1]

    async def over(self) -> None:
        await until(lambda: all(call.over for call in self.host.calls))


def script(main: Callable[[Room], object]) -> MemoryHost:
    async def inside() -> MemoryHost:
        room = Room()
        await main(room)
        return room.host

    return virtual(inside())


ANN, BEN, CLEO = (tone(hertz, 1.0) for hertz in TONES[:3])


async def plain(room: Room) -> None:
    async with room.attached():
        ann = room.joins("ann", consent=True)
        ben = room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await ann.hang_up()
        await ben.hang_up()
        await room.over()


async def muted(room: Room) -> None:
    async with room.attached():
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        ann.session.presence.mute(on=True)
        await asyncio.gather(ann.speak(0 * ANN), ben.speak(BEN))
        ann.session.presence.mute(on=False)
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await ben.hang_up()
        await ann.hang_up()
        await room.over()


async def conference(room: Room) -> None:
    """Three publish; one leaves and comes back."""
    async with room.attached():
        ann, ben, cleo = room.joins("ann"), room.joins("ben"), room.joins("cleo")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN), cleo.speak(CLEO))
        await cleo.hang_up()
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        cleo = room.joins("cleo")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN), cleo.speak(CLEO))
        for page in (ann, ben, cleo):
            await page.hang_up()
        await room.over()


async def loss(room: Room, *, lost: bool = True) -> None:
    """Half a second that never comes: packets were lost, or none were sent (DTX: the stamps go on, the numbers do not)."""
    async with room.attached():
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await ben.speak(BEN[:4000])
        ann.skip(25)
        if not lost:
            ann.seq = (ann.seq - 25) % 2**16
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await ann.hang_up()
        await ben.hang_up()
        await room.over()


async def reload(room: Room) -> None:
    """Ann's page is loaded anew: the same party by another session."""
    async with room.attached():
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        again = room.joins("ann")
        await asyncio.gather(again.speak(ANN), ben.speak(BEN))
        await again.hang_up()
        await ben.hang_up()
        await room.over()


async def cut(room: Room) -> None:
    """Both browsers are gone without a word."""
    async with room.attached():
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await room.over()


async def crash(room: Room) -> None:
    """vcond is killed in the middle of a call; the pages publish again two seconds later."""
    async with room.attached():
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        journal = MemoryHost.after_crash(room.host)  # what is on disk at that moment; what follows is the clean end
    await asyncio.sleep(2.0)
    async with room.attached(journal):
        ann, ben = room.joins("ann"), room.joins("ben")
        await asyncio.gather(ann.speak(ANN), ben.speak(BEN))
        await ann.hang_up()
        await ben.hang_up()
        await room.over()


SCENARIOS: dict[str, Callable[[], MemoryHost]] = {
    "plain": partial(script, plain),
    "muted": partial(script, muted),
    "conference": partial(script, conference),
    "loss": partial(script, loss),
    "not-sent": partial(script, partial(loss, lost=False)),
    "reload": partial(script, reload),
    "cut": partial(script, cut),
    "crash": partial(script, crash),
}
