"""What the payload types of a session stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vcond.base.errors import ProtocolError
from vcond.media.codecs import Codec

EVENTS: Final = "telephone-event"
"""Keys pressed, RFC 4733."""
NOISE: Final = "cn"
"""Comfort noise: the sender is silent from here on, RFC 3389."""
LARGEST_RATE: Final = 192_000
_CODECS: Final = {"pcmu": Codec.PCMU, "pcma": Codec.PCMA, "l16": Codec.L16BE}


@dataclass(frozen=True, slots=True)
class Format:
    """What one payload type carries."""

    name: str
    """The encoding's name in lower case: ``opus``."""
    rate: int
    """Ticks of the timestamp a second (G.722 says 8,000, RFC 3551 section 4.5.2)."""
    channels: int = 1

    @classmethod
    def of(cls, rtpmap: str) -> Format:
        """From the value of an ``a=rtpmap`` after the payload type: ``opus/48000/2`` (RFC 8866 section 6.6).

        Raises ProtocolError when it is none.
        """
        name, _, rest = rtpmap.strip().partition("/")
        rate, _, channels = rest.partition("/")
        try:
            made = cls(name.lower(), int(rate), int(channels or 1))
        except ValueError:
            raise ProtocolError("invalid rtpmap") from None
        if not name or len(name) > 64 or not 0 < made.rate <= LARGEST_RATE or not 0 < made.channels <= 255:
            raise ProtocolError("invalid rtpmap")
        return made

    @property
    def is_audio(self) -> bool:
        """Whether its payload is sound."""
        return self.name not in {EVENTS, NOISE}

    @property
    def codec(self) -> Codec | None:
        """The track's codec, when a track takes the payload as it is; else None, and the adapter decodes."""
        return _CODECS.get(self.name) if self.channels == 1 else None

    @property
    def octets(self) -> int:
        """Bytes of one tick where payloads that follow one another can be joined; else 0."""
        codec = self.codec
        if codec is None:
            return 0
        return 2 if codec is Codec.L16BE else 1


STATIC: Final = {
    0: Format("pcmu", 8_000),
    8: Format("pcma", 8_000),
    9: Format("g722", 8_000),
    10: Format("l16", 44_100, 2),
    11: Format("l16", 44_100),
    13: Format(NOISE, 8_000),
}
"""Payload types that need no rtpmap (RFC 3551 section 6, table 4)."""
