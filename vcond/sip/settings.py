"""What a server of this room can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

METHODS: Final = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO")
"""What is understood; all of it is in Allow."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server, whatever transports it listens on."""

    product: str = "vcond"
    """Server of each answer."""
    extensions: frozenset[str] = frozenset()
    """Option tags, in lower case, that the application understands besides ``timer``: accepted in Require, sent in
    Supported. Any other in Require is refused with 420."""
    accept: tuple[str, ...] = ("application/sdp",)
    """Media types of bodies, alone or in parts; sent in Accept. What to do with others is the application's: 415."""
    contact_params: str = ""
    """Behind the brackets of Contact, as in ``;+sip.srs``."""
    advertise: str = ""
    """The host in Contact where it is another one than the socket's, as behind NAT."""
    allowed: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Addresses and networks that get an answer; nobody else does, nor a connection."""
    invites: float = 100
    """New calls a second from one address; more are refused with 503. Also so many at once."""
    options: float = 500
    """The same for OPTIONS outside of a dialog."""
    dialogs: int = 2000
    """At the same time; more are refused with 503."""
    transactions: int = 20_000
    """Answers that are remembered at the same time, each for 32 s; more requests are refused with 503."""
    session_expires: int = 1800
    """Seconds between refreshes, asked of clients that know session timers and say no time; 0 asks none."""
    min_se: int = 90
    """The shortest that a client may want (RFC 4028 section 4: not under 90)."""
    realm: str = "vcond"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by name, for Digest; empty asks nobody."""
    md5: bool = True
    """Whether MD5 is offered behind SHA-256, for clients that know no better (RFC 8760)."""
    answer_timeout: float = 10
    """Seconds that the application may take for an answer; then 500."""
    connections: int = 512
    """Of TCP and TLS at the same time."""
    connections_each: int = 64
    """Of them from one address."""
    idle: float = 3600
    """Seconds without a byte after which a connection is closed. Dialogs do not mind: the next request may come on a
    new one. Clients send on idle ones, so this is long."""
    half_open: float = 30
    """Seconds for a TLS handshake, for the first message, and for the rest of one that has begun."""
