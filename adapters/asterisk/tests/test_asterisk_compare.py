"""Events that are lost while the event socket lives: the lists of the PBX say so, looked at twice."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from vcond.sdk.contract import Cause, PartyLeft
from vcond_asterisk import compare, wire
from vcond_asterisk.asking import Asking


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(compare, "EVERY", 15.0)


@pytest.fixture
def lost(monkeypatch):
    """Runs something whose events nobody hears."""

    def run(pbx, action):
        with monkeypatch.context() as silent:
            silent.setattr(pbx, "send", lambda *_: None)
            return action()

    return run


def test_calls_that_ended_and_calls_that_began_without_a_word(world, lost, capsys):
    def meet(pbx):
        caller = pbx.channel("PJSIP/trunk", number="+4930123457", state="Up")
        agent = pbx.channel("PJSIP/agent", linked=caller, number="7002", state="Up")
        pbx.bridge(caller, agent)
        return caller, agent

    async def main(one):
        old, agent = await one.call()
        staying, _ = await one.call()
        await one.until(lambda: len(one.host.by_key(staying).state.tracks) == 2)
        new, other = lost(one.pbx, lambda: (one.pbx.hang_up(old, agent), meet(one.pbx))[1])
        await asyncio.sleep(1)
        assert not one.host.by_key(old).over
        heard = one.host.by_key(old).state.known_until
        await one.until(lambda: one.host.by_key(old).over, within=compare.EVERY + compare.AGAIN + 5)
        assert one.host.by_key(old).state.ended <= heard + 1_000_000_000, "at its last audio"
        assert one.host.by_key(old).state.cause.text == "lost"
        assert one.codes(new) == ["joined-late"]
        await one.until(lambda: len(one.host.by_key(new).state.tracks) == 2)
        assert one.host.by_key(new).state.answered is not None
        assert not one.host.by_key(staying).over
        assert [ok for ok, _ in one.host.attachments] == [True]
        (said,) = [line for line in capsys.readouterr().out.splitlines() if "missed Asterisk events" in line]
        assert "2" in said.partition("ended")[2]
        one.pbx.hang_up(new, other)
        await one.until(lambda: one.host.by_key(new).over)
        assert len(one.host.calls) == 3

    world(main)


def test_one_look_alone_decides_nothing(world, monkeypatch, capsys):
    """The channel is in one list only of two."""

    async def main(one):
        caller, agent = await one.call()
        channels, looks = one.pbx.channels, []

        def listed(ari):
            looks.append(ari)
            return real(ari)

        real = compare.Ari.channels
        monkeypatch.setattr(compare.Ari, "channels", listed)
        hidden = {caller: channels.pop(caller)}
        await one.until(lambda: len(looks) == 1)
        channels.update(hidden)
        await one.until(lambda: len(looks) == 2, within=compare.AGAIN + 1)
        await asyncio.sleep(2)
        assert not one.host.by_key(caller).over
        assert "missed Asterisk events" not in capsys.readouterr().out
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)

    world(main)


def test_helpers_that_could_not_be_removed_in_time_are_later(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.hang = "DELETE"
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.host.by_key(caller).over)
        await asyncio.sleep(6)
        one.pbx.hang = ""
        assert one.pbx.helpers("vcond.") != []
        await one.until(lambda: one.pbx.helpers("vcond.") == [], within=compare.EVERY)
        assert [ok for ok, _ in one.host.attachments] == [True]

    world(main)


class Lists:
    """An ARI that lists ``there`` of a script's channels."""

    def __init__(self, script, *there):
        self.script, self.there = script, there

    async def channels(self):
        return wire.decode_channels(msgspec.json.encode([self.script.channels[one] for one in self.there]))

    async def bridges(self):
        return []


class Waiting:
    """An event socket in which something waits to be told."""

    def __init__(self, tell=lambda: None, *, over=False):
        self.caught, self.over = tell, over

    async def caught_up(self):
        self.caught()


@pytest.fixture
def comparing(script, tracker, host, taps):
    async def nothing(*_):
        return 0

    def make(*there):
        ari = Lists(script, *there)
        taps.remove_orphans = nothing
        return compare.Comparing(ari, tracker, host, taps, Asking(ari, tracker, host))

    return make


async def test_events_that_came_before_the_answer_are_told_first(script, tracker, host, comparing):
    script.call()
    look, waiting = comparing(), Waiting()
    await look.look(waiting)
    assert (set(tracker.legs), look.pause) == ({"t1", "a1"}, compare.AGAIN)
    waiting.caught = lambda: script.destroyed("a1", cause=31)
    await look.look(waiting)
    (call,) = host.calls
    assert (call.over, look.pause) == (True, compare.EVERY)
    left = [event.cause for event in call.events if isinstance(event, PartyLeft)]
    assert left == [Cause(q850=31), Cause(text="lost")]


async def test_what_an_event_tells_meanwhile_is_not_new(script, tracker, host, comparing):
    script.channel("t1", "PJSIP/trunk-01", state="Up")
    look, waiting = comparing("t1"), Waiting()
    await look.look(waiting)
    waiting.caught = lambda: script.created("t1", "PJSIP/trunk-01", state="Up", number="+4930123456")
    await look.look(waiting)
    assert [warning.code for warning in host.calls[0].state.warnings] == []
    assert look.pause == compare.EVERY


async def test_doubts_of_one_event_socket_do_not_count_for_the_next(script, tracker, comparing):
    script.call()
    look = comparing()
    await look.look(Waiting())
    await look.look(Waiting())
    assert set(tracker.legs) == {"t1", "a1"}


async def test_nothing_is_decided_when_the_event_socket_is_over(script, tracker, comparing):
    script.call()
    look, waiting = comparing(), Waiting()
    await look.look(waiting)
    waiting.over = True
    await look.look(waiting)
    assert set(tracker.legs) == {"t1", "a1"}
