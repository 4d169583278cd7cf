"""How one sink takes deliveries, and what each of its answers means for the vCon and for the sink."""

from __future__ import annotations

from typing import Final, TypeAlias

import structlog

from vcond.base import metrics
from vcond.delivery.circuit_breaker import SECOND, CircuitBreaker
from vcond.delivery.model import SinkState
from vcond.delivery.rows import Job, Outcome
from vcond.delivery.sizes import SizeLimit
from vcond.sdk.sink import Receipt, Refused, Retry

log = structlog.get_logger()

REMIND: Final = round(3600 * SECOND)
"""A sink that stays held is said again after so many nanoseconds."""
ABOUT_ALL: Final = frozenset({"unreachable", "tls"})
"""Reasons that no vCon brings about."""
Result: TypeAlias = Receipt | Retry | Refused | FileNotFoundError
"""How a try ended; FileNotFoundError: the vCon's file is gone."""


class SinkCondition:
    """Well, down, held, or well but for large vCons; told to the log when it changes."""

    def __init__(self, name: str, breaker: CircuitBreaker) -> None:
        self.sizes = SizeLimit(breaker.rng)
        self._name, self._breaker = name, breaker
        self._why: Retry | None = None
        """Why it does not take deliveries."""
        self._too_large: Retry | None = None
        self._since = self._said = 0
        self._log = log.bind(sink=name)

    def state(self, now: int) -> SinkState:
        """How the sink takes deliveries just now."""
        breaker, why = self._breaker, self._why
        if breaker.down and not breaker.doubted and why is not None:
            return SinkState(
                self._name,
                "held" if breaker.held else "down",
                why.reason,
                why.detail,
                why.hint,
                self._since,
                breaker.until(now),
                self.sizes.bytes,
            )
        large = self._too_large
        if self.sizes.bytes and large is not None:
            limit, until = self.sizes.bytes, self.sizes.until
            return SinkState(self._name, "ok", large.reason, large.detail, large.hint, self._since, until, limit)
        return SinkState(self._name, "ok")

    def confirm(self, now: int) -> None:
        """There is no other vCon to try a doubted sink with: it is held."""
        self._breaker.confirm(now)
        if self._why is not None:
            self._say_down(self._why, now, began=True)

    def evaluate(self, job: Job, result: Result, now: int) -> Outcome | None:
        """What it means for the vCon and for the sink's breaker; None = the vCon's file is gone."""
        if isinstance(result, FileNotFoundError):
            return None
        if isinstance(result, Retry):
            metrics.deliveries_total.labels(self._name, "retry").inc()
            return self._too_big(job, result, now) if result.too_large else self._later(job, result, now)
        if (isinstance(result, Receipt) or result.asked) and self._breaker.succeeded(now, job.seq):
            self._log.info("sink up again")
        self.show()
        if isinstance(result, Refused):
            metrics.deliveries_total.labels(self._name, "refused").inc()
            self._log.error(
                "vCon refused by the receiver; moved to the dead letters",
                call=job.uuid,
                reason=result.reason,
                hint=result.hint,
            )
            return Outcome("dead", now, status=result.status, reason=result.reason, answer=result.answer)
        if self.sizes.taken(job.size):
            self._log.info("large vCons are accepted again", bytes=job.size)
        metrics.deliveries_total.labels(self._name, "delivered").inc()
        self._log.info("vCon delivered", call=job.uuid, status=result.status, tries=job.attempts + 1)
        return Outcome(
            "delivered", now, status=result.status, answer=result.answer, target=result.target, sent=result.sent
        )

    def _later(self, job: Job, why: Retry, now: int) -> Outcome:
        """A sink that is down makes the vCons wait for itself; else the vCon waits alone."""
        about_all = why.after is not None or why.reason.partition(":")[0] in ABOUT_ALL
        if why.whole_sink and not about_all and self._is_about(job, why, now):
            wait, news = self._breaker.refused_alone(job.seq)
            if news:
                self._log.warning(
                    "the sink accepts other vCons, but not this one; retrying, at least once an hour",
                    call=job.uuid, reason=why.reason, detail=why.detail, hint=why.hint,
                )  # fmt: skip
            return Outcome("pending", now, now + wait, why.status, why.reason, why.answer)
        was_down = self._breaker.down
        began = self._breaker.failed(
            now, job.seq, whole_sink=why.whole_sink, after=why.after, held=why.held, about_all=about_all
        )
        if self._breaker.doubted:
            self._why = why if why.held else self._why
        elif self._breaker.down:
            self._say_down(why, now, began=began)
        else:
            self._log.info("delivery failed; retrying", call=job.uuid, reason=why.reason, detail=why.detail)
        next_at = 0
        if not (why.held or (was_down and why.whole_sink)):
            next_at = now + max(self._breaker.backoff(job.attempts + 1), round((why.after or 0) * SECOND))
        return Outcome("pending", now, next_at, why.status, why.reason, why.answer)

    def _is_about(self, job: Job, why: Retry, now: int) -> bool:
        """Whether it is this vCon that the sink does not take."""
        if self._breaker.alone(job.seq, held=why.held):
            return True
        return why.held and self._breaker.vouched(now, job.seq, job.published_at)

    def _say_down(self, why: Retry, now: int, *, began: bool) -> None:
        """When it begins, when the reason is another one, and every hour while somebody must set something right."""
        before, self._why = self._why, why
        if began:
            self._since = now
        again = self._breaker.held and not 0 <= now - self._said < REMIND
        if not began and before is not None and before.reason == why.reason and not again:
            return
        self._said = now
        told = {"reason": why.reason, "status": why.status, "detail": why.detail, "hint": why.hint}
        if self._breaker.held:
            self._log.error("sink held: it refuses all deliveries until this is corrected; queueing", **told)
        else:
            self._log.warning("sink down; queueing", **told)
        self.show()

    def _too_big(self, job: Job, why: Retry, now: int) -> Outcome:
        """Something on the way refuses what is so large: this one and larger ones wait, smaller ones go on."""
        if not self.sizes.bytes:
            self._since = now
        self._too_large = why
        if self.sizes.refused(now, job.size):
            self._log.error(
                "large vCons queued: the sink or a proxy refuses this size; smaller ones are still sent",
                call=job.uuid, bytes=job.size, reason=why.reason, detail=why.detail, hint=why.hint,
            )  # fmt: skip
        self.show()
        return Outcome("pending", now, self.sizes.until, why.status, why.reason, why.answer)

    def show(self) -> None:
        """As gauges."""
        metrics.sink_up.labels(self._name).set(not self._breaker.down or self._breaker.doubted)
        metrics.sink_held.labels(self._name).set(self._breaker.held or self.sizes.bytes > 0)
