"""A call for people and for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vcond.base.time import SECOND, Instant, rfc3339, seconds
from vcond.call.diagnosis import Diagnosis, diagnose
from vcond.call.events import Utterance
from vcond.call.intervals import Interval
from vcond.call.state import Call
from vcond.policy.consent import PURPOSES
from vcond.policy.pausing import on


def summary(call: Call, not_recorded: str = "", *, now: Instant | None = None) -> dict[str, Any]:
    """A call in one line. ``not_recorded``: why nothing of it is kept. ``now``: of a call that goes on."""
    until = call.ended or call.last
    held, waiting = _held(call), call.untranscribed()
    return {
        "call": call.uuid,
        "adapter": call.adapter,
        "opened": rfc3339(call.opened),
        "answered": rfc3339(call.answered) if call.answered is not None else None,
        "ended": rfc3339(call.ended) if call.ended is not None else None,
        "seconds": round(seconds((until) - call.opened), 1),
        "parties": [
            {"name": p.who.name, "tel": p.who.tel or p.who.sip, "here": p.here, "held": p.here and p.index in held}
            for p in call.parties
        ],
        "recorded": not not_recorded,
        "not_recorded": not_recorded,
        "paused": call.paused,
        "paused_by": [paused_by(call, one) for one in on(call.pauses)],
        "consent": consents(call),
        "utterances": len(call.speech),
        "waiting": len(waiting),
        "transcription": transcription(call),
        "lag": lag(call, waiting, now),
    }


def _held(call: Call) -> set[int]:
    """Parties that were put on hold and not taken back."""
    last = {one.party: one.event for one in call.history if one.event in {"hold", "unhold"}}
    return {party for party, event in last.items() if event == "hold"}


def consents(call: Call) -> list[dict[str, Any]]:
    """What each party said of each purpose, and whether its voice is kept now; nothing where there is neither rule nor word."""
    if call.consents.silent:
        return []
    return [
        {
            "party": party.index,
            "rule": call.consents.terms.mode if call.consents.terms is not None else "",
            "kept": call.consents.keeps(party.index, "recording"),
            "text": call.consents.keeps(party.index, "transcription"),
        }
        | {purpose: call.consents.state_of(party.index, purpose) for purpose in PURPOSES}
        for party in call.parties
    ]


def paused_by(call: Call, pause: Interval) -> str:
    """Who paused, for the operator: ``party 0 (Ann)``, ``operator``."""
    if pause.party is None or not 0 <= pause.party < len(call.parties):
        return pause.by or "unknown"
    who = call.parties[pause.party].who
    name = who.name or who.tel or who.sip
    return f"party {pause.party}" + (f" ({name})" if name else "")


def transcription(call: Call) -> str:
    """How a call is transcribed: ``live``, ``finals``, ``deferred``, or ``none`` when no engine was there."""
    if call.speech_states:
        return call.speech_states[-1].state
    return "live" if any(fact.name == "speech_engine" for fact in call.facts) else "none"


def lag(call: Call, waiting: Sequence[Utterance], now: Instant | None = None) -> float | None:
    """Seconds from the end of what is said to its text: of the last text, or for how long one of ``waiting`` has been waited for,
    in whole seconds, when that is more. None: no text has come while people spoke, or none is to come before the call's end.
    """
    if transcription(call) not in {"live", "finals"}:
        return None
    texts = (one.transcript for one in reversed(call.speech.values()) if one.transcript is not None)
    last = next((round(text.lag_ms / 1000, 1) for text in texts if not text.deferred), None)
    until = now if now is not None else call.last
    waited = max((until - one.at for one in waiting), default=0) // SECOND
    return float(waited) if waited > (last or 0) else last


def detail(
    call: Call, not_recorded: str = "", *, sounds: Mapping[int, str] | None = None, now: Instant | None = None
) -> dict[str, Any]:
    """A call with its history, its text, and what is missing: see ``vcond.call.diagnosis.diagnose``."""
    found = diagnose(call, sounds, now)
    if not_recorded:
        found.insert(0, Diagnosis("not-recorded", f"nothing of this call is kept: {not_recorded}"))
    lines: list[dict[str, Any]] = []
    for spoken in call.speech.values():
        track = call.tracks[spoken.utterance.track]
        lines.append(
            {
                "start": round(spoken.utterance.start / track.rate, 2),
                "stop": round(spoken.utterance.stop / track.rate, 2),
                "party": track.party,
                "text": spoken.transcript.text if spoken.transcript else None,
                "failed": spoken.failed,
            }
        )
    return {
        **summary(call, not_recorded, now=now),
        "history": [
            {"at": round(seconds(m.at - call.opened), 2), "party": m.party, "event": m.event, "button": m.button}
            for m in call.history
        ],
        "speech": sorted(lines, key=lambda line: line["start"]),
        "warnings": [w.code for w in call.warnings],
        "findings": [asdict(one) for one in found],
        "tracks": [
            {"party": t.party, "codec": t.codec, "rate": t.rate,
             "spans": [[round(a / t.rate, 2), round(b / t.rate, 2), k.value] for a, b, k in t.spans]}
            for t in call.tracks
        ],
    }  # fmt: skip
