"""Consent as a vCon says it: ``lawful_basis`` attachments (draft-howe-vcon-lawful-basis-02), one for each party that answered.

A party that was only asked has none: it gave no basis. The draft has no word for a refusal but a grant that is not
granted (section 4.2), nor a proof for a key, a page or a header but ``external_system``, whose members it leaves open.
"""

from __future__ import annotations

from typing import Any, Final

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import Call
from vcond.policy.consent import PURPOSES
from vcond.vcon.building.mix import View
from vcond.vcon.dates import date

_DAY: Final = 86_400 * SECOND


def consents(call: Call, shown: View, dialog: int) -> dict[int, dict[str, Any]]:
    """By party the body of its attachment. ``dialog``: the index of the recording."""
    bodies = {party.index: _body(call, shown, dialog, party.index) for party in call.parties}
    return {party: body for party, body in bodies.items() if body is not None}


def told(call: Call) -> dict[str, Any]:
    """All that was said of consent and the rule that counted, for the capture report; nothing where neither was."""
    if call.consents.silent:
        return {}
    terms = call.consents.terms
    rule = {} if terms is None else {"policy": {"mode": terms.mode} | (
        {"until_granted": terms.until_granted} if terms.mode in {"announce", "ask"} else {})}  # fmt: skip
    said = [
        {"time": date(one.at), "party": one.party, "state": one.state, "how": one.how, "purposes": list(one.purposes)}
        | ({"evidence": one.evidence} if one.evidence else {})
        for one in call.consents.said
    ]
    return rule | ({"consent": said} if said else {})


def _body(call: Call, shown: View, dialog: int, party: int) -> dict[str, Any] | None:
    last = {purpose: call.consents.last(party, purpose) for purpose in PURPOSES}
    answers = {purpose: one for purpose, one in last.items() if one is not None and one.state != "asked"}
    if not answers:
        return None
    granted = [one.at for one in answers.values() if one.state == "granted"]
    days = call.consents.terms.expires_days if call.consents.terms is not None else 0
    proofs: list[ev.Consent] = []
    for one in answers.values():
        if one not in proofs:
            proofs.append(one)
    return {
        "lawful_basis": "consent",
        "expiration": date(Instant(max(granted) + days * _DAY)) if days and granted else None,
        "purpose_grants": [
            {"purpose": purpose, "granted": one.state == "granted", "granted_at": date(one.at)}
            for purpose, one in answers.items()
        ],
        "proof_mechanisms": [_proof(call, shown, dialog, one) for one in proofs],
    }


def _proof(call: Call, shown: View, dialog: int, said: ev.Consent) -> dict[str, Any]:
    """Words that can be heard in the recording are a proof of their own; of all else this edge tells what it was told."""
    if said.how == "words" and not call.hidden_in(said.at, Instant(said.at + 1), said.party):
        data: dict[str, Any] = {
            "dialog_reference": dialog,
            "time_offset": _offset(shown.offset(said.at)),
            "confirmation_text": said.evidence.get("text", ""),
        }
        return {"proof_type": "verbal_confirmation", "timestamp": date(said.at), "proof_data": data}
    data = {"system_url": f"urn:uuid:{call.uuid}", "vcon": call.uuid, "recorder": call.recorder, "state": said.state,
            "how": said.how}  # fmt: skip
    return {
        "proof_type": "external_system",
        "timestamp": date(said.at),
        "proof_data": data | ({"evidence": said.evidence} if said.evidence else {}),
    }


def _offset(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
