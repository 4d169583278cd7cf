"""Whose voice may be kept, asked by the dial plan of a real Asterisk: what is in the vCon and on the disk, and what is not.

What is looked for is white noise of a seed of its own, in every file under the state folder and in the vCon. Where it must
not be its correlation peak is at most ``GONE``; the same search finds what was kept.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from consent_kit import ASK, Asked, bases, grants

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("before", ["nothing", "buffer"])
async def test_who_agrees_by_key_is_recorded_from_there_and_who_refuses_is_nowhere(site, judge, before):
    """With ``buffer`` what was said before is in memory until then, and recorded after that."""
    asked = Asked(site, judge, f'{ASK}\nuntil_granted = "{before}"')
    late = {1} if before == "buffer" else set()
    async with site.running() as vcond:
        caller = await site.farm.dial("640001", site.number)
        await caller.up()
        uuid = await asked.opened(vcond)
        await asked.consent(vcond, uuid, p0="asked")
        await site.tapped(vcond, uuid, 1)
        await asked.says(caller, 1)
        await vcond.ticks(4)
        asked.check_disk(set(), {1})
        await caller.press("1")
        await asked.consent(vcond, uuid, p0="granted")
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        await asked.says(agent, 2)
        await agent.press("2")
        await asked.consent(vcond, uuid, p0="granted", p1="denied")
        await site.tapped(vcond, uuid, 2)
        await asked.says(agent, 4)
        await asked.says(caller, 3)
        await vcond.ticks(4)
        asked.check_disk({3} | late, {1, 2, 4} - late)
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        asked.check_disk(set(), {1, 2, 4} - late)
        await site.nothing_left()
    record = asked.check_vcon(document, {0: {3} | late, 1: set(), 9: {1, 2, 4}})
    assert not record.audio[1].any()
    assert [m for m in record.moments if "key" in m[1]] == []
    assert grants(bases(document)[0]) == {"recording": True, "transcription": True}
    (proof,) = bases(document)[0]["proof_mechanisms"]
    assert (proof["proof_data"]["how"], proof["proof_data"]["evidence"]) == ("key", {"key": "1"})
    assert not any(grants(bases(document)[1]).values())
    told = [(one["party"], one["state"], one["how"]) for one in record.report["consent"]]
    assert told == [(0, "asked", "variable"), (0, "granted", "key"), (1, "asked", "variable"), (1, "denied", "key")]
    assert record.report["consent"][0]["evidence"]["announcement"] == "may-record"


async def test_an_announcement_is_told_by_a_variable_with_its_name_and_hash(site, judge):
    asked = Asked(site, judge, 'mode = "announce"')
    played = hashlib.sha256((site.bed.pbx.run / "data/sounds/en/beep.wav").read_bytes()).hexdigest()
    await site.pbx.ask("POST", "/asterisk/variable", variable="ANNOUNCED", value=played)
    async with site.running() as vcond:
        caller, agent, _ = await asked.connected(vcond, "640003", p0="asked", p1="asked")
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    record = asked.check_vcon(document, {0: {1}, 1: {2}})
    said = record.report["consent"]
    assert [(one["party"], one["state"], one["how"]) for one in said] == [
        (0, "asked", "announcement"),
        (1, "asked", "announcement"),
    ]
    assert all(one["evidence"]["announcement"] == "beep" and one["evidence"]["sha256"] == played for one in said)
    assert bases(document) == {}, "to have been told is no basis that a party gave"


@pytest.mark.parametrize(("withdrawn", "key"), [("stop", "9"), ("take_back", "*7")])
async def test_consent_is_withdrawn_by_key_in_the_middle_of_the_call(site, judge, withdrawn, key):
    """By the key of the rule, and by a feature of the PBX that sets the variable."""
    asked = Asked(site, judge, f'{ASK}\nwithdrawn = "{withdrawn}"')
    async with site.running() as vcond:
        caller, agent, uuid = await asked.connected(vcond, "640005", p0="granted", p1="granted")
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        await caller.press(key)
        await asked.consent(vcond, uuid, p0="withdrawn", p1="granted")
        await asked.says(caller, 3)
        await asked.says(agent, 4)
        await vcond.ticks(4)
        stays = {1} if withdrawn == "stop" else set()
        asked.check_disk({2, 4} | stays, {3} | ({1} - stays))
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    record = asked.check_vcon(document, {0: stays, 1: {2, 4}, 9: {1, 3}})
    assert not any(grants(bases(document)[0]).values())
    assert all(grants(bases(document)[1]).values())
    assert [one["state"] for one in record.report["consent"] if one["party"] == 0] == ["granted", "withdrawn"]


async def test_who_comes_by_a_transfer_and_was_never_asked_is_not_kept(site, judge):
    asked = Asked(site, judge, ASK)
    async with site.running() as vcond:
        caller, agent, uuid = await asked.connected(vcond, "640005", p0="granted", p1="granted")
        await asked.says(agent, 2)
        await agent.refer("201")
        second = await site.farm.ringing("agent2", site.number)
        await second.answer()
        await site.tapped(vcond, uuid, 3)
        await asked.says(second, 5)
        await asked.says(caller, 3)
        await vcond.ticks(4)
        asked.check_disk({2, 3}, {5})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    record = asked.check_vcon(document, {0: {3}, 1: {2}, 2: set(), 9: {5}})
    assert 2 not in record.audio
    assert set(bases(document)) == {0, 1}
    assert document["parties"][2]["name"] == "Bob Agent"


async def test_of_a_conference_only_who_agreed_is_kept(site, judge):
    asked = Asked(site, judge, ASK)
    people, answers = [], ["1", "2", ""]
    async with site.running() as vcond:
        for number, answer in enumerate(answers):
            people.append(await site.farm.dial("640002" if answer else "640006", f"{site.number[:-1]}{number}"))
            await people[-1].up()
            if answer:
                uuid = await asked.opened(vcond, f"{site.number[:-1]}{number}")
                await asked.consent(vcond, uuid, p0="asked")
                await people[-1].press(answer)
        uuid = (await vcond.until("calls", lambda rows: any(len(row["parties"]) == 3 for row in rows)))[0]["call"]
        await asked.consent(vcond, uuid, p0="granted", p1="denied", p2="unknown")
        await site.tapped(vcond, uuid, 3)
        for seed, phone in enumerate(people):
            await asked.says(phone, seed)
        await vcond.ticks(4)
        asked.check_disk({0}, {1, 2})
        for phone in people:
            await phone.hang_up()
        (document,) = await vcond.delivered(1)
    asked.check_vcon(document, {0: {0}, 9: {1, 2}})
    assert {party: set(grants(body).values()) for party, body in bases(document).items()} == {0: {True}, 1: {False}}


async def test_a_variable_that_is_handed_on_is_not_the_word_of_who_is_called(site, judge):
    """``Set(__VCOND_CONSENT=...)``: Asterisk sets it on each channel that is called from there, too, behind a Local one as well."""
    asked = Asked(site, judge, 'mode = "ask"')
    async with site.running() as vcond:
        caller = await site.farm.dial("640004", site.number)
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        await caller.up()
        uuid = await asked.opened(vcond)
        await asked.consent(vcond, uuid, p0="granted", p1="unknown")
        await site.tapped(vcond, uuid, 2)
        await asked.says(agent, 2)
        await asked.says(caller, 1)
        await vcond.ticks(4)
        asked.check_disk({1}, {2})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    asked.check_vcon(document, {0: {1}, 9: {2}})
    assert json.dumps(bases(document)).count("crm") == 1


async def test_consent_and_pauses_are_told_by_user_events(site, judge):
    """Of the dial plan, also before the two are connected, and of a program that has ARI."""
    asked = Asked(site, judge, 'mode = "ask"')
    async with site.running() as vcond:
        caller = await site.farm.dial("640007", site.number)
        await caller.up()
        uuid = await asked.opened(vcond)
        await asked.consent(vcond, uuid, p0="granted")
        await vcond.until("call", lambda call: call["paused"], call=uuid)
        await asked.says(caller, 1)
        await caller.press("5")
        await vcond.until("call", lambda call: not call["paused"], call=uuid)
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        await asked.consent(vcond, uuid, p0="granted", p1="granted")
        await site.tapped(vcond, uuid, 2)
        await asked.says(caller, 3)
        await asked.says(agent, 4)
        channels = await site.pbx.ask("GET", "/channels")
        (channel,) = [one["id"] for one in channels if one["name"].startswith("PJSIP/agent-")]
        said = {"variables": {"State": "withdrawn", "system": "desktop"}}
        query = {"application": site.app, "source": f"channel:{channel}"}
        await site.pbx.ask("POST", "/events/user/VcondConsent", body=said, **query)
        await asked.consent(vcond, uuid, p0="granted", p1="withdrawn")
        await asked.says(agent, 2)
        await vcond.ticks(4)
        asked.check_disk({3, 4}, {1, 2})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    record = asked.check_vcon(document, {0: {3}, 1: {4}, 9: {1, 2}})
    assert [m for m in record.moments if "key" in m[1]] == []
    assert [(one["by"], one["reason"]) for one in record.report["pauses"]] == [("platform", "card")]
    told = [(one["party"], one["state"], one["evidence"]) for one in record.report["consent"]]
    assert told == [
        (0, "granted", {"system": "crm"}),
        (1, "granted", {"system": "contract"}),
        (1, "withdrawn", {"system": "desktop"}),
    ]
