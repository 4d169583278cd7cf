"""``[adapters.webrtc]``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vcond.sdk.contract import Purpose

Path = Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)]
Url = Annotated[str, Meta(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)]
Origin = Annotated[str, Meta(pattern=r"^(\*|https?://[^\s/?#]+)\Z", max_length=300)]
Address = Annotated[str, Meta(pattern=r"^[0-9a-fA-F.:]+\Z", max_length=45)]
HOST = r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?"
"""Of a STUN or TURN server: a name or an IPv4 address, which is what aiortc takes (RFC 7064, RFC 7065)."""
Seconds = Annotated[float, Meta(gt=0, le=3600)]

CONSENT = "I agree that this conversation is recorded and written down."


class WebRtcConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[adapters.webrtc]``: browsers and other WHIP clients that publish a microphone. Times are seconds."""

    path: Path = "/whip"
    """Where on the daemon's HTTP port offers arrive (the WHIP endpoint)."""
    page: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*\Z", max_length=200)] = "/webrtc"
    """Where the page for people is served. Empty = not at all."""
    consent: Annotated[str, Meta(max_length=500)] = CONSENT
    """What a person agrees to on the page before the microphone is opened. Empty = nobody is asked."""
    consent_for: Annotated[tuple[Purpose, ...], Meta(min_length=1, max_length=3)] = ("recording", "transcription")
    """What that text names: the vCon says that the person agreed to these, and to nothing else."""
    public_url: Url = ""
    """What ``vcond check`` shows as the URL of endpoint and page. Empty = it cannot tell."""
    secret: Annotated[str, Meta(max_length=500)] = ""
    """Key of the tokens (JWT, HS256) that your application gives to publishers; at least 32 bytes. Empty = only the
    ingress token is taken, which then is in the hands of whoever publishes."""
    origins: Annotated[tuple[Origin, ...], Meta(max_length=50)] = ()
    """Web pages of other origins that may publish (CORS): ``https://app.example.com``, or ``*``."""

    addresses: Annotated[tuple[Address, ...], Meta(max_length=16)] = ("127.0.0.1",)
    """Addresses of this machine that take media (UDP). Empty = all but loopback."""
    advertise: Annotated[str, Meta(pattern=r"^[0-9a-fA-F.:]*\Z", max_length=45)] = ""
    """The address that publishers are told instead, when this machine is behind a one-to-one NAT."""
    ports: Annotated[str, Meta(pattern=r"^([0-9]{1,5}-[0-9]{1,5})?\Z")] = ""
    """UDP ports that take media, one for each publisher and address: ``40000-40999``. Empty = the system picks."""
    stun: Annotated[str, Meta(pattern=rf"^(stun:{HOST})?\Z", max_length=300)] = ""
    """A STUN server that tells our public address: ``stun:stun.example.com:3478``."""
    turn: Annotated[str, Meta(pattern=rf"^(turn:{HOST}(\?transport=(udp|tcp))?|turns:{HOST}(\?transport=tcp)?)?\Z")] = (
        ""
    )
    """A TURN server through which publishers reach us: ``turn:turn.example.com:3478?transport=udp``, or ``turns:``."""
    turn_user: Annotated[str, Meta(max_length=300)] = ""
    """Name of the login at the TURN server."""
    turn_password: Annotated[str, Meta(max_length=300)] = ""
    """Its password."""
    turn_secret: Annotated[str, Meta(max_length=500)] = ""
    """The secret of the TURN server (coturn: ``static-auth-secret``), instead of name and password: logins are made
    with it, good for a day, one for us and one for each publisher."""

    rate: Literal[16_000, 48_000] = 16_000
    """Samples a second that are kept of Opus. 16,000 is all that speech recognition uses, a third of the disk."""
    max_sessions: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Publishers at the same time; one more is answered with 503."""
    max_per_address: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Publishers from one address at the same time; one more is answered with 429."""
    max_per_token: Annotated[int, Meta(ge=1, le=10_000)] = 5
    """Publishers with one signed token at the same time; one more is answered with 429."""
    offers_per_minute: Annotated[int, Meta(ge=1, le=60_000)] = 120
    """Offers from one address, good or bad; more are answered with 429."""
    proxies: Annotated[tuple[Address, ...], Meta(max_length=16)] = ("127.0.0.1", "::1")
    """Proxies whose X-Forwarded-For says where a request came from, for the limits of an address."""
    max_parties: Annotated[int, Meta(ge=1, le=200)] = 20
    """Publishers of one call at the same time; one more is answered with 409."""
    connect_timeout: Seconds = 20
    """From the offer to the first audio."""
    media_timeout: Seconds = 15
    """A publisher that sends nothing for so long is gone: its browser was killed, its network is down."""
    grace: Annotated[float, Meta(ge=0, le=3600)] = 10
    """How long a call waits for somebody to come back after its last publisher was lost: a reload, a new network."""
