"""SignalWire cXML ``<Stream>``.

Source: signalwire/docs, cXML Stream. As Twilio, but ``streamSid`` stands in ``start`` only, and L16 at 16 and 24 kHz may come.
"""

from __future__ import annotations

from typing import ClassVar

from vcond_stream.clone import Clone


class SignalWire(Clone):
    """One socket."""

    name: ClassVar[str] = "signalwire"
