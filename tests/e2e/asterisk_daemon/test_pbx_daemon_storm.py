"""A crash storm: vcond is killed (-9) again and again while people talk. No call is lost, none is there twice, every gap is named.

`VCOND_KILLS`, `VCOND_STORM_CALLS` (of each kind) and `VCOND_STORM_SEED`: a long one by hand, and the same moments again.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from random import Random

import pytest
from fake_conserver import FakeConserver
from pbx_daemon_kit import moment
from storm_kit import Storm

pytestmark = pytest.mark.peer
KILLS = int(os.environ.get("VCOND_KILLS", "3"))
CALLS = int(os.environ.get("VCOND_STORM_CALLS", "2"))
SEED = int(os.environ.get("VCOND_STORM_SEED", "13"))
KEPT = 1.0
"""Most seconds of audio that a kill may cost, beside those by which the machine was late."""
CLOCKS = 0.1
"""Seconds between the kill and the moment at which the test says that it was: records are rounded, and know no better. And what a
machine that is late sends at once stands by as much ahead: the first frame of a stream had its place when it came."""
SOCKETS = 1.0
"""Seconds of a stream that its sockets may hold, on a machine that has others to serve."""


@pytest.mark.timeout(900 + 30 * KILLS)
async def test_a_storm_of_kills_loses_no_call_and_names_every_gap(site):
    print(f"\nVCOND_STORM_SEED={SEED} VCOND_KILLS={KILLS} VCOND_STORM_CALLS={CALLS}")
    asked = asyncio.Event()
    async with FakeConserver(ingress_auth={"edge": "key"}, on_request=asked.set) as conserver:
        site.vcond.sinks = (
            f'[[sinks]]\ntype = "conserver"\nurl = "{conserver.url}"\ningress_lists = ["edge"]\ntoken = "key"\n'
        )
        storm = Storm(site, conserver, asked, Random(SEED))
        storm.begin(CALLS, CALLS)
        for _ in range(KILLS):
            await storm.kill()
        documents = await storm.finish()
    originals = {document["uuid"]: document for document in documents if "amended" not in document}
    amended = Counter(document["amended"]["uuid"] for document in documents if "amended" in document)
    print(f"kills: {dict(Counter(kill.kind for kill in storm.kills))}; {storm.placed} calls placed")
    print(f"{len(originals)} originals, {sum(amended.values())} amended; {len(storm.seen)} calls seen before a kill")
    assert storm.seen <= originals.keys(), "a call was lost"
    assert amended.keys() <= originals.keys()
    assert max(amended.values(), default=0) <= 1
    once(originals.values())
    named(storm, originals)
    audio(storm, originals.values())


def report(document):
    return next(one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")


def fact(document, name):
    facts = next((one["body"] for one in document["attachments"] if one["purpose"] == "vcond-facts"), [])
    return next((one["value"] for one in facts if one["name"] == name), None)


def once(documents):
    """No call has two originals."""
    calls = Counter(fact(document, "callSid") or document["parties"][0]["tel"] for document in documents)
    assert max(calls.values()) == 1, [call for call, count in calls.items() if count > 1]


def named(storm, originals):
    """Each kill of a call is in its record; what was captured until then is kept, but for a moment."""
    late, count, ahead = [], 0, CLOCKS + storm.site.late
    for kill in storm.kills:
        for uuid in kill.seen:
            told = report(originals[uuid])
            if told["start"] and moment(told["start"]) + told["duration"] <= kill.at:
                continue  # it was over just before
            windows = [(moment(one["start"]), one["stop"] and moment(one["stop"])) for one in told["interruptions"]]
            around = [
                start for start, stop in windows if start <= kill.at + ahead and (stop is None or kill.at <= stop)
            ]
            assert around, (uuid, kill, windows)
            late.append(max(0.0, kill.at - max(around)))
            count += 1
            assert told["complete"] is False
    worst = max(late, default=0.0)
    print(
        f"{count} calls were cut by a kill, each says so; capture is known to have ended {worst:.2f} s before it at most"
    )


def audio(storm, documents):
    """What Twilio got rid of is in the record, but for what its sockets held and the second that was not written."""
    lost, gaps = 0.0, defaultdict(int)
    for document in documents:
        sid = fact(document, "callSid")
        if sid not in storm.sent:
            continue
        told = report(document)
        kept = max(party["seconds"]["received"] + party["seconds"]["silent"] for party in told["parties"])
        missing = storm.sent[sid] - kept
        gaps[len(told["interruptions"])] += 1
        lost = max(lost, missing / max(1, len(told["interruptions"])))
        assert missing <= (KEPT + SOCKETS + storm.site.late) * max(1, len(told["interruptions"])), (sid, missing, told)
    print(f"streams by their gaps: {dict(sorted(gaps.items()))}; at most {lost:.2f} s lost for each gap")
