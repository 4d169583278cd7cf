"""Somebody who publishes, as the call has him: what is heard of him, his microphone, and his pauses of the recording."""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, Instant, Muted, RecordingPaused, RecordingResumed, Unmuted
from vcond_webrtc.calls import CallTracker, Membership
from vcond_webrtc.channel import Channel, Packet


class Presence:
    """In a call from the moment it is made; in the one that goes on, when the core cut that off."""

    def __init__(self, host: AdapterHost, tracker: CallTracker, membership: Membership, rate: int) -> None:
        """``rate`` of the audio that is kept, Hz."""
        self.membership = membership
        self.heard: Instant | None = None
        """When the latest frame came."""
        self._host = host
        self._tracker = tracker
        self._rate = rate
        self._call = membership.conversation.call
        self._channels: dict[int, Channel] = {}
        self._muted = False

    def write(self, track: int, packet: Packet, arrived: Instant) -> None:
        """Take one packet of one track."""
        self._follow(arrived)
        first, self.heard = self.heard is None, arrived
        if first:
            self._tracker.heard(self.membership, at=arrived)
        channel = self._channels.get(track)
        if channel is None:
            channel = self._channels[track] = Channel(self._host, self._call, self.membership.party, self._rate)
        channel.write(packet, arrived)

    def mute(self, *, on: bool) -> bool:
        """The person muted the microphone, or opened it again. True: nothing stands against it."""
        if on != self._muted:
            now = self._host.clock.now()
            self._follow(now)
            self._muted, party = on, self.membership.party
            self._call.emit(Muted(at=now, party=party) if on else Unmuted(at=now, party=party))
        return True

    def pause(self, at: Instant | None = None) -> bool:
        """The person pauses the recording of the whole call, now or from a moment on. Whether it is paused now."""
        now = self._host.clock.now() if at is None else at
        self._follow(now)
        self._call.emit(RecordingPaused(at=now, by="party", party=self.membership.party))
        return self._call.state.paused

    def resume(self) -> bool:
        """The person lets the recording go on. False when others still have it paused."""
        now = self._host.clock.now()
        self._follow(now)
        party = self.membership.party
        if self._call.state.ending("party", party):
            self._call.emit(RecordingResumed(at=now, by="party", party=party))
        return not self._call.state.paused

    def close(self, at: Instant) -> None:
        """Nothing more is heard of him."""
        for channel in self._channels.values():
            channel.close(at)
        self._channels.clear()

    def _follow(self, at: Instant) -> None:
        """Into the call that goes on, when the core cut off the one before."""
        self._tracker.goes_on(self.membership.conversation, at=at)
        call = self.membership.conversation.call
        if call is self._call:
            return
        self._call = call
        self.close(at)
        if self.heard is not None:
            self._tracker.heard(self.membership, at=at)
        if self._muted:
            call.emit(Muted(at=at, party=self.membership.party))
