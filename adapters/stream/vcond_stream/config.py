"""``[adapters.stream]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from vcond.sdk.media_stream import StreamSettings

Secrets = Annotated[dict[str, Annotated[str, Meta(min_length=8, max_length=500)]], Meta(max_length=32)]


class StreamConfig(StreamSettings, forbid_unknown_fields=True, frozen=True):
    """``[adapters.stream]``: media streams that platforms open towards us. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/stream"
    """Where on the daemon's HTTP port the streams arrive: ``<path>/<dialect>/<token>``, or ``<path>/<token>`` for peers
    whose first message shows what they are."""
    public_url: Annotated[str, Meta(pattern=r"^((https?|wss?)://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)] = ""
    """What ``vcond check`` shows as the URL for your platform, and what platforms sign. Empty = ``web.public_url``."""
    secrets: Secrets = msgspec.field(default_factory=dict)
    """By dialect, what its platform signs handshakes with or sends along: ``plivo = "${credential:plivo-auth-token}"``. Such a path
    asks for that, and not for the ingress token. The README says what it is for each."""
    webhooks: Secrets = msgspec.field(default_factory=dict)
    """By dialect, what its platform signs webhooks with: ``telnyx = "${credential:telnyx-public-key}"``. Then
    ``<path>/<dialect>/status`` takes only what is signed so, and no ingress token. The README says what it is for each."""
