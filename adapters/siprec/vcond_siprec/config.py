"""``[adapters.siprec]``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from vcond.sdk.contract import ConfigError
from vcond_siprec.recordings import Rule

Listen = Annotated[str, Meta(pattern=r"^(udp|tcp|tls):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}\Z")]
"""``udp:192.0.2.5:5060``, ``tcp:[2001:db8::5]:5060``, ``tls:192.0.2.5:5061``."""
Network = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
_AT: Final = "adapters.siprec"


class SiprecConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A recording server (SRS) for SIPREC clients. Times are seconds."""

    listen: Annotated[list[Listen], Meta(min_length=1, max_length=8)] = msgspec.field(
        default_factory=lambda: ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
    )
    """Where SIP arrives: transport, address, port."""
    allow: Annotated[list[Network], Meta(max_length=200)] = msgspec.field(
        default_factory=lambda: ["127.0.0.0/8", "::1/128"]
    )
    """Addresses and networks of recording clients. Nobody else gets an answer."""
    certificate: Annotated[str, Meta(max_length=262_144)] = ""
    """Of ``tls`` in ``listen``: the certificate and those above it, a file (PEM), which SIGHUP has read again."""
    key: Annotated[str, Meta(max_length=65_536)] = ""
    """Its private key, likewise; empty = it is in the same file."""
    client_ca: Annotated[str, Meta(max_length=262_144)] = ""
    """With it clients need a certificate of this authority (PEM) to use ``tls``."""
    users: Annotated[dict[Name, Name], Meta(max_length=1000)] = {}
    """Passwords by name. With any, an INVITE is answered only to who knows one (Digest, SHA-256 or MD5)."""
    realm: Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{1,64}\Z")] = "vcond"
    """What clients are told that they need a password for."""
    md5: bool = True
    """Whether MD5 is offered beside SHA-256, for clients that know no better."""
    bind: str = ""
    """The address on which media is received; "" = the first of ``listen``."""
    advertise: str = ""
    """The address that clients are told for SIP and media, where it is not the one that they reached; "" = that one."""
    ports: tuple[int, int] = (20_000, 24_999)
    """UDP ports for media, two for each audio line, and for 30 s after it. (0, 0): the system picks."""
    reports: bool = True
    """Whether clients are told, every five seconds or so, what comes of their audio (RTCP): some end without it."""
    max_sessions: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Recording sessions at the same time; further ones are refused with 503."""
    max_lines: Annotated[int, Meta(ge=1, le=32)] = 8
    """Audio lines of one session that are received; further ones are answered ``inactive``."""
    join: list[Rule] = msgspec.field(default_factory=lambda: ["session", "group", "call-id", "vendor"])
    """What joins a recording session to a record that is open."""
    join_wait: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """Seconds after its last session that a record waits for one that is joined to it, as after a transfer."""
    inactive: Literal["drop", "keep"] = "drop"
    """Audio that comes although the client says that it sends none: paused, or on hold."""
    silence_timeout: Seconds = 600.0
    """Seconds without audio, of a session that should send some, until it is ended here: its BYE was lost."""
    paused_timeout: Seconds = 14_400.0
    """The same for a session whose lines are all paused."""

    def __post_init__(self) -> None:
        """Look at what a pattern does not say. Raises ConfigError."""
        for name, address in (("bind", self.bind), ("advertise", self.advertise)):
            if not address:
                continue
            try:
                ip_address(address)
            except ValueError:
                raise ConfigError("an address is needed, not a name", f"{_AT}.{name}") from None
        if not self.certificate and any(transport == "tls" for transport, _, _ in self.listeners()):
            raise ConfigError("is needed to listen for tls", f"{_AT}.certificate")
        listened = [host for _, host, _ in self.listeners()]
        if not self.advertise and any(ip_address(host).is_unspecified for host in [*listened, self.media_address]):
            raise ConfigError(
                "must be set when vcond listens on all addresses: the address that clients use", f"{_AT}.advertise"
            )

    def listeners(self) -> list[tuple[str, str, int]]:
        """``listen``, taken apart."""
        found = []
        for one in self.listen:
            transport, _, rest = one.partition(":")
            host, _, port = rest.rpartition(":")
            try:
                address = str(ip_address(host.strip("[]")))
            except ValueError:
                raise ConfigError("must be an address, as in udp:192.0.2.5:5060", f"{_AT}.listen") from None
            found.append((transport, address, int(port)))
        return found

    @property
    def told(self) -> str:
        """Where media is received, when that is said apart from where SIP is."""
        return self.bind

    @property
    def media_address(self) -> str:
        """Where media is received."""
        return self.bind or self.listeners()[0][1]
