"""One publisher from its answer to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from vcond.adapter import SECOND, Codec, Desk, Instant, LiveCall, Muted, RtpClock, Track, Unmuted
from vcond.media.codecs import encode
from vcond_webrtc.calls import Place, Switchboard
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.peer import HELD_BACK, Peer, Sound, sounds
from vcond_webrtc.sound import FACTOR, Thirds

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack

STAMPS: Final = (1 << 32) - 1
HUNG_UP: Final = "hung-up"
LINGER: Final = 0.1
"""Seconds after a hang-up in which frames still come: those that aiortc held back, pushed out by what follows."""
SUPERSEDED: Final = "superseded"
STOPPING: Final = "stopping"
QUIET: Final = frozenset({HUNG_UP, SUPERSEDED, STOPPING, "closed"})
"""Ends that happen in the normal course of things; the others are counted as dropped."""


class Channel:
    """Frames of one track of a publisher into tracks of the call: another one when the codec changes."""

    def __init__(self, call: LiveCall, party: int, rate: int) -> None:
        self._call = call
        self._party = party
        self._rate = rate
        self._shape = (0, 0)
        self._track: Track | None = None
        self._thirds: Thirds | None = None
        self._next = -1

    def write(self, sound: Sound, arrived: Instant) -> None:
        """Take one frame that was put on the table ``HELD_BACK`` frames after its packet."""
        arrived = Instant(arrived - HELD_BACK * sound.length)
        track = self._track
        if track is None or (sound.rate, sound.ticks) != self._shape:
            track = self._open(sound, arrived)
        pcm = sound.pcm
        if self._thirds is not None:
            if sound.stamp != self._next:
                self._thirds.reset()
            self._next = sound.stamp + len(pcm)
            pcm = self._thirds.take(pcm)
        # aiortc counts timestamps on past 32 bits, and a step back as if they had wrapped; the clock knows both.
        track.write(encode(Codec.L16, pcm), arrived=arrived, stamp=sound.stamp & STAMPS)

    def close(self, at: Instant) -> None:
        """The publisher is over."""
        if self._track is not None:
            self._track.close(at=at)

    def _open(self, sound: Sound, at: Instant) -> Track:
        self.close(at)
        at = max(at, self._call.state.opened)
        self._shape = (sound.rate, sound.ticks)
        down = sound.rate == FACTOR * self._rate
        self._thirds = Thirds() if down else None
        rate = self._rate if down else sound.rate
        clock = RtpClock(sound.ticks)
        self._track = self._call.track(self._party, at=at, codec=Codec.L16, rate=rate, clock=clock)
        return self._track


class Session:
    """A WHIP session: joins its call once it is connected, and leaves it when it is over."""

    def __init__(
        self, name: str, desk: Desk, switchboard: Switchboard, config: WebRtcConfig, claims: Claims, consent: Instant | None
    ) -> None:  # fmt: skip
        self.name = name
        """In its URL; a secret of publisher and vcond."""
        self.claims = claims
        self.peer = Peer(config)
        self._desk = desk
        self._switchboard = switchboard
        self._config = config
        self._consent = consent
        self._place: Place | None = None
        self._why = ""
        self._over = asyncio.Event()
        self._ended = Instant(0)
        self._sounding = asyncio.Event()
        self._heard = Instant(0)
        """When the latest frame came, once it is ``sounding``."""
        self._channels: list[Channel] = []
        self._muted = False

    async def answer(self, offer: str) -> str:
        """The answer to the offer; see ``Peer.answer`` for what is raised."""
        return await self.peer.answer(offer, self._on_state)

    def end(self, why: str) -> None:
        """It is over. The first reason counts."""
        if not self._over.is_set():
            self._why, self._ended = why, self._desk.clock.now()
            self._over.set()

    def supersede(self) -> None:
        """The same party publishes anew."""
        self.end(SUPERSEDED)

    def mute(self, *, on: bool) -> bool:
        """The person muted the microphone, or opened it again. False when the session carries nothing yet."""
        if self._place is None or self._over.is_set():
            return False
        if on != self._muted:
            self._muted = on
            now, party = self._desk.clock.now(), self._place.party
            self._place.conversation.call.emit(Muted(at=now, party=party) if on else Unmuted(at=now, party=party))
        return True

    async def run(self) -> None:
        """Live to the end, then leave the call and close the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._listen(track)) for track in self.peer.tracks]
                tasks.append(group.create_task(self._watch()))
                await self._over.wait()
                if self._why == HUNG_UP:
                    await asyncio.sleep(LINGER)
                for task in tasks:
                    task.cancel()
        finally:
            self._leave()
            await self.peer.close()

    def _on_state(self, state: str) -> None:
        if state == "connected":
            self._join()
        elif state in {"failed", "closed"}:
            self.end(state)

    def _join(self) -> Place | None:
        """Take the place in the call; None when the session is over already."""
        if self._place is None and not self._over.is_set():
            now = self._desk.clock.now()
            self._place = self._switchboard.join(self, self.name, self.claims, at=now)
            if self._consent is not None:
                self._switchboard.consent(self._place, self._config.consent, self._consent)
        return self._place

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Take every frame of one track."""
        channel: Channel | None = None
        async for sound in sounds(track):
            arrived = self._desk.clock.now()
            place = self._place or self._join()
            if place is None:
                continue
            self._heard = arrived
            if not self._sounding.is_set():
                self._sounding.set()
                self._switchboard.heard(place, at=arrived)
            if channel is None:
                channel = Channel(place.conversation.call, place.party, self._config.rate)
                self._channels.append(channel)
            channel.write(sound, arrived)

    async def _watch(self) -> None:
        """End the session when nothing comes: at all, or any more."""
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                await self._sounding.wait()
        except TimeoutError:
            self.end("no-connection" if self._place is None else "never-heard")
            return
        limit = round(self._config.media_timeout * SECOND)
        while (rest := self._heard + limit - self._desk.clock.now()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(rest / SECOND)
        self.end("no-media")

    def _leave(self) -> None:
        self.end(STOPPING)
        why, at = self._why, self._ended
        lost = why != HUNG_UP
        if lost and why != SUPERSEDED and self._sounding.is_set():
            at = min(at, self._heard)
        for channel in self._channels:
            channel.close(at)
        if self._place is not None:
            self._switchboard.leave(self._place, self, at=at, lost=lost)
        if why not in QUIET:
            self._desk.dropped("session", why)
            self._desk.log.warning("publisher lost", why=why)
