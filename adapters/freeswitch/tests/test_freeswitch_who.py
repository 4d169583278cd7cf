"""Who a channel is: the same phone, calling or called, is the same; who is shown is not who it is."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from fskit import Ears, drive, events
from fslab import Lab, lab

from vcond.sdk.contract import hides
from vcond.testing.host import MemoryHost
from vcond.testing.time import NOON, ManualClock
from vcond_freeswitch.config import Config
from vcond_freeswitch.events import Event, number
from vcond_freeswitch.parties import who
from vcond_freeswitch.tracker import ChannelTracker


def called(**more: str) -> Event:
    told = {"channel": "sofia/internal/1001@10.0.0.7:5060", "direction": "outbound", "to_uri": "1001@10.0.0.7:5060"}
    return Event(leg="x", **{**told, **more})


@pytest.mark.parametrize(
    "event",
    [
        Event(leg="x", direction="inbound", caller_number="1001", from_uri="1001@pbx.example.com"),
        called(callee_number="1001", dialed_user="1001", dialed_domain="pbx.example.com"),
        called(callee_number="1001", invite_domain="pbx.example.com"),
        called(destination="1001", dialed_user="1001", dialed_domain="pbx.example.com:5060"),
    ],
)
def test_the_same_phone_calling_or_called(event):
    assert who(event, Config()).sip == "1001@pbx.example.com"


@pytest.mark.parametrize("number", ["anonymous", "Restricted", "Private Number", "number withheld", "0000000000"])
@pytest.mark.parametrize("name", ["", "same", "Ada Lovelace"])
def test_a_word_for_a_hidden_number_hides_however_it_is_written(number: str, name: str):
    name = number if name == "same" else name
    event = Event(leg="x", direction="inbound", caller_number=number, caller_name=name, from_uri="x@pbx.example.com")
    assert hides(who(event, Config()))
    assert not hides(
        who(Event(leg="x", direction="inbound", caller_number="1001", caller_name="Private Bank"), Config())
    )


def test_a_domain_that_is_configured_is_that_of_all():
    event = called(callee_number="1001", dialed_user="1001", dialed_domain="10.0.0.1")
    assert who(event, Config(domain="example.org")).sip == "1001@example.org"


def test_click_to_dial_is_named_after_the_phone_and_not_after_what_it_was_shown():
    """``originate {origination_caller_id_name=Dialer,origination_caller_id_number=4930111}user/1001 ...``"""
    shown = {"shown_number": "4930111222", "callee_number": "4930111222", "callee_name": "Dialer"}
    phone = called(dialed_user="1001", dialed_domain="pbx.example.com", destination="1001", **shown)
    assert (who(phone, Config()).sip, who(phone, Config()).tel, who(phone, Config()).name) == (
        "1001@pbx.example.com",
        "",
        "",
    )
    trunk = called(destination="+15550100", **shown)
    assert (who(trunk, Config()).tel, who(trunk, Config()).name) == ("+15550100", "")


@pytest.mark.parametrize("more", [{"hide_number": "true"}, {"hide_name": "true"}])
def test_a_caller_who_asked_for_privacy_is_hidden(more):
    caller = Event(leg="x", direction="inbound", caller_number="+15550100", caller_name="Ann", **more)
    assert who(caller, Config()).hidden
    assert not who(called(callee_number="1001", **more), Config()).hidden, "it is the caller's wish, not the callee's"


def test_real_captures_name_the_callee_as_they_name_the_caller():
    parties = [party.who.sip for party in drive("early").call.state.parties]
    assert parties == ["1001@pbx.example.com", "1002@pbx.example.com"]


def test_a_channel_that_becomes_an_excluded_one_ends_the_recording():
    run = drive("basic.json", config=Config(exclude=["sofia/internal/boss@*"]))
    assert run.ears.started
    tracker = run.tracker
    created = Event(name="CHANNEL_CREATE", leg="a", channel="sofia/internal/1001@x", direction="inbound")
    for event in (created, Event(name="CHANNEL_ANSWER", leg="a", channel="sofia/internal/1001@x")):
        tracker.event(event, run.host.clock.now())
    assert run.host.open_calls()
    tracker.event(Event(name="CALL_UPDATE", leg="a", channel="sofia/internal/boss@x"), run.host.clock.now())
    assert not run.host.open_calls()
    assert run.host.calls[-1].state.warnings[-1].code == "excluded"


# Who only listens in.


@pytest.mark.parametrize("record", [False, True])
def test_a_supervisor_who_eavesdrops_is_no_call_of_his_own(record):
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            await it.listened(one, two)
            spy = it.switch.create(number="1009", label="Boss", destination="881001")
            spy.app = "answer"
            it.switch.answer(spy)
            spy.app = "eavesdrop"  # before vcond can ask
            await asyncio.sleep(2)
            assert bool(spy.bugs) is record
            it.switch.hang_up(spy)
            it.switch.end(one, two)
            await it.over(one.uuid)
            await asyncio.sleep(1)
            assert [call.key for call in it.host.calls] == [one.uuid, *([spy.uuid] if record else [])]

    lab(main, record_supervisors=record)


# What ended without a word.


def test_channels_that_vanish_without_an_event_end_their_call_within_minutes():
    async def main(it: Lab) -> None:
        async with it.attached():
            one, two = it.switch.call()
            other, peer = it.switch.call()
            await it.listened(one, two, other, peer)
            for channel in (one, two):
                it.switch.channels.pop(channel.uuid)
            await it.until(lambda: it.host.by_key(one.uuid).over, within=200)
            assert not it.host.by_key(other.uuid).over
            it.switch.end(other, peer)
            await it.over(other.uuid)

    lab(main)


def test_a_call_that_no_channel_belongs_to_is_ended():
    async def main(it: Lab) -> None:
        async with it.attached():
            await asyncio.sleep(5)
            stray = it.host.call("stray", at=it.host.clock.now())
            await it.until(lambda: stray.over, within=200)

    lab(main)


def test_who_joined_while_vcond_was_down_joined_when_he_was_answered():
    """Capture late_after_xfer: vcond dies at 1 s and is back at 8 s; the transfer was at 2.4, its target up at 2.76."""
    told = events("late_after_xfer")
    begun = number(told[0].stamp)
    clock = ManualClock()

    def until(tracker: ChannelTracker, since: float, stop: float) -> None:
        for event in told:
            at = (number(event.stamp) - begun) / 1e6
            if since <= at < stop:
                clock.advance(max(0, NOON + round(at * 1e9) - clock.now()))
                tracker.event(event, clock.now())

    first = MemoryHost("freeswitch", clock=clock)
    until(ChannelTracker(first, Config().checked(), Ears()), 0, 1)
    clock.advance(NOON + 8_000_000_000 - clock.now())
    host = MemoryHost.after_crash(first)
    tracker = ChannelTracker(host, Config().checked(), Ears())
    dumps = {e.leg: e for e in told if e.name == "CALL_UPDATE" and 2.7 < (number(e.stamp) - begun) / 1e6 < 8}
    assert len(dumps) == 2
    for _ in range(2):
        for event in sorted(dumps.values(), key=lambda one: one.created):
            stamp = str(begun + 8_000_000)
            tracker.found(msgspec.structs.replace(event, stamp=stamp), clock.now())
    tracker.adopt(list(host.unfinished()), clock.now())
    for conversation in tracker.conversations():
        conversation.settle(clock.now())
    until(tracker, 8, 20)
    (call,) = host.calls
    moments = {(m.party, m.event): round((m.at - call.state.opened) / 1e9, 1) for m in call.state.history}
    assert call.over
    assert (moments[2, "join"], moments[1, "drop"] <= 1.0) == (2.8, True)
    assert call.state.transfers == []


@pytest.mark.parametrize("why", ["disk", "too-large"])
def test_who_is_in_a_call_that_cannot_be_merged_is_recorded_in_the_other(why):
    run = drive("attended_transfer.json", unmergeable=why, drops=1)
    kept, other = run.host.calls
    assert (kept.over, other.over) == (True, True)
    assert [party.who.sip for party in kept.state.parties] == [f"100{n}@127.0.0.1" for n in (1, 2, 2, 3)]
    assert [warning.code for warning in other.state.warnings] == ["not-merged"]
    assert not run.tracker.legs
    assert not run.host.open_calls()
