"""A card that is keyed into a call of a real Asterisk, and the two vCons of it: the whole one, and the one that may leave."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.peer

CARD = "4532015112830366"


def keyed(document) -> str:
    """The keys of the history, one after the other."""
    history = document["dialog"][0].get("party_history", [])
    return "".join(one.get("button", "") for one in history if one["event"] == "keydown")


async def test_a_card_keyed_on_a_real_pbx_is_in_the_whole_vcon_and_nowhere_in_the_redacted_one(site):
    outside = site.vcond.root / "outside"
    site.vcond.sinks = (
        f'[[sinks]]\ntype = "folder"\nname = "whole"\npath = "{site.vcond.vcons}"\n'
        f'[[sinks]]\ntype = "folder"\nname = "outside"\npath = "{outside}"\ncontent = "redacted"\n'
    )
    async with site.running() as vcond:
        caller, agent, uuid = await site.talking(vcond)
        await site.say(v1=caller, v2=agent)
        await caller.press(f"{CARD}#")
        await site.moment(vcond, uuid, 0, "keyup", "#")
        await caller.hang_up()
        (whole,) = await vcond.delivered(1)
        await vcond.until("status", lambda _: list(outside.glob("*.vcon.json")))
        assert CARD not in site.vcond.log
    (file,) = outside.glob("*.vcon.json")
    redacted = json.loads(file.read_bytes())
    assert keyed(whole) == f"{CARD}#"
    assert redacted["redacted"]["uuid"] == whole["uuid"] == uuid
    assert redacted["uuid"] != uuid
    assert not any(CARD[at : at + 4] in keyed(redacted) for at in range(len(CARD) - 3)), keyed(redacted)
    assert len(redacted["parties"]) == len(whole["parties"])
    assert len(redacted["dialog"]) == len(whole["dialog"])
    (listed,) = [a["body"] for a in redacted["attachments"] if "redact" in str(a.get("purpose", ""))]
    assert "card" in json.dumps(listed)
    assert CARD not in file.read_text()
