"""Phones whose calls are never recorded: however they come into a call, recording stops at once."""

from __future__ import annotations

import msgspec
import pytest

from vcond.sdk.contract import ArrivalClock, Codec, RecordingPaused
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import ManualClock
from vcond_asterisk import Config, wire
from vcond_asterisk.resync import resync
from vcond_asterisk.tracker import ChannelTracker

MS = 1_000_000
FRAME = 160


@pytest.fixture
def script(make_tracker, make_script):
    return make_script(make_tracker(exclude=["PJSIP/ceo*"]))


def renamed(script, name="PJSIP/ceo-0000000f"):
    script.channels["a1"]["name"] = name
    script.channels["a1"]["caller"] = {"name": "Dora", "number": "7009"}


@pytest.mark.parametrize("kind", ["ChannelStateChange", "ChannelCallerId", "ChannelConnectedLine", "ChannelHold"])
def test_an_excluded_phone_that_takes_a_channel_over_ends_the_recording(script, host, taps, kind):
    script.call()
    renamed(script)
    script.tell(kind, channel="a1")
    (call,) = host.calls
    assert call.over
    assert call.state.warnings[-1].code == "excluded"
    assert taps.on == {}
    assert "PJSIP/ceo" not in {fact.value for fact in call.state.facts}
    script.up("a1", "t1")
    script.destroyed("a1", "t1")
    assert len(host.calls) == 1


def test_an_excluded_phone_that_picks_up_before_anybody_talks(script, host, taps):
    script.created("t1", "PJSIP/trunk-01", number="+4930123456")
    script.created("a1", "PJSIP/agent-02", linked="t1", state="Ringing")
    renamed(script)
    script.channels["a1"]["state"] = "Up"
    script.bridge("b1", "t1", "a1")
    assert host.calls[0].over
    assert taps.on == {}


def test_a_transfer_to_an_excluded_phone_with_a_call_of_its_own(script, host, taps):
    """A desk phone connects its two calls: the excluded one's own was never recorded, the other ends there."""
    script.call()
    script.created("a2", "PJSIP/agent-02", number="7001")
    script.created("c1", "PJSIP/ceo-03", linked="a2", number="7009", state="Up")
    script.up("a2")
    for _ in range(1000):
        host.clock.advance(MS)
    script.channels["c1"]["channelvars"]["CHANNEL(linkedid)"] = "t1"
    script.leave("bt1", "a1")
    script.bridge("bt1", "c1")
    (call,) = host.calls
    assert call.over
    assert taps.on == {}
    assert call.state.ended == host.clock.now(), "what was said before they met is kept"


def test_a_call_over_the_limit_joins_none_either(make_tracker, make_script, host, taps):
    """That it was not recorded anyway does not hide that an excluded phone is in it."""
    script = make_script(make_tracker(exclude=["PJSIP/ceo*"], max_calls=1))
    script.call()
    script.call(trunk="t2", agent="a2")
    script.created("c1", "PJSIP/ceo-03", linked="t2", state="Up")
    script.bridge("bt1", "c1", "t2")
    assert host.calls[0].over
    assert taps.on == {}


def audio(host, call, party, since, count):
    track = call.track(party, at=since, codec=Codec.L16, rate=8000, clock=ArrivalClock())
    said = voice(1, count * FRAME / 8000)
    for i in range(count):
        track.write(said[i * FRAME : (i + 1) * FRAME].tobytes(), arrived=since + i * 20 * MS)
        host.clock.advance(20 * MS)
    return track


def test_what_was_said_while_nobody_could_know_is_taken_back(script, host, taps):
    """The phone took the channel over while events were lost: what was kept since then is erased."""
    script.call()
    (call,) = host.calls
    audio(host, call, 0, host.clock.now(), 50)
    lost = host.clock.now()
    audio(host, call, 0, lost, 50)
    renamed(script)
    lists = {
        "channels": wire.decode_channels(msgspec.json.encode(list(script.channels.values()))),
        "bridges": wire.decode_bridges(msgspec.json.encode([script.shown("bt1")])),
    }
    resync(script.tracker, host, taps, **lists, at=host.clock.now(), lost=lost)
    assert call.over
    assert call.state.ended == lost
    assert [event.at for event in call.events if isinstance(event, RecordingPaused)] == [lost]
    heard = [call.sounds[track.index].read(call.sounds[track.index].length) for track in call.state.tracks]
    assert heard[0].any(), "what was said before is kept"
    assert not heard[1][call.state.position(lost, 8000) :].any(), "nothing of what was said since then is left"


def test_an_excluded_phone_that_came_while_nobody_watched(taps):
    host = MemoryHost("asterisk", clock=ManualClock())
    tracker = ChannelTracker(host, Config(exclude=["PJSIP/ceo"]), taps)

    def channel(ident, name):
        return {"id": ident, "name": name, "state": "Up", "channelvars": {"CHANNEL(linkedid)": "t1"}}

    def lists(*channels):
        bridge = {"id": "b", "bridge_type": "mixing", "channels": [c["id"] for c in channels]}
        return {
            "channels": wire.decode_channels(msgspec.json.encode(channels)),
            "bridges": wire.decode_bridges(msgspec.json.encode([bridge])),
        }

    both = channel("t1", "PJSIP/trunk-01"), channel("a1", "PJSIP/agent-02")
    resync(tracker, host, taps, **lists(*both), at=host.clock.advance(MS), lost=None)
    lost = host.clock.advance(MS)
    resync(
        tracker, host, taps, **lists(*both, channel("c1", "PJSIP/ceo-03")), at=host.clock.advance(5000 * MS), lost=lost
    )
    (call,) = host.calls
    assert call.over
    assert call.state.ended == lost
    assert taps.on == {}
