"""Pauses of a real Asterisk that begin before two are connected, and who takes somebody out of a call by ``Bridge()``.

What is looked for is as in ``test_pbx_daemon_consent.py``, and also in the log and in what a speech worker was given to hear.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from consent_kit import THERE, Asked, bases, told
from heard import GONE, marker, peak

pytestmark = pytest.mark.peer
HERE = Path(__file__).resolve().parent
KEYS = "45320151"
"""So many that no size, time or id has them by chance."""


@pytest.fixture
def ears(site, monkeypatch):
    """All that the site's speech workers were given to hear, as it is then."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    folder = site.vcond.root / "ears"
    folder.mkdir(parents=True)
    site.vcond.engine, site.vcond.speech = "ears_engine:Ears", f'model = "{folder}"'
    return (folder / "heard.pcm").read_bytes


async def agents_channel(site):
    """The PBX's own channel of the agent's phone."""
    channels = await site.pbx.ask("GET", "/channels")
    (channel,) = [one["id"] for one in channels if one["name"].startswith("PJSIP/agent-")]
    return channel


async def by_event(site, _) -> None:
    """Recording goes on, as a program says by a user event on the agent's channel."""
    query = {"application": site.app, "source": f"channel:{await agents_channel(site)}"}
    await site.pbx.ask("POST", "/events/user/VcondResume", **query)


async def by_variable(_, agent) -> None:
    """Recording goes on, as a feature of the PBX says by the variable of the agent's channel; the caller's has what paused it."""
    await agent.press("*8")


def taken(row, number: str) -> bool:
    """Whether who has that number is connected with somebody else in a call."""
    here = [one for one in row["parties"] if one["here"]]
    return len(here) == 2 and number in [one["tel"] for one in here]


@pytest.mark.parametrize(("extension", "goes_on"), [("640013", by_event), ("640016", by_variable)])
async def test_a_pause_of_before_the_two_are_connected_is_of_both_until_it_ends(site, judge, ears, extension, goes_on):
    asked = Asked(site, judge, 'mode = "ask"')
    async with site.running() as vcond:
        caller = await site.farm.dial(extension, site.number)
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        await caller.up()
        uuid = await asked.opened(vcond)
        await asked.consent(vcond, uuid, p0="granted", p1="granted")
        await site.tapped(vcond, uuid, 2)
        (call,) = await vcond.ask("calls")
        assert (call["paused"], call["paused_by"]) == (True, ["platform"])
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        await caller.press(KEYS)
        await vcond.ticks(4)
        asked.check_disk(set(), {1, 2})
        await goes_on(site, agent)
        await vcond.until("call", lambda call: not call["paused"], call=uuid)
        await asked.says(caller, 3)
        await asked.says(agent, 4)
        await vcond.ticks(4)
        asked.check_disk({3, 4}, {1, 2})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    record = asked.check_vcon(document, {0: {3}, 1: {4}, 9: {1, 2}})
    assert [m for m in record.moments if "key" in m[1]] == []
    (pause,) = record.report["pauses"]
    assert (pause["by"], pause["reason"]) == ("platform", "card")
    worker = {seed: round(peak(marker(seed), ears()), 3) for seed in (1, 2, 3, 4)}
    print(f"in what a worker was given to hear: {worker}")
    assert max(worker[1], worker[2]) <= GONE
    assert min(worker[3], worker[4]) >= THERE, "the search finds what was heard"
    log = (site.vcond.root / "vcond.log").read_bytes()
    assert max(peak(marker(seed), log) for seed in (1, 2)) <= GONE
    assert KEYS.encode() not in log


@pytest.mark.parametrize("agrees", [True, False])
async def test_who_takes_the_agent_out_of_a_call_by_bridge_is_kept_from_when_he_agreed(site, judge, agrees):
    asked = Asked(site, judge, 'mode = "ask"')
    number = f"{site.number[:-1]}7"
    async with site.running() as vcond:
        caller, agent, _ = await asked.connected(vcond, "640005", p0="granted", p1="granted")
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        third = await site.farm.dial("640014" if agrees else "640015", number, name="Cleo Third")
        await third.up()
        rows = await vcond.until("calls", lambda rows: any(taken(row, number) for row in rows))
        row = next(row for row in rows if taken(row, number))
        place = next(n for n, one in enumerate(row["parties"]) if one["tel"] == number)
        await site.tapped(vcond, row["call"], len(row["parties"]))
        await asked.consent(vcond, row["call"], **{f"p{place}": "granted" if agrees else "unknown"})
        await asked.says(third, 5)
        await asked.says(agent, 4)
        await vcond.ticks(4)
        kept, gone = ({1, 2, 4, 5}, set()) if agrees else ({1, 2, 4}, {5})
        asked.check_disk(kept, gone)
        await third.hang_up()
        documents = await vcond.delivered(1)
    document = next(one for one in documents if one["uuid"] == row["call"])
    if place == 2:
        asked.check_vcon(document, {0: {1}, 1: {2, 4}, 2: kept & {5}, 9: gone})
    assert [one["state"] for one in told(document, place)] == (["granted"] if agrees else [])
    assert (place in bases(document)) is agrees
