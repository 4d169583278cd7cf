"""``[adapters.twilio]``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from vcond.sdk.media_stream import StreamSettings


class TwilioConfig(StreamSettings, forbid_unknown_fields=True, frozen=True):
    """``[adapters.twilio]``: media streams that Twilio opens towards us. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/twilio/stream"
    """Where on the daemon's HTTP port the streams arrive. Twilio appends the ingress token: ``<path>/<token>``."""
    public_url: Annotated[str, Meta(pattern=r"^((https?|wss?)://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)] = ""
    """What ``vcond check`` shows as the URL for your TwiML. Empty = ``web.public_url``."""
