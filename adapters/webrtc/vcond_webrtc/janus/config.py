"""``[adapters.janus]``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from vcond.sdk.contract import ConfigError
from vcond_webrtc.janus.wire import Id

Secret = Annotated[str, Meta(max_length=500)]
Port = Annotated[int, Meta(ge=1024, le=65_535)]
ANY = "*"
WHERE = "adapters.janus."


class JanusConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[adapters.janus]``: the VideoRooms of one Janus. Times are seconds."""

    url: Annotated[str, Meta(max_length=500)] = "ws://127.0.0.1:8188"
    """Janus's API over WebSocket: ``ws_port`` or ``wss_port`` of ``janus.transport.websockets.jcfg``."""
    ca: Annotated[str, Meta(max_length=262_144)] = ""
    """File (PEM) of the authority of its certificate; empty = the machine's own authorities."""
    api_secret: Secret = ""
    """``api_secret`` of ``janus.jcfg``, where it has one."""
    token: Secret = ""
    """A token with the right to the VideoRoom plugin, where Janus has ``token_auth``."""
    admin_key: Secret = ""
    """``admin_key`` of ``janus.plugin.videoroom.jcfg``: needed where it has ``lock_rtp_forward``, and to see private
    rooms when ``rooms`` is empty."""
    secrets: dict[str, Secret] = {}
    """``secret`` of rooms, by room; ``"*"`` = of all others."""
    pins: dict[str, Secret] = {}
    """``pin`` of rooms, by room; ``"*"`` = of all others."""
    rooms: Annotated[tuple[Id, ...], Meta(max_length=1000)] = ()
    """Rooms that are recorded. Empty = all."""
    name: Annotated[str, Meta(min_length=1, max_length=100)] = "vcond"
    """Marks our forwards: two vconds that tap one Janus from the same address need different names."""

    bind: str = "127.0.0.1"
    """Address of this machine that takes the audio (UDP) from Janus."""
    advertise: str = ""
    """What Janus is told instead of ``bind``: NAT, containers, 0.0.0.0."""
    ports: tuple[Port, Port] | None = None
    """First and last UDP port for audio, two a stream. None = any that is free."""

    rate: Literal[16_000, 48_000] = 16_000
    """Samples a second that are kept of Opus. 16,000 is all that speech recognition uses, a third of the disk."""
    returns: Literal["name", "id"] = "name"
    """When is somebody who joins a party that left before: with the same display name, or only with the same id."""
    grace: Annotated[float, Meta(ge=0, le=3600)] = 10
    """How long a call waits for somebody to publish again after nobody does."""
    poll: Annotated[float, Meta(ge=0.05, le=5)] = 0.2
    """Between two looks into each room: joins and leaves are known to half of it."""
    timeout: Annotated[float, Meta(gt=0, le=60)] = 5
    """For every request to Janus."""
    max_rooms: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """Rooms recorded at the same time."""
    max_parties: Annotated[int, Meta(ge=1, le=500)] = 50
    """Participants of a room at the same time that are parties; more are not, and are counted."""

    @property
    def host(self) -> str:
        """Where Janus sends the audio to."""
        return self.advertise or self.bind

    def secret(self, room: Id) -> str:
        """The secret of a room; empty = none."""
        return self.secrets.get(str(room), self.secrets.get(ANY, ""))

    def pin(self, room: Id) -> str:
        """The pin of a room; empty = none."""
        return self.pins.get(str(room), self.pins.get(ANY, ""))

    def checked(self) -> JanusConfig:
        """This configuration, when its values can work together. Raises ConfigError."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname or parts.username or parts.query:
            raise ConfigError("must be the ws:// or wss:// address of a Janus", WHERE + "url")
        try:
            address = ip_address(self.bind)
        except ValueError:
            raise ConfigError(
                "must be an IP address of this machine (127.0.0.1, 0.0.0.0, ::)", WHERE + "bind"
            ) from None
        if address.is_unspecified and not self.advertise:
            why = f"is needed when bind is {self.bind}: Janus cannot send to that"
            raise ConfigError(why, WHERE + "advertise")
        if self.ports is not None and self.ports[1] < self.ports[0] + 2:
            raise ConfigError("must be the first and the last port of a range; each stream uses two", WHERE + "ports")
        return self
