"""``vcond consent``: what the operator, or a program of theirs, says that a party of a call said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import msgspec

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.capture.live_call import CapturedCall
from vcond.policy.consent import PURPOSES, SAID, check_evidence
from vcond.publish.summary import summary
from vcond.server.doors import Door

T = TypeVar("T")


class ConsentDoor:
    """The admin socket's ``consent``. A second word that says the same changes nothing, and is answered like the first."""

    def __init__(self, find: Callable[[dict[str, str]], CapturedCall], now: Callable[[], Instant]) -> None:
        """``find`` gives the live call that a query names, or raises LookupError."""
        self._find, self._now = find, now
        self.writes: dict[str, Door] = {"consent": self._consent}

    async def _consent(self, query: dict[str, str]) -> Any:
        """Raises LookupError, and ValueError which names what is wrong; nothing is changed then."""
        call = self._find(query)
        party = _party(call, query.get("party", ""))
        purposes = query["purposes"].split(",") if query.get("purposes") else ()
        said = {
            "t": "Consent",
            "at": self._now(),
            "party": party,
            "state": _one_of("state", query.get("state", ""), SAID),
            "how": _one_of("how", query.get("how", "operator"), get_args(ev.How)),
            "evidence": _evidence(query.get("evidence", "")),
            "purposes": tuple(_one_of("purposes", one, PURPOSES) for one in purposes),
        }
        before = len(call.state.consents.said)
        call.emit(ev.decode(said))
        changed = len(call.state.consents.said) > before
        return {**summary(call.state, call.not_recorded), "party": party, "changed": changed}


def _party(call: CapturedCall, named: str) -> int:
    """By its number in the call, or as it is shown: a name or number that only one has. Raises LookupError."""
    parties = call.state.parties
    shown = {one.index: {one.who.name, one.who.tel, one.who.sip} - {""} for one in parties}
    found = [one.index for one in parties if named == str(one.index)] or [
        i for i, names in shown.items() if named in names
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{i} ({min(names)})" if names else str(i) for i, names in shown.items()) or "none yet"
    raise LookupError(f"the call has {'several parties' if found else 'no party'} {named[:64]!r}; its parties: {known}")


def _one_of(key: str, value: str, known: tuple[T, ...]) -> T:
    for one in known:
        if value == one:
            return one
    raise ValueError(f"{key} must be one of {', '.join(map(str, known))}: {value[:64]!r}")


def _evidence(text: str) -> dict[str, str]:
    """Raises ValueError, which names the key."""
    try:
        evidence = msgspec.convert(json.loads(text or "{}"), dict[str, str])
    except (ValueError, RecursionError):
        raise ValueError('evidence must be a JSON object of texts, as in {"announcement": "recording-en"}') from None
    check_evidence(evidence)
    return evidence
