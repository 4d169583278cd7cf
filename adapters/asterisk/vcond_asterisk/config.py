"""The section ``[adapters.asterisk]`` of the configuration."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from vcond.sdk import Seconds, Selection, secret
from vcond.sdk.contract import ConfigError

LOOPBACK: Final = "vcond-loopback"
"""The application of ``vcond check --loopback``. With it only channels that it makes itself are parties (``LOOPBACK_PARTY``)."""
LOOPBACK_PARTY: Final = f"{LOOPBACK}-party-"
"""What the ids of those begin with."""


class Config(Selection, forbid_unknown_fields=True, kw_only=True):
    """How to reach one Asterisk, and which of its calls to record.

    Patterns are those of a shell (``*``, ``?``, ``[abc]``), case counts. Endpoints are named as in Asterisk's console:
    ``PJSIP/agent``, the channel's name without its number.
    """

    url: str = "http://127.0.0.1:8088"
    """Asterisk's HTTP server (http.conf); ``https`` and ``wss`` when it begins with ``https``."""
    ca: Annotated[str, msgspec.Meta(max_length=262_144)] = ""
    """File (PEM) of the authority of its certificate; empty = the machine's own authorities."""
    user: str = "vcond"
    """User of ari.conf. It must not be ``read_only``."""
    password: str = ""
    """Its password."""
    password_file: str = ""
    """A file that holds the password, instead of ``password``; with systemd: ``%d/ari`` and ``LoadCredential=ari:...``."""
    app: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "vcond"
    """Name of the ARI application. Two vconds on one Asterisk need two names."""
    bind: str = "127.0.0.1"
    """Address on which Asterisk's audio (AudioSocket, TCP) is taken. It carries speech and has no password: keep it
    on loopback or in a network that only the PBX reaches."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port for it; 0 = any free one, which is right when no firewall is between."""
    advertise: str = ""
    """Address (or ``address:port``) that Asterisk connects to, when it is not ``bind``: NAT, containers, 0.0.0.0."""
    rate: Literal[8000, 16000] = 8000
    """Samples a second that Asterisk sends. 16000 (wideband calls) needs Asterisk 20.17, 22.7, 23.1 or newer."""
    only_if_variable: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Record a call only once this channel variable is set (and is not 0, no, off, false) on one of its channels."""
    no_audio_seconds: Seconds = 10.0
    """Seconds: an answered leg of which nothing was heard for this long is reported."""
    stall_seconds: Seconds = 5.0
    """Seconds: a tap that sends no frames for this long (Asterisk sends one every 20 ms, also of silence) is made anew."""
    timeout: Seconds = 5.0
    """Seconds for every request to Asterisk."""

    def secret(self) -> str:
        """The password. Raises ConfigError when its file cannot be read."""
        return secret(self.password, self.password_file, "adapters.asterisk.password_file")

    def host(self) -> str:
        """Domain of the ``sip`` addresses."""
        return self.domain or urlsplit(self.url).hostname or "localhost"

    def checked(self) -> Config:
        """This configuration, when its values can work together. Raises ConfigError."""
        where = "adapters.asterisk."
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise ConfigError("must be the http:// or https:// address of an Asterisk", where + "url")
        if self.password and self.password_file:
            raise ConfigError("set password or password_file, not both", where + "password")
        _address(self.bind, where + "bind")
        if self.advertise:
            split_advertised(self.advertise, 1)
        elif ip_address(self.bind).is_unspecified:
            raise ConfigError(
                f"must be set when bind is {self.bind}: Asterisk cannot connect to that address", where + "advertise"
            )
        return self


def split_advertised(text: str, port: int) -> str:
    """``host:port`` as Asterisk wants it, with ``port`` when ``text`` has none. Raises ConfigError."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text)
    if not found or int(found[2] or 1) not in range(1, 65536):
        raise ConfigError("must be a host or host:port", "adapters.asterisk.advertise")
    return f"{found[1]}:{found[2] or port}"


def _address(text: str, path: str) -> None:
    try:
        ip_address(text)
    except ValueError as why:
        raise ConfigError("must be an IP address of this machine (127.0.0.1, 0.0.0.0, ::)", path) from why
