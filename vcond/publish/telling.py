"""What is missing in calls that are over, for the operator: logged, counted, and kept of the last ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from vcond.base import metrics
from vcond.base.time import rfc3339
from vcond.call.diagnosis import HINTS, OTHER, Diagnosis, hint
from vcond.call.state import Call

log = structlog.get_logger()

LAST = 50
"""Calls that are over of which ``vcond doctor`` without a call tells."""


class Findings:
    """Of the calls that ended since the daemon's start."""

    def __init__(self, hints: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """``hints``: by adapter and code, what an adapter says is to be done."""
        self._hints = hints or {}
        self.last: deque[dict[str, Any]] = deque(maxlen=LAST)

    def tell(self, call: Call, found: Sequence[Diagnosis]) -> None:
        """Of one call; of each when its vCon is made."""
        until = call.ended if call.ended is not None else call.last
        self.last.append(row(call, found) | {"ended": rfc3339(until)})
        wrong = [one for one in found if one.wrong]
        if not wrong:
            return
        codes = list(dict.fromkeys(one.code for one in wrong))
        for code in {code if code in HINTS else OTHER for code in codes}:
            metrics.call_findings_total.labels(call.adapter, code).inc()
        todo = hint(codes[0], self._hints.get(call.adapter))
        log.warning(
            "part of a call is not in its record; vcond doctor tells more", call=call.uuid,
            codes=",".join(codes), error=wrong[0].text, hint=todo,
        )  # fmt: skip


def row(call: Call, found: Sequence[Diagnosis]) -> dict[str, Any]:
    """A call and what is missing in it, for JSON."""
    return {"call": call.uuid, "adapter": call.adapter, "ended": None, "findings": [asdict(one) for one in found]}
