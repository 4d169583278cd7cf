"""``[adapters.twilio]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from vcond.sdk.media_stream import StreamSettings

Tokens = Annotated[list[Annotated[str, Meta(min_length=16, max_length=200)]], Meta(max_length=4)]


class TwilioConfig(StreamSettings, forbid_unknown_fields=True, frozen=True):
    """``[adapters.twilio]``: media streams that Twilio opens towards us. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/twilio/stream"
    """Where on the daemon's HTTP port the streams arrive. Twilio appends the ingress token: ``<path>/<token>``."""
    public_url: Annotated[str, Meta(pattern=r"^((https?|wss?)://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)] = ""
    """What ``vcond check`` shows as the URL for your TwiML, and what Twilio signs. Empty = ``web.public_url``."""
    auth_tokens: Tokens = msgspec.field(default_factory=list)
    """The account's auth token, and the next one while you change it: a stream is let in when its handshake is signed with
    one (``X-Twilio-Signature``), and the ingress token is not asked for. Empty = the ingress token lets streams in."""
