"""Which channels were in a call, as its own record says: the id of each is a fact of its party."""

from __future__ import annotations

from typing import Final

from vcond.sdk.contract import LiveCall, Party

AGAIN: Final = ".again"
"""Behind the name of a fact of a party that came back: of its latest leg, where that of the first is kept."""
IDS: Final = frozenset({"uniqueid", f"uniqueid{AGAIN}"})


def fact_of(call: LiveCall, name: str, party: Party) -> str:
    """A fact of a party; empty when there is none."""
    return next((fact.value for fact in call.state.facts if fact.name == name and fact.party == party.index), "")


def channels_of(call: LiveCall) -> set[str]:
    """Ids of all channels that were a party."""
    return {fact.value for fact in call.state.facts if fact.name in IDS and fact.party is not None}


def party_of_channel(call: LiveCall, channel: str) -> Party | None:
    """The party that a channel was: by its id, which is the party's key or was noted as a fact."""
    for fact in call.state.facts:
        if fact.name in IDS and fact.value == channel and fact.party is not None:
            return call.state.parties[fact.party]
    return call.state.party_by_key(channel)
