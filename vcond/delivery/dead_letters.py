"""What the operator does with what a sink refused for good, beside sending it again: give it up."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from vcond.delivery import rows
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
