"""Events that are lost while the event socket lives: the lists of the PBX say so, looked at twice."""

from __future__ import annotations

import asyncio

import pytest

from vcond_asterisk import compare


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
        await one.until(lambda: len(one.desk.by_key(staying).state.tracks) == 2)
        new, other = lost(one.pbx, lambda: (one.pbx.hang_up(old, agent), meet(one.pbx))[1])
        await asyncio.sleep(1)
        assert not one.desk.by_key(old).over
        heard = one.desk.by_key(old).state.known_until
        await one.until(lambda: one.desk.by_key(old).over, within=compare.EVERY + compare.AGAIN + 5)
        assert one.desk.by_key(old).state.ended <= heard + 1_000_000_000, "at its last audio"
        assert one.desk.by_key(old).state.cause.text == "lost"
        assert one.codes(new) == ["joined-late"]
        await one.until(lambda: len(one.desk.by_key(new).state.tracks) == 2)
        assert one.desk.by_key(new).state.answered is not None
        assert not one.desk.by_key(staying).over
        assert [ok for ok, _ in one.desk.attachments] == [True]
        (said,) = [line for line in capsys.readouterr().out.splitlines() if "did not say so" in line]
        assert "2" in said.partition("ended")[2]
        one.pbx.hang_up(new, other)
        await one.until(lambda: one.desk.by_key(new).over)
        assert len(one.desk.calls) == 3

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
        assert not one.desk.by_key(caller).over
        assert "did not say so" not in capsys.readouterr().out
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.desk.by_key(caller).over)

    world(main)


def test_helpers_that_could_not_be_removed_in_time_are_later(world):
    async def main(one):
        caller, agent = await one.call()
        one.pbx.hang = "DELETE"
        one.pbx.hang_up(agent, caller)
        await one.until(lambda: one.desk.by_key(caller).over)
        await asyncio.sleep(6)
        one.pbx.hang = ""
        assert one.pbx.helpers("vcond.") != []
        await one.until(lambda: one.pbx.helpers("vcond.") == [], within=compare.EVERY)
        assert [ok for ok, _ in one.desk.attachments] == [True]

    world(main)
