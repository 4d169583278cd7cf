"""A call that the core cut off while recording was paused: the one that goes on in its place is paused by the same."""

from __future__ import annotations

import msgspec
import pytest
from capture_kit import FRAME

from vcond.base.time import SECOND
from vcond.call.events import SpanKind
from vcond.sdk.contract import ArrivalClock, CallAttribute, Codec, Consent, PartyInfo, RecordingPaused, RecordingResumed

LIMIT = 12 * 3600 + 1


def one_party(house):
    call = house.host.call("c", at=house.now(0))
    call.party("a", at=house.at(0))
    return call


def cut(house):
    house.registry.tick(house.now(LIMIT))


def again(house):
    return house.host.call("c", at=house.now(LIMIT + 0.1))


def heard(house, call, party):
    track = call.track(party, at=house.now(LIMIT + 0.2), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    for n in range(50):
        track.write(FRAME, arrived=house.now(LIMIT + 0.2 + n / 50))
    track.close(at=house.now(LIMIT + 2))
    return track.index


def received(call, track):
    return sum(stop - start for start, stop, kind in call.state.tracks[track].spans if kind is SpanKind.RECEIVED)


@pytest.mark.parametrize("by", ["operator", "platform"])
def test_a_pause_of_nobody_in_the_call_goes_on(house, by):
    call = one_party(house)
    call.emit(RecordingPaused(at=house.now(1), by=by, reason="card"))
    cut(house)
    assert call.state.cause.cut_off
    new = again(house)
    assert new is not call
    assert [(pause.by, pause.reason, pause.stop) for pause in new.state.pauses] == [(by, "card", None)]
    track = heard(house, new, new.party("a", at=house.now(LIMIT + 0.1)))
    new.emit(RecordingResumed(at=house.now(LIMIT + 3), by=by))
    assert not new.state.paused
    new.end(at=house.now(LIMIT + 4))
    assert received(new, track) == 0


def test_a_partys_pause_is_that_partys_again_once_it_is_there(house):
    call = one_party(house)
    own = call.state.parties[0].key
    call.emit(RecordingPaused(at=house.now(1), by="party", party=0))
    cut(house)
    new = again(house)
    other = new.party("somebody else", at=house.now(LIMIT + 0.1))
    assert new.state.paused
    track = heard(house, new, other)
    mine = new.party(own, at=house.now(LIMIT + 2))
    new.emit(RecordingResumed(at=house.now(LIMIT + 2), by="party", party=other))
    assert new.state.paused, "it is not the other's to end"
    new.emit(RecordingResumed(at=house.now(LIMIT + 3), by="party", party=mine))
    assert not new.state.paused
    new.end(at=house.now(LIMIT + 4))
    assert received(new, track) == 0


def test_whoever_is_there_may_end_the_pause_of_one_who_never_came_back(house):
    call = one_party(house)
    call.emit(RecordingPaused(at=house.now(1), by="party", party=0))
    cut(house)
    new = again(house)
    other = new.party("somebody else", at=house.now(LIMIT + 0.1), who=PartyInfo(name="Ben"))
    new.emit(RecordingResumed(at=house.now(LIMIT + 1), by="party", party=other))
    assert not new.state.paused


@pytest.mark.parametrize("why", ["not paused", "ended", "an hour later", "another key"])
def test_nothing_else_makes_a_call_begin_paused(house, why):
    call = one_party(house)
    if why != "not paused":
        call.emit(RecordingPaused(at=house.now(1), by="operator"))
    if why == "ended":
        call.end(at=house.now(2))
    cut(house)
    at = house.now(LIMIT + (3700 if why == "an hour later" else 0.1))
    new = house.host.call("other" if why == "another key" else "c", at=at)
    assert not new.state.paused
    assert new.state.opened <= at + SECOND


@pytest.mark.parametrize("state", ["denied", "withdrawn"])
def test_who_had_refused_has_refused_in_the_call_that_goes_on(house, state):
    call = one_party(house)
    call.emit(Consent(at=house.now(1), party=0, state=state, purposes=("recording",)))
    cut(house)
    new = again(house)
    other = new.party("b", at=house.now(LIMIT + 0.1))
    party = new.party("a", at=house.now(LIMIT + 0.1))
    assert (other, party) == (0, 1)
    assert [new.state.consents.state_of(party, of) for of in ("recording", "analysis")] == [state, "unknown"]
    mine, others = heard(house, new, party), heard(house, new, other)
    new.end(at=house.now(LIMIT + 4))
    assert received(new, mine) == 0
    assert received(new, others) > 0


def test_who_had_agreed_has_agreed_in_the_call_that_goes_on(house):
    """By a key, of which no adapter knows any more: the rest of the conversation was not kept."""
    call = one_party(house)
    call.emit(Consent(at=house.now(1), party=0, state="granted", how="key", purposes=("recording",)))
    cut(house)
    new = again(house)
    party = new.party("a", at=house.now(LIMIT + 0.1))
    assert new.state.consents.state_of(party, "recording") == "granted"


def test_an_attribute_that_is_told_again_gives_no_consent_back_in_the_call_that_goes_on(house):
    call = one_party(house)
    said = CallAttribute(at=house.now(1), name="sip_header.X-Vcond-Consent", value="granted", party=0)
    call.emit(said)
    call.emit(Consent(at=house.now(2), party=0, state="withdrawn", purposes=()))
    cut(house)
    new = again(house)
    party = new.party("a", at=house.now(LIMIT + 0.1))
    house.now(LIMIT + 5)
    new.emit(msgspec.structs.replace(said, at=house.now(LIMIT + 5)))
    assert new.state.consents.state_of(party, "recording") == "withdrawn"
    new.emit(msgspec.structs.replace(said, at=house.now(LIMIT + 6), value="granted; asked=again"))
    assert new.state.consents.state_of(party, "recording") == "granted"


@pytest.mark.parametrize("there", [False, True])
def test_what_was_said_and_paused_before_goes_with_a_call_that_is_merged(house, there):
    """A refusal was forgotten of who was not in the call that was merged in."""
    call = one_party(house)
    call.emit(Consent(at=house.now(1), party=0, state="denied", purposes=("recording",)))
    call.emit(RecordingPaused(at=house.now(1), by="party", party=0, reason="card"))
    key = call.state.parties[0].key
    cut(house)
    new, other = again(house), house.host.call("other", at=house.now(LIMIT + 0.1))
    other.party("b", at=house.now(LIMIT + 0.1))
    if there:
        other.party(key, at=house.now(LIMIT + 0.1))
    assert other.merge(new)
    party = other.party(key, at=house.now(LIMIT + 1))
    assert other.state.consents.state_of(party, "recording") == "denied"
    paused = [(pause.party, pause.reason) for pause in other.state.pauses if pause.stop is None]
    assert paused == [(None if there else party, "card")]


def test_what_was_agreed_before_is_older_than_a_refusal_in_the_call_that_goes_on(house):
    """It was told as of the moment at which the party was there again: a refusal that the adapter dated before that counted no more."""
    call = one_party(house)
    call.emit(Consent(at=house.now(1), party=0, state="granted", how="key", purposes=("recording",)))
    cut(house)
    new = again(house)
    began = new.state.opened
    house.now(LIMIT + 0.5)
    party = new.party("a", at=began)
    new.emit(Consent(at=began, party=party, state="denied", purposes=("recording",)))
    assert new.state.consents.state_of(party, "recording") == "denied"


def test_what_was_agreed_before_gives_no_consent_back_to_the_call_that_takes_its_call_in(house):
    call = one_party(house)
    call.emit(Consent(at=house.now(1), party=0, state="granted", purposes=("recording",)))
    cut(house)
    new, other = again(house), house.host.call("other", at=house.now(LIMIT + 0.1))
    party = other.party("a", at=house.now(LIMIT + 0.1))
    other.emit(Consent(at=house.now(LIMIT + 1), party=party, state="denied", purposes=("recording",)))
    house.now(LIMIT + 2)
    assert other.merge(new)
    assert other.state.consents.state_of(party, "recording") == "denied"


def test_what_one_party_said_by_an_attribute_keeps_nobody_else_from_saying_it_in_the_call_that_goes_on(house):
    call = one_party(house)
    said = CallAttribute(at=house.now(1), name="variable.VCOND_CONSENT", value="granted", party=0)
    call.emit(said)
    cut(house)
    new = again(house)
    other = new.party("b", at=house.now(LIMIT + 0.1))
    new.emit(msgspec.structs.replace(said, at=house.now(LIMIT + 1), party=other))
    assert new.state.consents.state_of(other, "recording") == "granted"


@pytest.mark.parametrize("by", ["operator", "party"])
def test_a_pause_that_has_an_end_has_it_in_the_call_that_goes_on(house, by):
    call = one_party(house)
    party = 0 if by == "party" else None
    until = house.at(LIMIT + 30)
    call.emit(RecordingPaused(at=house.now(LIMIT - 1), by=by, party=party, reason="card", until=until))
    cut(house)
    new = again(house)
    new.party("a", at=house.now(LIMIT + 0.1))
    house.registry.tick(house.now(LIMIT + 29))
    assert new.state.paused
    house.registry.tick(house.now(LIMIT + 31))
    assert not new.state.paused
