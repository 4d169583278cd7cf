"""Whatever happens to a call, its record is a vCon, and party 3 stays party 3."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vcond.base.time import SECOND
from vcond.call import events as ev
from vcond.call.causes import Cause, Disposition
from vcond.call.state import Call, fold
from vcond.vcon import BuildOptions, build, read, serialize, validate
from vcond.vcon.building.parties import person

ZERO = 1_795_424_400 * SECOND
UUID = "019f155a-5131-80ec-832a-bc92ac6830cd"

near = st.integers(-SECOND, 3 * SECOND).map(lambda offset: ZERO + offset)
moments = st.one_of(near, near, near, st.integers(-(2**63), 2**63 - 1))
parties = st.integers(-1, 5)
tracks = st.integers(-1, 6)
positions = st.one_of(st.integers(-8000, 24000), st.integers(-(2**40), 2**40))
words = st.text(max_size=12)
causes = st.builds(Cause, q850=st.none() | st.integers(0, 200), sip=st.none() | st.integers(0, 700), text=words)
parties_of = st.builds(
    ev.PartyInfo,
    tel=st.sampled_from(["", "+15551230001", "1001", "*98", "anonymous", "tel:+1555", "\n", "☎"]) | words,
    sip=st.sampled_from(["", "1001@pbx.example.com"]) | words,
    name=words, validation=words, uuid=words, org=words, dept=words, mailto=words,
    type=st.sampled_from(["", "person", "bot", "organization"]),
    role=st.sampled_from(["", "agent", "customer"]),
)  # fmt: skip
heard_words = st.lists(
    st.builds(ev.Word, start=positions, stop=positions, text=words, confidence=st.floats(-1, 2)), max_size=4
)
fact_names = st.sampled_from(
    ["sip_call_id", "sip_cseq", "session_id", "queue", "linkedid", "subject", "stir", "speech_engine",
     "sip_user_agent", "sip_header.X", "sip_header.", "other"]
)  # fmt: skip


def event(which: type[ev.Event], /, **fields: st.SearchStrategy) -> st.SearchStrategy[ev.Event]:
    return st.builds(which, at=moments, **fields)


events = st.one_of(
    event(ev.PartyJoined, party=parties, key=words, who=parties_of),
    event(ev.PartyJoined, party=parties, key=words, who=parties_of),
    event(ev.PartyDescribed, party=parties, who=parties_of),
    event(ev.PartyLeft, party=parties, cause=causes),
    event(ev.Answered),
    event(ev.TrackOpened, track=tracks, party=parties, codec=st.sampled_from(["PCMU", "PCMA", "L16"]),
          rate=st.sampled_from([8000, 8000, 16000, 11025])),
    event(ev.TrackOpened, track=tracks, party=parties, codec=st.just("PCMU"), rate=st.just(8000)),
    event(ev.Span, track=tracks, start=positions, stop=positions, kind=st.sampled_from(ev.SpanKind)),
    event(ev.TrackClosed, track=tracks, samples=positions),
    event(ev.Held, party=parties), event(ev.Retrieved, party=parties),
    event(ev.Muted, party=parties), event(ev.Unmuted, party=parties),
    event(ev.Dtmf, party=parties, button=st.sampled_from(sorted(ev.BUTTONS)), ms=st.integers(-100, 5000)),
    event(ev.Transferred, kind=st.sampled_from(["blind", "attended"]), transferor=st.none() | parties,
          transferee=st.none() | parties, target=st.none() | parties,
          outcome=st.sampled_from(["success", "failed"]), to=words),
    event(ev.RecordingPaused, reason=words, by=words), event(ev.RecordingResumed),
    event(ev.Utterance, utterance=st.integers(0, 3), track=tracks, start=positions, stop=positions),
    event(ev.Transcribed, utterance=st.integers(0, 3), engine=words, model=words, text=words, words=heard_words,
          language=words, confidence=st.floats(-1, 2), took_ms=st.integers(0, 9), lag_ms=st.integers(-9, 9)),
    event(ev.Untranscribed, utterance=st.integers(0, 3), reason=words),
    event(ev.Tagged, name=words, value=words),
    event(ev.CallAttribute, name=fact_names, value=words | st.sampled_from(["1 INVITE", "a.b.c", "a" * 32]),
          party=st.none() | parties),
    event(ev.Warned, code=words, text=words),
    event(ev.Interrupted, reason=words), event(ev.Recovered),
    event(ev.CallEnded, cause=causes, disposition=st.none() | st.sampled_from(Disposition), by=st.none() | parties),
    event(ev.Merged, call=words),
)  # fmt: skip


def transcribed(utterance: int, text: str, said: list[ev.Word]) -> list[ev.Event]:
    """An utterance of a track of the same number with its text."""
    return [
        ev.Utterance(at=ZERO, utterance=utterance, track=utterance, start=1000 * utterance, stop=9000 + utterance),
        ev.Transcribed(at=ZERO + SECOND, utterance=utterance, engine="e", model="m", text=text, words=said),
    ]


@st.composite
def journals(draw: st.DrawFn) -> list[ev.Event]:
    """Parties and tracks as every adapter has them at first, then anything at all, then perhaps an end."""
    opened = ev.CallOpened(at=ZERO, call=UUID, adapter=draw(words), key="k", recorder=draw(words))
    count = draw(st.integers(0, 4))
    journal: list[ev.Event] = [opened]
    journal += [ev.PartyJoined(at=ZERO, party=index, key=str(index), who=draw(parties_of)) for index in range(count)]
    for index in range(draw(st.integers(0, count))):
        journal.append(ev.TrackOpened(at=ZERO, track=index, party=index, codec="PCMU", rate=8000))
        if draw(st.booleans()):
            journal.append(ev.Span(at=ZERO, track=index, start=0, stop=20000, kind=ev.SpanKind.RECEIVED))
        if draw(st.booleans()):
            journal += transcribed(index, draw(words), draw(heard_words))
    journal += [ev.Answered(at=ZERO)] * draw(st.integers(0, 1))
    journal += draw(st.lists(events, max_size=25))
    journal += [ev.CallEnded(at=ZERO + 2 * SECOND)] * draw(st.integers(0, 1))
    return journal


def is_long(call: Call) -> bool:
    """Whether its audio would take more than a moment to be compressed: a mistaken clock makes calls of two days."""
    return (call.last if call.ended is None else call.ended) > ZERO + 60 * SECOND


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(journal=journals(), length=st.integers(0, 24000), limit=st.sampled_from([None, 9_500_000, 30_000]))
def test_any_history_makes_a_valid_vcon_with_the_parties_where_they_were(journal, length, limit):
    call = fold(journal)
    audio = {track.index: np.full(length, 64, np.int16) for track in call.tracks if track.index != 3}
    document = build(call, audio, BuildOptions(inline_limit=30_000 if is_long(call) else limit))
    body = serialize(document)
    again = read(body)
    assert serialize(again) == body
    assert [one for one in validate(again) if one.level == "error"] == []
    assert len(again["parties"]) == len(call.parties) + 1
    for party, shown in zip(call.parties, again["parties"], strict=False):
        assert person(party.who).items() <= shown.items()
    assert again["parties"][-1]["type"] == "bot"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(journal=journals())
def test_a_history_that_grows_moves_no_party(journal):
    indices: list[str] = []
    for upto in range(1, len(journal) + 1):
        keys = [party.key for party in fold(journal[:upto]).parties]
        assert keys[: len(indices)] == indices
        indices = keys
