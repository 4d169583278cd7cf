"""After every connect: what there is on the PBX now, against what we believed. Events of the gap are lost for ever."""

from __future__ import annotations

from collections.abc import Sequence

from vcond.sdk.contract import AdapterHost, Cause, Instant, LiveCall, Warned
from vcond_asterisk.calls import Conversation, Taps
from vcond_asterisk.facts import channels_of, party_of_channel
from vcond_asterisk.parties import LOCAL
from vcond_asterisk.tracker import ChannelTracker
from vcond_asterisk.wire import Bridge, Channel


def resync(
    tracker: ChannelTracker,
    host: AdapterHost,
    taps: Taps,
    *,
    channels: Sequence[Channel],
    bridges: Sequence[Bridge],
    at: Instant,
    lost: Instant | None,
) -> None:
    """Make the tracker agree with lists of all channels and bridges, taken at ``at``.

    ``lost`` is when the events stopped; None at the first connect. Calls that vanished are ended, calls of an earlier
    run that still go on are taken up again, calls that nobody knew are opened from now on.
    """
    for conversation in tracker.conversations:
        conversation.look(at)
    if lost is not None:
        for conversation in tracker.conversations:
            text = "the PBX could not be heard for a while: holds, digits and transfers of that time are unknown"
            conversation.emit(Warned(at=lost, code="events-lost", text=text))
    _forget_gone(tracker, taps, channels, at, lost)
    tracker.bridges.clear()
    for leg in tracker.legs.values():
        leg.bridge = ""
    redraw(tracker, channels, bridges, at, lost)
    take_up(tracker, host, at)
    for conversation in tracker.conversations:
        conversation.again(at)


def gone(tracker: ChannelTracker, channels: Sequence[Channel]) -> set[str]:
    """Channels that we believe in and that are not in a list of all."""
    live = {channel.id for channel in channels}
    legs = {leg.channel for leg in tracker.legs.values() if (leg.runs_on or leg.channel) not in live}
    return legs | (tracker.locals.keys() - live)


def _forget_gone(
    tracker: ChannelTracker, taps: Taps, channels: Sequence[Channel], at: Instant, lost: Instant | None
) -> None:
    def when(channel: str) -> Instant:
        leg = tracker.legs.get(channel)
        return min(at, taps.last_heard(leg) or lost or at) if leg is not None else at

    for moment, _, channel in sorted((when(one), one in tracker.locals, one) for one in gone(tracker, channels)):
        tracker.channels.remove(channel, moment, Cause())


def redraw(
    tracker: ChannelTracker, channels: Sequence[Channel], bridges: Sequence[Bridge], at: Instant, lost: Instant | None
) -> None:
    """Tell the tracker of channels and bridges as they are now; what is new may be so since ``lost``."""
    for bridge in bridges:
        tracker.channels.bridged(bridge)
    for channel in sorted(channels, key=_oldest_first):
        tracker.channels.seen(channel, at, late=True, since=lost)
    for bridge in bridges:
        tracker.channels.meet(bridge.id, at)
    for channel in channels:
        if channel.technology == LOCAL:  # what runs on it is a bot when somebody is there, who is known only now
            tracker.channels.seen(channel, at, late=True, since=lost)
    tracker.channels.bots.release_idle(at)


def _oldest_first(channel: Channel) -> tuple[bool, str, bool]:
    """Asterisk lists channels in no order. Local ones first, which lead nobody; the first of a call has its linkedid."""
    return channel.technology != LOCAL, channel.creationtime, channel.linkedid not in {"", channel.id}


def take_up(tracker: ChannelTracker, host: AdapterHost, at: Instant) -> None:
    """Let conversations that were found go on with calls that none has; end the rest of those.

    Channels of them that are not there are gone: what the PBX still tells of them is late, and no other call.
    """
    ours = {conversation.call.uuid for conversation in tracker.conversations if conversation.call is not None}
    left = [call for call in (*host.unfinished(), *host.open_calls()) if call.uuid not in ours]
    for channel in set().union(*map(channels_of, left)):
        if not tracker.channels.wiring.knows(channel):
            tracker.channels.wiring.went(channel)
    for conversation in tracker.conversations:
        if not conversation.waiting:
            continue
        mine = [] if conversation.refused else [call for call in left if _same(call, conversation)]
        for call in mine:
            left.remove(call)
            again = host.call(call.key, at=at)
            if conversation.call is None:
                conversation.adopt(again, at)
            else:
                conversation.take_in(again, at)
        conversation.waiting = False
        conversation.settle(at)
        conversation.late = False
    for call in left:
        last = call.state.known_until
        text = "the call ended while vcond was disconnected; its end is that of the recorded audio"
        call.emit(Warned(at=last, code="ended-unseen", text=text))
        call.end(at=last, cause=Cause(text="lost"))


def _same(call: LiveCall, conversation: Conversation) -> bool:
    if call.key in conversation.ids:
        return True
    return any(party_of_channel(call, channel) is not None for channel in conversation.legs)
