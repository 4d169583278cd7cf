"""Keys that pause a call, or let it go on (``pause_keys`` and ``resume_keys`` of ``[[policy]]``)."""

from __future__ import annotations

from vcond.base.time import Instant
from vcond.call import events as ev
from vcond.call.state import Call
from vcond.policy.pausing import BETWEEN_KEYS, pressed

REASON = "keys"
"""What the record says of such a pause."""


class PauseKeys:
    """How far each party has come in the sequences of a call's rule. What else is pressed is remembered nowhere."""

    def __init__(self) -> None:
        self._came: dict[tuple[int, str], tuple[int, Instant]] = {}
        """By party and sequence: how many of its keys, and when the last was."""

    def meant(self, call: Call, key: ev.Dtmf) -> ev.RecordingPaused | ev.RecordingResumed | None:
        """What a key means that is the last of a sequence; None = it is a key like others."""
        terms = call.consents.terms
        if terms is None or not terms.pause_keys or not 0 <= key.party < len(call.parties):
            return None
        paused, resumed = (self._last(key, keys) for keys in (terms.pause_keys, terms.resume_keys))
        if paused:
            return ev.RecordingPaused(at=key.at, reason=REASON, by="party", party=key.party)
        if resumed and call.ending("party", key.party):
            return ev.RecordingResumed(at=key.at, by="party", party=key.party)
        return None

    def _last(self, key: ev.Dtmf, keys: str) -> bool:
        """Whether it is the last of a sequence."""
        if not keys:
            return False
        so_far, at = self._came.get((key.party, keys), (0, key.at))
        count = pressed(keys, so_far if abs(key.at - at) <= BETWEEN_KEYS else 0, key.button)
        whole = count == len(keys)
        self._came[key.party, keys] = (0 if whole else count, key.at)
        return whole
