"""What the operator does with what a sink refused for good, beside sending it again: give it up; and with what is for no sink."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from vcond.delivery import nobodys, rows
from vcond.delivery.outbox import Outbox

log = structlog.get_logger()


async def discard(outbox: Outbox, uuid: str, now: int) -> Sequence[str]:
    """The dead deliveries of a vCon are never put back; of which sinks. What waits for others goes on waiting.

    The ledger says ``discarded`` of them from then on, the log once. Raises StorageError.
    """
    known = [one.sink for one in outbox.sinks()]
    sinks = await outbox.tell("discard a dead letter", lambda db: rows.discard(db, uuid, known, now))
    if sinks:
        log.warning("dead letter discarded by the operator: these sinks never get it", call=uuid, sinks=sinks)
    return sinks


async def send_unmatched(outbox: Outbox, sink: str) -> int:
    """Send what no sink's ``match`` took to this sink all the same; how many vCons. Raises StorageError."""
    count = 0
    while some := await outbox.tell("send vCons that are for no sink", lambda db: nobodys.send(db, sink)):
        count += some
    outbox.nudge(sink)
    return count


async def discard_unmatched(outbox: Outbox, last: int, now: int) -> int:
    """Give up what no sink's ``match`` took, none newer than the vCon at ``last``; how many. The ledger says it of each.

    Raises StorageError: those before stay given up.
    """
    known, count = [one.sink for one in outbox.sinks()], 0
    try:
        while some := await outbox.tell("discard vCons", lambda db: nobodys.discard(db, known, last, now)):
            count += some
    finally:
        if count:
            log.warning("vCons that are for no sink were discarded by the operator: nobody gets them", vcons=count)
    return count
