"""Exotel AgentStream (Voicebot, Stream), and Smartflo (Tata).

Sources: Exotel, "AgentStream WebSocket protocol"; Smartflo, "Bi-directional audio streaming". Frames of about 100 ms, of the
caller's side only: none names a track. Exotel: snake case, raw 16-bit samples. Smartflo: camel case, mu-law.
"""

from __future__ import annotations

from typing import ClassVar

from vcond_stream.clone import Clone


class Exotel(Clone):
    """One socket."""

    name: ClassVar[str] = "exotel"
    encoding: ClassVar[str] = "L16"


class Smartflo(Clone):
    """One socket."""

    name: ClassVar[str] = "smartflo"
