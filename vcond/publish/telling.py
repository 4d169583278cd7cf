"""What is missing in calls, for the operator: told while they go on, and when they are over logged, counted, kept of the last."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import structlog

from vcond.base import metrics
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.call.diagnosis import HINTS, OTHER, Diagnosis, diagnose_audio, hint
from vcond.call.state import Call
from vcond.call.stopped_audio import CODE as STOPPED

if TYPE_CHECKING:  # commands that tell what is missing send no traces
    from vcond.publish.traces import Traces

log = structlog.get_logger()

LAST = 50
"""Calls that are over of which ``vcond doctor`` without a call tells."""

WATCH_EVERY: Final = 5
"""Seconds between two looks at calls that go on."""
WATCH_AFTER: Final = 30
"""Seconds after the answer before which nobody is missed: who only listens may be silent at first."""
UNHEARD: Final = frozenset({"no-audio", "one-way-audio"})
WATCHED: Final = UNHEARD | {"digital-silence"}
"""Codes of what is told without listening, and can still be mended while the call goes on."""


class Findings:
    """Of the calls that ended since the daemon's start, and of those that go on."""

    def __init__(
        self,
        hints: Mapping[str, Mapping[str, str]] | None = None,
        traces: Traces | None = None,
        flagged: Callable[[str], None] = lambda _call: None,
    ) -> None:
        """``hints``: by adapter and code, what an adapter says is to be done. ``flagged`` is told of each call whose flags are others now."""
        self._hints = hints or {}
        self._traces, self._flagged = traces, flagged
        self._flags: dict[str, list[Diagnosis]] = {}
        """By call that goes on, what is wrong with it now."""
        self.last: deque[dict[str, Any]] = deque(maxlen=LAST)
        self._looked = Instant(0)
        self._told: dict[str, set[tuple[str, int | None]]] = {}
        """By call that goes on, what was said of it already."""
        self._adapters: set[str] = set()

    def tell(self, call: Call, found: Sequence[Diagnosis]) -> None:
        """Of one call; of each when its vCon is made."""
        until = call.ended if call.ended is not None else call.last
        self.last.append(row(call, found) | {"ended": rfc3339(until)})
        wrong = [one for one in found if one.wrong]
        codes = list(dict.fromkeys(one.code for one in wrong))
        known = list(dict.fromkeys(code if code in HINTS else OTHER for code in codes))
        if self._traces is not None:
            self._traces.made(call, known)
        if not wrong:
            return
        for code in known:
            metrics.call_findings_total.labels(call.adapter, code).inc()
        todo = hint(codes[0], self._hints.get(call.adapter))
        log.warning(
            "part of a call is not in its record; vcond doctor tells more", call=call.uuid,
            codes=",".join(codes), error=wrong[0].text, hint=todo,
        )  # fmt: skip

    def flags(self, call: Call) -> list[dict[str, Any]]:
        """What is wrong with a call that goes on, as it was looked at last, and what to do, for JSON."""
        return self.hinted(call.adapter, map(asdict, self._flags.get(call.uuid, ())))

    def hinted(self, adapter: str, found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Findings, for JSON, each with ``hint``: what to do."""
        own = self._hints.get(adapter)
        return [{**one, "hint": hint(one["code"], own)} for one in found]

    def forget(self, call: str) -> None:
        """Nothing is told of a call any more."""
        self._told.pop(call, None)
        self._flags.pop(call, None)
        for found in [one for one in self.last if one["call"] == call]:
            self.last.remove(found)

    def watch(self, calls: Iterable[tuple[Call, Sequence[int]]], now: Instant) -> None:
        """Look now and then at all calls that go on, of whatever adapter: what is wrong with a party is said once.

        With each, the parties whose audio has stopped: that is said where it is looked for.
        """
        if 0 <= now - self._looked < WATCH_EVERY * SECOND:
            return
        self._looked, before, self._told = now, self._told, {}
        flags, self._flags = self._flags, {}
        count: Counter[str] = Counter()
        for call, stopped in calls:
            told = self._told[call.uuid] = before.get(call.uuid, set())
            try:
                found = _unheard(call, now)
            except Exception:  # of one call: the others are looked at all the same
                log.exception("internal error while checking the audio of a call; please report it", call=call.uuid)
                continue
            count[call.adapter] += bool(found or stopped)
            self._flag(call, found, stopped, flags.get(call.uuid, []))
            for one in found:
                if (one.code, one.party) not in told:
                    told.add((one.code, one.party))
                    todo = hint(one.code, self._hints.get(call.adapter))
                    log.warning(
                        "audio is missing in an active call", call=call.uuid, code=one.code, error=one.text, hint=todo
                    )  # fmt: skip
        self._adapters |= count.keys()
        for adapter in self._adapters:
            metrics.calls_missing_audio.labels(adapter).set(count[adapter])

    def _flag(
        self, call: Call, found: Sequence[Diagnosis], stopped: Sequence[int], before: Sequence[Diagnosis]
    ) -> None:
        """With what its adapter says itself, and with whose audio has stopped, which its record has when it was said."""
        own = [Diagnosis(one.code, one.text or one.code) for one in call.warnings if one.code in UNHEARD]
        over = [Diagnosis(STOPPED, f"party {party}: no audio comes any more", party) for party in stopped]
        if now := list(dict.fromkeys([*own, *found, *over])):
            self._flags[call.uuid] = now
        if now != before:
            self._flagged(call.uuid)


def _unheard(call: Call, now: Instant) -> list[Diagnosis]:
    """Parties of whom nothing, or no sound, comes; of which their adapter, which knows more, has said nothing itself."""
    if call.answered is None or call.paused or now - call.answered < WATCH_AFTER * SECOND:
        return []
    known = UNHEARD if any(warned.code == "no-audio" for warned in call.warnings) else frozenset()
    warned = [Diagnosis(one.code, one.text) for one in call.warnings if one.code == "wrong-codec"]
    unheard = [
        one
        for one in diagnose_audio(call, now=now)
        if one.code in WATCHED - known and one.party is not None and call.parties[one.party].here
    ]
    return [*warned, *unheard]


def row(call: Call, found: Sequence[Diagnosis]) -> dict[str, Any]:
    """A call and what is missing in it, for JSON."""
    return {"call": call.uuid, "adapter": call.adapter, "ended": None, "findings": [asdict(one) for one in found]}
