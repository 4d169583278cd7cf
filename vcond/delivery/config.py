"""``[delivery]``: how long things stay, and the waits between tries."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class OutboxConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[delivery]``: how the outbox paces itself."""

    keep_days: Annotated[float, Meta(ge=0, le=3650)] = 7
    """How long a vCon's file stays after every sink has it, so that it can be sent again; shorter while disk space is low.
    0 = it is removed at once."""
    ledger_days: Annotated[float, Meta(ge=0, le=36_500)] = 0
    """How long the outbox remembers a vCon's deliveries (about 420 bytes each) after its file is gone. 0 = for ever. The
    ledger of who received what stays in any case."""
    backoff_min: Annotated[float, Meta(gt=0, le=3600)] = 5
    """Seconds: bound of the first wait after a failure; it doubles from there. Waits are uniform below the bound."""
    backoff_max: Annotated[float, Meta(gt=0, le=3600)] = 300
    """Seconds: the largest bound."""
    drain: Annotated[float, Meta(ge=0, le=600)] = 10
    """Seconds that deliveries under way get when ``run`` is cancelled."""
    attempt_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 900
    """Seconds after which one try is given up even when the sink itself has no time-out."""
