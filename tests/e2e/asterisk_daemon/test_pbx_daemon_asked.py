"""What a real Asterisk tells of who does not answer, says it in words, or sits on a channel of somebody else.

Voices are flite's, heard by the packaged engine. What is looked for is as in ``test_pbx_daemon_consent.py``.
"""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path

import numpy as np
import pytest
from consent_kit import ASK, RATE, Asked, bases, grants, told

from vcond.testing.needs import needs

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
from make_demo_call import Flite, Voice

pytestmark = pytest.mark.peer
WORDS = f"""{ASK}
until_granted = "keep"
words_granted = {{ en = ["yes you may"] }}
words_denied = {{ en = ["you may not"] }}"""


def spoken(name: str, text: str) -> np.ndarray:
    """A sentence in one of flite's voices, as a telephone carries it, between pauses: samples at 8 kHz."""
    needs(ctypes.util.find_library("flite"), "flite is missing: apt-get install libflite1")
    line = Flite(Voice(name, 1.0)).speak(text).audio * 32767
    return np.concatenate([np.zeros(RATE), line, np.zeros(RATE)]).astype(np.int16)


@pytest.mark.parametrize("before", ["nothing", "buffer"])
async def test_who_does_not_answer_is_nowhere_and_who_does_is_kept(site, judge, before):
    """The caller is asked, and the call goes on after a second without an answer: with ``buffer`` until the call is over."""
    asked = Asked(site, judge, f'{ASK}\nuntil_granted = "{before}"')
    async with site.running() as vcond:
        caller = await site.farm.dial("640008", site.number)
        await caller.up()
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        uuid = await asked.opened(vcond)
        await agent.press("1")
        await asked.consent(vcond, uuid, p0="asked", p1="granted")
        await site.tapped(vcond, uuid, 2)
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        await vcond.ticks(4)
        asked.check_disk({2}, {1})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        asked.check_disk(set(), {1})
        await site.nothing_left()
    record = asked.check_vcon(document, {0: set(), 1: {2}, 9: {1}})
    assert 0 not in record.audio or not record.audio[0].any()
    assert set(bases(document)) == {1}, "to have been asked is no basis that a party gave"
    said = [(one["party"], one["state"]) for one in record.report["consent"]]
    assert said == [(0, "asked"), (1, "asked"), (1, "granted")]


async def test_yes_you_may_is_consent_and_you_may_not_takes_back_what_was_kept(site, judge):
    """Heard by the packaged engine; where it was said is in the record, and what the refuser said is nowhere."""
    asked = Asked(site, judge, WORDS)
    site.vcond.engine = "whisper"
    async with site.running() as vcond:
        caller = await site.farm.dial("200", site.number)
        agent = await site.farm.ringing("agent", site.number)
        await agent.answer()
        await caller.up()
        uuid = await asked.opened(vcond)
        await site.tapped(vcond, uuid, 2)
        await asked.says(caller, 1)
        await asked.says(agent, 2)
        await vcond.ticks(4)
        asked.check_disk({1, 2}, set())
        await caller.say(site.farm.voice(f"{site.number}-yes", spoken("slt", "yes you may")))
        await asked.consent(vcond, uuid, p0="granted", p1="unknown")
        await agent.say(site.farm.voice(f"{site.number}-no", spoken("rms", "no you may not")))
        await asked.consent(vcond, uuid, p0="granted", p1="denied")
        await asked.says(caller, 3)
        await asked.says(agent, 4)
        await vcond.ticks(4)
        asked.check_disk({1, 3}, {2, 4})
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
        asked.check_disk(set(), {2, 4})
    record = asked.check_vcon(document, {0: {1, 3}, 1: set(), 9: {2, 4}})
    assert grants(bases(document)[0]) == {"recording": True, "transcription": True}
    assert not any(grants(bases(document)[1]).values())
    (proof,) = bases(document)[0]["proof_mechanisms"]
    assert proof["proof_type"] == "verbal_confirmation"
    assert "yes you may" in proof["proof_data"]["confirmation_text"].lower().replace(",", "")
    minutes, seconds = map(float, proof["proof_data"]["time_offset"].split(":")[1:])
    said = record.audio[0][round((60 * minutes + seconds - 0.5) * RATE) :][: 3 * RATE]
    assert said.any(), "there is sound where the record says that it was said"
    words = [one for one in document["analysis"] if "may not" in str(one["body"])]
    assert words == []


@pytest.mark.parametrize(("extension", "state"), [("640010", "denied"), ("640011", "granted"), ("640012", "unknown")])
async def test_who_takes_a_call_over_from_another_phone_has_said_what_he_said(site, judge, extension, state):
    """A pickup: the channel of the phone that rang, which has agreed, is the picker's from then on, with the variables of both."""
    asked = Asked(site, judge, ASK)
    async with site.running() as vcond:
        caller = await site.farm.dial("640009", site.number)
        await caller.up()
        await site.farm.ringing("agent", site.number)
        picker = await site.farm.dial(extension, f"{site.number[:-1]}7", name="Cleo Agent")
        await picker.up()
        uuid = await asked.opened(vcond)
        call = await vcond.until("call", lambda call: len(call["parties"]) == 2, call=uuid)
        assert call["parties"][1]["tel"] == f"{site.number[:-1]}7"
        await site.tapped(vcond, uuid, 2)
        await asked.consent(vcond, uuid, p0="granted", p1=state)
        await asked.says(caller, 1)
        await asked.says(picker, 2)
        await vcond.ticks(4)
        kept = {2} if state == "granted" else set()
        asked.check_disk({1} | kept, {2} - kept)
        await caller.hang_up()
        (document,) = await vcond.delivered(1)
    asked.check_vcon(document, {0: {1}, 1: kept, 9: {2} - kept})
    assert set(bases(document)) == ({0, 1} if state != "unknown" else {0})
    assert [one["state"] for one in told(document, 1)] == ([state] if state != "unknown" else [])
