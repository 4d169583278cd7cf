import msgspec
import pytest

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.causes import Cause, Disposition
from vcond.policy.consent import Terms

AT = Instant(7)
EVERY = [
    ev.CallOpened(at=AT, call="u", adapter="asterisk", key="k", direction="inbound", recorder="e", software="s"),
    ev.Directed(at=AT, direction="outbound"),
    ev.PartyJoined(
        at=AT, party=0, key="a", who=ev.PartyInfo(tel="+15550100", name="A", validation="none", type="person")
    ),
    ev.PartyDescribed(at=AT, party=0, who=ev.PartyInfo(role="agent")),
    ev.PartyLeft(at=AT, party=0, cause=Cause(q850=16, sip=200, text="x")),
    ev.Answered(at=AT),
    ev.TrackOpened(at=AT, track=0, party=0, codec="PCMU", rate=8000, file="0.pcm", shift=-3),
    ev.Span(at=AT, track=0, start=0, stop=9, kind=ev.SpanKind.LOST),
    ev.TrackClosed(at=AT, track=0, samples=9),
    ev.Held(at=AT, party=0),
    ev.Retrieved(at=AT, party=0),
    ev.Muted(at=AT, party=0),
    ev.Unmuted(at=AT, party=0),
    ev.Dtmf(at=AT, party=0, button="#", ms=90),
    ev.Transferred(at=AT, kind="blind", transferor=1, transferee=0, target=2, to="201"),
    ev.Merged(at=AT, call="v", events=[{"t": "Answered", "at": 3}]),
    ev.MergedInto(at=AT, call="u"),
    ev.RecordingPaused(at=AT, reason="card", by="operator"),
    ev.RecordingResumed(at=AT),
    ev.PauseOverridden(at=AT, by="operator", reason="order"),
    ev.PolicyApplied(at=AT, terms=Terms(mode="ask", until_granted="buffer", purposes=("recording",))),
    ev.Consent(at=AT, party=0, state="granted", how="key", evidence={"key": "1"}, purposes=("recording",)),
    ev.Released(at=AT, party=0, purpose="recording", since=Instant(3)),
    ev.Utterance(at=AT, utterance=0, track=0, start=0, stop=9),
    ev.Transcribed(at=AT, utterance=0, engine="e", model="m", text="hi", words=[ev.Word(0, 5, "hi", 0.5)]),
    ev.Untranscribed(at=AT, utterance=0, reason="deadline"),
    ev.SpeechState(at=AT, state="deferred"),
    ev.Tagged(at=AT, name="queue", value="support"),
    ev.CallAttribute(at=AT, name="sip_call_id", value="x", party=1),
    ev.AdapterState(at=AT, name="dialog 1", value="x"),
    ev.Warned(at=AT, code="no-audio", text="t"),
    ev.Interrupted(at=AT, reason="crash"),
    ev.Recovered(at=AT),
    ev.CallEnded(at=AT, cause=Cause(q850=17), disposition=Disposition.BUSY, by=0),
    ev.Amending(at=AT, vcon="v", until=Instant(9)),
    ev.Published(at=AT, sha512="00"),
    ev.Unknown(at=AT, type="Teleported", fields={"party": 1}),
]


def test_the_list_is_whole():
    assert {type(event) for event in EVERY} == set(ev.EVENTS.values())


@pytest.mark.parametrize("event", EVERY, ids=lambda event: type(event).__name__)
def test_every_event_survives_being_written_and_read(event: ev.Event):
    assert ev.decode(ev.encode(event)) == event


def test_records_and_the_live_feed_name_an_event_as_they_always_did_whatever_its_class_is_called():
    """Journals of every version are read by these names."""
    assert set(ev.EVENTS) == {
        "CallOpened", "Directed", "PartyJoined", "PartyDescribed", "PartyLeft", "Answered", "TrackOpened", "Span", "TrackClosed",
        "Held", "Resumed", "Muted", "Unmuted", "Digit", "Transferred", "Merged", "MergedInto", "Paused", "Unpaused",
        "PauseOverridden", "PolicyApplied", "Consent", "Released", "Utterance", "Transcribed", "Untranscribed", "SpeechState", "Tagged", "Fact", "AdapterState", "Warned",
        "Interrupted", "Recovered", "CallEnded", "Amending", "Published", "Unknown",
    }  # fmt: skip
    for name, event in (("Paused", ev.RecordingPaused(at=AT)), ("Fact", ev.CallAttribute(at=AT, name="a", value="b"))):
        assert ev.type_name(event) == name
        assert ev.encode(event)["t"] == name
        assert ev.decode({**ev.encode(event), "t": name}) == event


def test_an_event_of_a_newer_version_is_kept_as_it_was():
    plain = {"t": "Teleported", "at": 7, "where": [1, 2]}
    assert ev.encode(ev.decode(plain)) == plain


def test_new_fields_of_a_known_event_are_ignored():
    assert ev.decode({"t": "Answered", "at": 7, "mood": "good"}) == ev.Answered(at=AT)


@pytest.mark.parametrize("plain", [None, [], {}, {"t": 3, "at": 1}, {"t": "Held", "at": "x"}, {"t": "Held", "at": 1}])
def test_what_is_no_event_is_refused(plain: object):
    with pytest.raises(ValueError):
        ev.decode(plain)


def test_events_cannot_be_changed():
    with pytest.raises(AttributeError):
        EVERY[5].at = Instant(0)
    assert msgspec.structs.replace(EVERY[5], at=Instant(1)).at == 1
