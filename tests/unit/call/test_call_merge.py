from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.merge import merge
from vcond.call.state import fold

ZERO = 1_795_339_662 * SECOND


def at(seconds: float) -> Instant:
    return Instant(ZERO + round(seconds * SECOND))


def call(zero: float, uuid: str, parties: dict[str, str]) -> list[ev.Event]:
    events: list[ev.Event] = [ev.CallOpened(at=at(zero), call=uuid, adapter="t", key=uuid)]
    for i, (key, name) in enumerate(parties.items()):
        events.append(ev.PartyJoined(at=at(zero + i), party=i, key=key, who=ev.PartyInfo(name=name)))
        events.append(ev.TrackOpened(at=at(zero + i), track=i, party=i, codec="L16", rate=8000))
        events.append(ev.Span(at=at(zero + 3), track=i, start=8000 * i, stop=24_000, kind=ev.SpanKind.RECEIVED))
    events.append(ev.Answered(at=at(zero + 1)))
    return events


def test_an_attended_transfer_from_a_desk_phone_is_one_conversation():
    first = call(0, "u", {"carol": "Carol", "alice": "Alice"})
    second = [
        *call(10, "v", {"alice": "Alice (line 2)", "bob": "Bob"}),
        ev.Utterance(at=at(13), utterance=0, track=1, start=8000, stop=16_000),
        ev.Transcribed(
            at=at(14), utterance=0, engine="e", model="m", text="hi", words=[ev.Word(8000, 9000, "hi", 1.0)]
        ),
    ]
    into = fold(first)
    change = merge(into, fold(second), second, at=at(20))
    into.apply(change.event)

    assert into.odd == 0
    assert [party.who.name for party in into.parties] == ["Carol", "Alice (line 2)", "Bob"]
    assert [(track.party, track.file, track.shift) for track in into.tracks] == [
        (0, "0.pcm", 0),
        (1, "1.pcm", 0),
        (1, "2.pcm", 80_000),
        (2, "3.pcm", 80_000),
    ]
    assert list(into.tracks[3].spans) == [(88_000, 104_000, ev.SpanKind.RECEIVED)]
    assert change.files == {"0.pcm": "2.pcm", "1.pcm": "3.pcm"}
    said = into.speech[0]
    assert (said.utterance.track, said.utterance.start, said.utterance.stop) == (3, 88_000, 96_000)
    assert said.transcript is not None
    assert said.transcript.words == [ev.Word(88_000, 89_000, "hi", 1.0)]
    assert [moment.at for moment in into.history] == sorted(moment.at for moment in into.history)
    assert into.merged == ["v"]


def test_utterances_of_both_calls_keep_apart():
    first = [
        *call(0, "u", {"carol": "Carol"}),
        ev.Utterance(at=at(2), utterance=0, track=0, start=0, stop=80),
    ]
    second = [
        *call(1, "v", {"bob": "Bob"}),
        ev.Utterance(at=at(2), utterance=0, track=0, start=0, stop=80),
        ev.Untranscribed(at=at(2), utterance=0, reason="deadline"),
    ]
    into = fold(first)
    change = merge(into, fold(second), second, at=at(3))
    into.apply(change.event)
    assert change.utterances == {0: 1}
    assert (into.speech[0].failed, into.speech[1].failed) == ("", "deadline")


def test_a_call_that_opened_before_the_one_it_joins_has_negative_shifts():
    first, second = call(5, "u", {"carol": "Carol"}), call(0, "v", {"bob": "Bob"})
    into = fold(first)
    change = merge(into, fold(second), second, at=at(9))
    into.apply(change.event)
    assert into.tracks[1].shift == -40_000


def test_a_merged_journal_reads_back_the_same():
    first, second = call(0, "u", {"carol": "Carol"}), call(1, "v", {"bob": "Bob"})
    change = merge(fold(first), fold(second), second, at=at(9))
    assert ev.decode(ev.encode(change.event)) == change.event


def test_what_the_first_call_is_called_stays_and_the_others_goes_to_its_caller():
    facts = [("dialled", "200"), ("conference", "room")]
    first = [
        *call(0, "u", {"carol": "C", "alice": "A"}),
        *(ev.CallAttribute(at=at(1), name=n, value=v) for n, v in facts),
    ]
    facts = [("dialled", "201"), ("conference", "room"), ("queue", "support")]
    second = [
        *call(10, "v", {"line2": "A", "bob": "B"}),
        *(ev.CallAttribute(at=at(11), name=n, value=v) for n, v in facts),
    ]
    into = fold(first)
    into.apply(merge(into, fold(second), second, at=at(20)).event)
    assert {(fact.name, fact.party): fact.value for fact in into.facts} == {
        ("dialled", None): "200",
        ("dialled", 2): "201",
        ("conference", None): "room",
        ("queue", None): "support",
    }


def test_a_party_that_comes_back_keeps_the_facts_of_its_first_leg():
    def facts(which, value):
        return [
            ev.CallAttribute(at=at(1), name="uniqueid", value=value, party=0),
            ev.CallAttribute(at=at(1), name="endpoint", value="x", party=0),
        ]

    first = [*call(0, "u", {"ann": "A"}), *facts(0, "leg-1")]
    second = [*call(10, "v", {"ann": "A"}), *facts(0, "leg-2")]
    into = fold(first)
    into.apply(merge(into, fold(second), second, at=at(20)).event)
    told = {fact.name: fact.value for fact in into.facts}
    assert told == {"uniqueid": "leg-1", "uniqueid.again": "leg-2", "endpoint": "x"}


def test_the_way_that_the_other_call_went_is_not_that_of_the_first():
    first = call(0, "u", {"ann": "A"})
    second = [*call(10, "v", {"bob": "B"}), ev.Directed(at=at(11), direction="outbound")]
    into = fold(first)
    way = into.direction
    into.apply(merge(into, fold(second), second, at=at(20)).event)
    assert into.direction == way


def test_what_an_adapter_goes_on_with_does_not_come_along():
    first, second = (
        call(0, "u", {"ann": "A"}),
        [*call(10, "v", {"bob": "B"}), ev.AdapterState(at=at(11), name="dialog", value="v")],
    )
    into = fold([*first, ev.AdapterState(at=at(1), name="dialog", value="u")])
    into.apply(merge(into, fold(second), second, at=at(20)).event)
    assert into.adapter_state == {"dialog": "u"}
