"""One publisher from its answer to its end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from vcond.sdk.contract import SECOND, Desk, Instant, LiveCall, Muted, Paused, Unmuted, Unpaused
from vcond_webrtc.calls import Place, Switchboard
from vcond_webrtc.channel import Channel, Packet
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.peer import DTLS_FAILED, FLOODED, ICE_FAILED, Peer

HUNG_UP: Final = "hung-up"
SUPERSEDED: Final = "superseded"
STOPPING: Final = "stopping"
FIXES: Final = {
    DTLS_FAILED: "the handshake of DTLS failed, the network is well: see README, When it does not work",
    ICE_FAILED: "no UDP came through: look at addresses, ports, advertise, turn and the firewall; vcond check asks the servers",
    "no-connection": "no UDP came through, or no handshake: look at addresses, ports, advertise, turn and the firewall",
}
"""What the operator can do when a publisher is lost."""
QUIET: Final = frozenset({HUNG_UP, SUPERSEDED, STOPPING, "closed"})
"""Ends that happen in the normal course of things; the others are counted as dropped."""


class Session:
    """A WHIP session: joins its call once it is connected, and leaves it when it is over."""

    def __init__(
        self, name: str, desk: Desk, switchboard: Switchboard, config: WebRtcConfig, claims: Claims,
        consent: Instant | None, *, paused: bool = False,
    ) -> None:  # fmt: skip
        """``paused``: the recording is paused by this party from the moment it joins, before any of it is kept."""
        self.name = name
        """In its URL; a secret of publisher and vcond."""
        self.tag = secrets.token_hex(8)
        """The entity tag of its ICE session (RFC 9725 section 4.3.1), of which there is one only."""
        self.claims = claims
        self.peer = Peer(config, self._take, now=desk.clock.now())
        self._desk = desk
        self._switchboard = switchboard
        self._config = config
        self._consent = consent
        self._paused = paused
        self._place: Place | None = None
        self._call: LiveCall | None = None
        """That of its place, when it last looked."""
        self.why = ""
        """Why it is over."""
        self.on_over: Callable[[], None] | None = None
        """Called once when it is over."""
        self._over = asyncio.Event()
        self._ended = Instant(0)
        self._sounding = asyncio.Event()
        self._heard = Instant(0)
        """When the latest frame came, once it is ``sounding``."""
        self._channels: dict[int, Channel] = {}
        self._muted = False

    async def answer(self, offer: str) -> str:
        """The answer to the offer; see ``Peer.answer`` for what is raised."""
        return await self.peer.answer(offer, self._on_state)

    def end(self, why: str) -> None:
        """It is over. The first reason counts."""
        if not self._over.is_set():
            self.why, self._ended = why, self._desk.clock.now()
            self._over.set()
            if self.on_over is not None:
                self.on_over()

    def supersede(self) -> None:
        """The same party publishes anew."""
        self.end(SUPERSEDED)

    def mute(self, *, on: bool) -> bool:
        """The person muted the microphone, or opened it again. False when the session carries nothing yet."""
        if self._place is None or self._over.is_set():
            return False
        if on != self._muted:
            now = self._desk.clock.now()
            self._follow(self._place, now)
            self._muted, party = on, self._place.party
            self._place.conversation.call.emit(Muted(at=now, party=party) if on else Unmuted(at=now, party=party))
        return True

    @property
    def place(self) -> Place | None:
        """Its place in a call, once it is connected."""
        return self._place

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    def pause(self) -> bool:
        """The person pauses the recording of the whole call. Whether it is paused now."""
        if self._place is None or self._over.is_set():
            return False
        return self._pause(self._place, self._desk.clock.now())

    def _pause(self, place: Place, at: Instant) -> bool:
        self._follow(place, at)
        call, party = place.conversation.call, place.party
        if not call.state.paused_by("party", party):
            call.emit(Paused(at=at, by="party", party=party))
        return call.state.paused

    def resume(self) -> bool:
        """The person lets the recording go on. False when others still have it paused, or nothing is carried yet."""
        if self._place is None or self._over.is_set():
            return False
        now = self._desk.clock.now()
        self._follow(self._place, now)
        call, party = self._place.conversation.call, self._place.party
        if call.state.ending("party", party):
            call.emit(Unpaused(at=now, by="party", party=party))
        return not call.state.paused

    async def run(self) -> None:
        """Live to the end, then leave the call and close the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                await self._over.wait()
                watch.cancel()
        finally:
            self._leave()
            await self.peer.close()

    def _on_state(self, state: str) -> None:
        if state == "connected":
            with self._guarded():
                self._join()
        elif state in {DTLS_FAILED, ICE_FAILED, "closed", FLOODED}:
            self.end(state)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """What we do wrong ends this session, and says so: aiortc's tasks, which call us, would just close."""
        try:
            yield
        except Exception as why:  # noqa: BLE001 - whatever it is; no text, it may be private
            self._desk.log.error("session failed", kind=type(why).__name__)  # noqa: TRY400 - no traceback for that reason
            self.end("error")

    def _join(self) -> Place | None:
        """Take the place in the call; None when the session is over already."""
        if self._place is None and not self._over.is_set() and self._switchboard.full(self.claims):
            self.end("too-many-parties")  # others joined between our offer and now
        if self._place is None and not self._over.is_set():
            now = self._desk.clock.now()
            self._place = place = self._switchboard.join(self, self.name, self.claims, at=now)
            if place is None:
                self.end("too-many-parties")
                return None
            if self._consent is not None:
                self._switchboard.consent(place, self._config.consent, self._consent)
            if self._paused:
                self._pause(place, now)
        return self._place

    def _take(self, track: int, packet: Packet) -> None:
        """Take one packet of one track."""
        with self._guarded():
            self._keep(track, packet)

    def _keep(self, track: int, packet: Packet) -> None:
        arrived = self._desk.clock.now()
        place = self._place or self._join()
        if place is None or self._over.is_set():
            return
        self._follow(place, arrived)
        self._heard = arrived
        if not self._sounding.is_set():
            self._sounding.set()
            self._switchboard.heard(place, at=arrived)
        channel = self._channels.get(track)
        if channel is None:
            channel = Channel(self._desk, place.conversation.call, place.party, self._config.rate)
            self._channels[track] = channel
        channel.write(packet, arrived)

    def _follow(self, place: Place, at: Instant) -> None:
        """Into the call that goes on, when the core cut off the one before."""
        self._switchboard.goes_on(place.conversation, at=at)
        call = place.conversation.call
        if call is self._call:
            return
        before, self._call = self._call, call
        if before is None:
            return
        for channel in self._channels.values():
            channel.close(at)
        self._channels.clear()
        if self._sounding.is_set():
            self._switchboard.heard(place, at=at)
        if self._muted:
            call.emit(Muted(at=at, party=place.party))

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
        why, at = self.why, self._ended
        lost = why != HUNG_UP
        if lost and why != SUPERSEDED and self._sounding.is_set():
            at = min(at, self._heard)
        for channel in self._channels.values():
            channel.close(at)
        if self._place is not None:
            self._switchboard.leave(self._place, self, at=at, lost=lost)
        if why not in QUIET:
            self._desk.dropped("session", why)
            told = {"fix": FIXES[why]} if why in FIXES else {}
            self._desk.log.warning("publisher lost", why=why, **told)
