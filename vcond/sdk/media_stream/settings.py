"""What every adapter that takes media streams lets its operator set."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=3600)]


class StreamSettings(msgspec.Struct, frozen=True):
    """Times are seconds."""

    max_streams: Annotated[int, Meta(ge=1, le=100_000)] = 400
    """Streams at the same time; one more is answered with 503."""
    start_timeout: Annotated[float, Meta(gt=0, le=3600)] = 10
    """How long a socket may be open before its stream begins."""
    idle_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 120
    """A stream that says nothing for so long is hung up, as if its connection had been lost."""
    grace: Seconds = 10
    """After a connection that was lost: how long the call waits for another stream of it before it is over."""
    stop_grace: Seconds = 0
    """After a regular stop: the same. More than 0 if your application stops and starts streams within one call
    (to leave card numbers out, say); every vCon then leaves that much later."""
