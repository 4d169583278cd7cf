"""One publisher from its answer to its end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from vcond.sdk.contract import SECOND, AdapterHost, Instant
from vcond.sdk.mistakes import mistake
from vcond_webrtc.calls import CallTracker
from vcond_webrtc.channel import Packet
from vcond_webrtc.claims import Claims
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.peer import DTLS_FAILED, FLOODED, ICE_FAILED, Peer
from vcond_webrtc.presence import Presence

HUNG_UP: Final = "hung-up"
SUPERSEDED: Final = "superseded"
STOPPING: Final = "stopping"
FIXES: Final = {
    DTLS_FAILED: "UDP arrives, but no DTLS handshake succeeds: the publisher needs a certificate on P-256; see its log",
    ICE_FAILED: "no UDP arrived: check addresses, ports, advertise, turn, the firewall; vcond check tests the servers",
    "no-connection": "no UDP arrived, or no handshake: check addresses, ports, advertise, turn and the firewall",
}
"""What the operator can do when a publisher is lost."""
QUIET: Final = frozenset({HUNG_UP, SUPERSEDED, STOPPING, "closed"})
"""Ends that happen in the normal course of things; the others are counted as dropped."""


class Session:
    """A WHIP session: joins its call once it is connected, and leaves it when it is over."""

    def __init__(
        self, name: str, host: AdapterHost, tracker: CallTracker, config: WebRtcConfig, claims: Claims,
        consent: Instant | None, *, paused: bool = False,
    ) -> None:  # fmt: skip
        """``paused``: the recording is paused by this party from the moment it joins, before any of it is kept."""
        self.name = name
        """In its URL; a secret of publisher and vcond."""
        self.tag = secrets.token_hex(8)
        """The entity tag of its ICE session (RFC 9725 section 4.3.1), of which there is one only."""
        self.claims = claims
        self.peer = Peer(config, self._take, now=host.clock.now())
        self._host = host
        self._tracker = tracker
        self._config = config
        self._consent = consent
        self._paused = paused
        self.presence: Presence | None = None
        """In its call, once it is connected."""
        self.why = ""
        """Why it is over."""
        self.on_over: Callable[[], None] | None = None
        """Called once when it is over."""
        self._over = asyncio.Event()
        self._ended = Instant(0)
        self._sounding = asyncio.Event()

    async def answer(self, offer: str) -> str:
        """The answer to the offer; see ``Peer.answer`` for what is raised."""
        return await self.peer.answer(offer, self._on_state)

    def end(self, why: str) -> None:
        """It is over. The first reason counts."""
        if not self._over.is_set():
            self.why, self._ended = why, self._host.clock.now()
            self._over.set()
            if self.on_over is not None:
                self.on_over()

    def supersede(self) -> None:
        """The same party publishes anew."""
        self.end(SUPERSEDED)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    async def run(self) -> None:
        """Live to the end, then leave the call and close the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                await self._over.wait()
                watch.cancel()
        finally:
            try:
                self._leave()
            finally:  # its socket and ports are given back whatever fails
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
            mistake(self._host, "a session", why)
            self.end("error")

    def _join(self) -> Presence | None:
        """Take the place in the call; None when the session is over before it has one."""
        if self.presence is not None or self._over.is_set():
            return self.presence
        now = self._host.clock.now()
        # others may have joined between our offer and now
        full = self._tracker.full(self.claims)
        place = None if full else self._tracker.join(self, self.name, self.claims, at=now)
        if place is None:
            self.end("too-many-parties")
            return None
        self.presence = presence = Presence(self._host, self._tracker, place, self._config.rate)
        if self._consent is not None:
            self._tracker.consent(place, self._config.consent, self._config.consent_for, self._consent)
        if self._paused:
            presence.pause(now)  # the moment of joining: nothing lies before it
        return presence

    def _take(self, track: int, packet: Packet) -> None:
        """Take one packet of one track."""
        with self._guarded():
            arrived = self._host.clock.now()
            presence = self.presence or self._join()
            if presence is None or self._over.is_set():
                return
            presence.write(track, packet, arrived)
            if not self._sounding.is_set():
                self._sounding.set()

    async def _watch(self) -> None:
        """End the session when nothing comes: at all, or any more."""
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                await self._sounding.wait()
        except TimeoutError:
            self.end("no-connection" if self.presence is None else "never-heard")
            return
        limit, here = round(self._config.media_timeout * SECOND), self.presence
        assert here is not None
        assert here.heard is not None
        while (rest := here.heard + limit - self._host.clock.now()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(rest / SECOND)
        self.end("no-media")

    def _leave(self) -> None:
        self.end(STOPPING)
        why, at = self.why, self._ended
        lost = why != HUNG_UP
        here = self.presence
        if here is not None:
            if lost and why != SUPERSEDED and here.heard is not None:
                at = min(at, here.heard)
            here.close(at)
            self._tracker.leave(here.membership, self, at=at, lost=lost)
        if why not in QUIET:
            self._host.dropped("session", why)
            told = {"hint": FIXES[why]} if why in FIXES else {}
            self._host.log.warning("publisher lost", error=why, **told)
