"""Events in any order, with any content: nothing raises, nothing unlawful is told, everything ends."""

from __future__ import annotations

from contextlib import suppress

import pytest
from fskit import Ears, events, raw
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from vcond.sdk.contract import Instant, ProtocolError
from vcond.testing.changed import spoiled
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import HEADERS, Event, decode
from vcond_freeswitch.tracker import ChannelTracker
from vcond_freeswitch.wire import Decoder

SOURCES = ("blind_transfer_by_callee.json", "blind_transfer_by_caller.json", "attended_transfer.json", "conference.json",
           "queue_callcenter.json", "hold_unhold.json", "dtmf.json", "uuid_transfer_api.json")  # fmt: skip
RECORDED = {name: events(name) for name in SOURCES}
LEGS = st.sampled_from(["a", "b", "c", "d", ""])
NAMES = st.sampled_from(
    ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_HOLD", "CHANNEL_UNHOLD",
     "CHANNEL_UUID", "CALL_UPDATE", "DTMF", "CHANNEL_HANGUP_COMPLETE", "CUSTOM", "HEARTBEAT", "NEW_IN_1_12"]
)  # fmt: skip
TEXT = st.text(max_size=12)
FIELDS = {
    "leg": LEGS, "old_leg": LEGS, "other": LEGS, "bridge_a": LEGS, "bridge_b": LEGS, "queue_member": LEGS,
    "cc_member_leg": LEGS, "cc_agent_leg": LEGS, "name": NAMES,
    "subclass": st.sampled_from(["conference::maintenance", "callcenter::info"]),
    "action": st.sampled_from(["add-member", "del-member", ""]),
    "cc_action": st.sampled_from(["bridge-agent-start", ""]),
    "conference": st.sampled_from(["3001", ""]),
    "direction": st.sampled_from(["inbound", "outbound", ""]),
    "transfer_to": st.sampled_from(["", "blind:a", "blind:b", "att:c", "att:", "x"]),
    "transfer_source": st.sampled_from(["", "1:2:bl_xfer:1003/default/XML", ":bl_xfer:", "1:2:uuid_br:a"]),
    "hung_up": st.sampled_from(["recv_bye", "send_bye", "recv_cancel", ""]),
    "stamp": st.integers(0, 10**16).map(str) | TEXT,
    "digit": st.sampled_from(list("0*#Ax")) | TEXT,
    "call_state": st.sampled_from(["ACTIVE", "HELD", "RINGING"]),
    "app": st.sampled_from(["", "park", "eavesdrop", "three_way", "att_xfer", "conference"]), "app_data": LEGS,
    "codec_channels": st.sampled_from(["", "1", "2"]),
}  # fmt: skip
EVENTS = st.fixed_dictionaries({}, optional={field: FIELDS.get(field, TEXT) for field in HEADERS}).map(
    lambda fields: Event(**fields)
)


def tell(told: list[Event], step: int = 20_000_000) -> MemoryHost:
    clock = ManualClock(NOON)
    host = MemoryHost("freeswitch", clock=clock)
    tracker = ChannelTracker(host, Config(), Ears())
    for event in told:
        arrived = clock.advance(step)
        for channel in tracker.unknown(event):
            if channel in {"a", "b"}:  # the others were gone when they were asked for
                tracker.found(Event(name="CHANNEL_DATA", leg=channel, stamp=event.stamp, answered=event.stamp), arrived)
        tracker.event(event, arrived)
        tracker.let_go(Instant(clock.now() + 3_000_000_000))
    tracker.all_lost(clock.advance(step), "test")
    assert not tracker.legs
    assert not host.open_calls()
    for call in host.calls:
        host.state_from_events(call)
    return host


WIRE = [
    raw(f"{name}.{form}.s2c.bin") for name in ("basic", "hold_unhold", "callerid_latin1") for form in ("json", "plain")
]
FRAMES = [frame for data in WIRE for frame in Decoder().feed(data)]
PIECES = [
    b"\n", b"\n\n", b"\0", b"\xff", b"{", b"[" * 3000, b'{"a":' * 2000, b'"', b"%0a", b"%", b"Content-Length: 5\n", b"Content-Length: -1\n",
    b"Content-Type: text/event-json\n", b"Event-Name: X\n", b"9" * 400, b"null", b"\\ud800", b"ARRAY::a|:b",
]  # fmt: skip


@pytest.mark.fuzz
def test_what_comes_on_the_wire_is_frames_and_events_or_breaks_the_protocol(fuzz):
    for chance in fuzz.rounds(20_000):
        frame = chance.choice(FRAMES)
        with suppress(ProtocolError):
            event = decode(frame._replace(body=spoiled(frame.body, chance, PIECES)), ("a", "consent"))
            assert isinstance(event, Event)
        if chance.random() < 0.05:
            with suppress(ProtocolError):
                Decoder().feed(spoiled(chance.choice(WIRE)[:6000], chance, PIECES))


@pytest.mark.fuzz
def test_any_events_in_any_order(fuzz):
    @given(st.lists(EVENTS, max_size=30))
    def one(told):
        assert tell(told).faults == []

    fuzz.examples(300, one)


@pytest.mark.fuzz
def test_recorded_events_that_are_lost_doubled_and_swapped(fuzz):
    fuzz.examples(120, given(st.sampled_from(SOURCES), st.randoms(use_true_random=False), st.integers(0, 12))(changed))


def changed(name, random, changes):
    told = list(RECORDED[name])
    for _ in range(changes):
        where, what = random.randrange(len(told)), random.randrange(3)
        if what == 0 and len(told) > 2:
            del told[where]
        elif what == 1:
            told.insert(where, told[random.randrange(len(told))])
        else:
            other = min(where + 1, len(told) - 1)
            told[where], told[other] = told[other], told[where]
    assert tell(told).faults == []


@pytest.mark.fuzz
def test_one_header_with_anything_in_it(fuzz):
    fuzz.examples(60, given(st.sampled_from(SOURCES), st.sampled_from(sorted(HEADERS)), TEXT)(one_header))


def one_header(name, field, text):
    if field in {"leg", "old_leg", "other", "bridge_a", "bridge_b", "cc_agent_leg", "cc_member_leg", "queue_member"}:
        text = "x" * len(text)
    tell([structs.replace(event, **{field: text}) for event in RECORDED[name]])


@pytest.mark.parametrize("new", ["", "a", "b"])
def test_a_channel_that_is_named_badly_anew_stays_who_it_was(new):
    up = [Event(name="CHANNEL_ANSWER", leg=leg, stamp="0", call_state="ACTIVE") for leg in ("a", "b")]
    host = tell([*up, Event(name="CHANNEL_UUID", leg=new, old_leg="a")])
    assert all(call.over for call in host.calls)
