"""``[adapters.twilio]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=3600)]


class TwilioConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[adapters.twilio]``: media streams that Twilio opens towards us. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/twilio/stream"
    """Where on the daemon's HTTP port the streams arrive. Twilio appends the ingress token: ``<path>/<token>``."""
    public_url: Annotated[str, Meta(pattern=r"^((https?|wss?)://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)] = ""
    """What ``vcond check`` shows as the URL for your TwiML. Empty = ``web.public_url``."""
    max_streams: Annotated[int, Meta(ge=1, le=100_000)] = 400
    """Streams at the same time; one more is answered with 503."""
    start_timeout: Annotated[float, Meta(gt=0, le=3600)] = 10
    """How long a socket may be open before its ``start`` message."""
    idle_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 120
    """A stream that says nothing for so long is hung up, as if its connection had been lost."""
    grace: Seconds = 10
    """After a connection that was lost: how long the call waits for another stream of it before it is over."""
    stop_grace: Seconds = 0
    """After a regular stop: the same. More than 0 if your application stops and starts streams within one call
    (to leave card numbers out, say); every vCon then leaves that much later."""
