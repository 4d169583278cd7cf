"""What was said of a leg's consent: how much of it is kept, what a variable says anew, and what goes with it into another call.

A person on a leg gives consent to a company and for a purpose (GDPR Art. 4(11)). So what stood of all purposes goes along when the
same conversation goes on in another record, however it was said; what is said in a conversation is of that conversation, and
only what somebody said when he was alone is said to whoever comes next, as far as nothing else was said in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import structs

from vcond.call.consents import standing
from vcond.sdk.contract import CallAttribute, Consent, Dtmf, LiveCall, Party, refuses
from vcond.sdk.leg import Leg

MOST_SAID: Final = 16
"""Words of consent, and keys, that one leg keeps; values of one variable that are known."""

Word: TypeAlias = CallAttribute | Consent | Dtmf
Origin: TypeAlias = Literal["event", "set", "asked", "shown"]
"""How a variable is known: ``event`` = an event has it as it is then; ``set`` = it was set at that moment; ``asked`` = it was asked
for; ``shown`` = of a snapshot, which may be older than what was told."""


def bounded(said: Sequence[Word]) -> list[Word]:
    """As much as is kept: a refusal is the last that goes."""
    kept = list(said)
    while len(kept) > MOST_SAID:
        kept.pop(next((place for place, one in enumerate(kept) if not _refuses(one)), 0))
    return kept


def is_new(leg: Leg, name: str, value: str, origin: Origin) -> bool:
    """Whether a variable says something that it had not said; it has from now on.

    Of a leg of an earlier run it is not known when it said so: consent does not come after a refusal then.
    """
    known = leg.heard.get(name, [])
    if not _changes(leg, name, value, origin):
        return False
    unsure = leg.found and not known and origin in {"asked", "shown"}
    return refuses(value) or not (unsure and _has_refused(leg))


def pause_is_new(leg: Leg, name: str, value: str, origin: Origin, *, ends: bool) -> bool:
    """As ``is_new``, of a variable that pauses recording or ``ends`` a pause.

    ``off`` that nobody saw set, as after a restart, may be older than what another channel paused since: it ends nothing.
    """
    unsure = not leg.heard.get(name) and (origin in {"asked", "shown"} or (leg.found and origin == "event"))
    return _changes(leg, name, value, origin) and not (ends and unsure)


def _changes(leg: Leg, name: str, value: str, origin: Origin) -> bool:
    """Whether a variable has another value than was known, or was set anew; it is known from now on."""
    known = leg.heard.get(name, [])
    again = value in known if origin == "shown" else known[-1:] == [value] and origin != "set"
    if not value or again:
        return False
    leg.heard[name] = [*(one for one in known if one != value), value][-MOST_SAID:]
    return True


def doubt(leg: Leg) -> None:
    """Of a leg of an earlier run whose party has refused: what its channel has of consent is older than that, perhaps."""
    if leg.found and _has_refused(leg):
        leg.said = [one for one in leg.said if not isinstance(one, CallAttribute) or refuses(one.value)]


def _has_refused(leg: Leg) -> bool:
    return any(one.state in {"denied", "withdrawn"} for one in _standing(leg))


def remember(alone: Iterable[Leg]) -> None:
    """Each was alone until now: what stands of it is said to whoever comes next, too."""
    for leg in alone:
        leg.standing = _standing(leg) if leg.party is not None else leg.standing


def brought(leg: Leg, before: Sequence[Consent]) -> None:
    """It has told a call what it had said. ``before``: what stood of its party there."""
    leg.standing = [one for one in _standing(leg) if one not in before]


def take_along(leg: Leg, *, goes_on: bool, call: LiveCall | None = None) -> None:
    """It leaves its call: what it says in the next one. ``goes_on``: that is the same conversation, in another record.

    ``call``: the one that it leaves, where its conversation has it no longer.
    """
    now = of(call or leg.conversation.call, leg)
    leg.said = bounded([*_together([one for one in now if goes_on or one in leg.standing]), *leg.said])
    leg.key = ""


def take_from(leg: Leg, call: LiveCall, party: Party) -> None:
    """It was a party of a call that is given up, and goes on in another one."""
    leg.said = bounded([*_together(standing(call.state.consents, party.index)), *leg.said])


def take_over(leg: Leg, before: Leg, *, same: bool) -> None:
    """Another channel has the person of ``before`` now. ``same``: in the same call, which was told; else he says there what he had said."""
    leg.said = bounded([*([] if same else _together(_standing(before))), *before.said])
    leg.standing = list(before.standing)
    before.said = []
    for name, values in before.heard.items():
        known = leg.heard.get(name, [])
        leg.heard[name] = [*(one for one in known if one not in values), *values][-MOST_SAID:]


def of(call: LiveCall | None, leg: Leg) -> list[Consent]:
    """What stands of a leg's party in a call."""
    party = call.state.party_by_key(leg.key) if call is not None and leg.key else None
    return standing(call.state.consents, party.index) if call is not None and party is not None else []


def _standing(leg: Leg) -> list[Consent]:
    return of(leg.conversation.call, leg)


def _together(said: Sequence[Consent]) -> list[Consent]:
    """One word for all purposes that it was said of."""
    found: list[Consent] = []
    for one in said:
        same = next((n for n, old in enumerate(found) if structs.replace(old, purposes=one.purposes) == one), None)
        if same is None:
            found.append(one)
        else:
            found[same] = structs.replace(one, purposes=found[same].purposes + one.purposes)
    return sorted(found, key=lambda one: one.at)


def _refuses(one: Word) -> bool:
    return (
        one.state in {"denied", "withdrawn"}
        if isinstance(one, Consent)
        else isinstance(one, CallAttribute) and refuses(one.value)
    )
