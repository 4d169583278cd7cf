"""Whoever speaks as Twilio does: Fonoster, Acefone, Cloudonix, CarrierX, 2600Hz Pivot, and Twilio itself.

Twilio has an adapter of its own, ``[adapters.twilio]``, which is faster. CarrierX: numbers that are numbers, ``callId``.
"""

from __future__ import annotations

from typing import ClassVar

from vcond_stream.clone import Clone


class TwilioLike(Clone):
    """One socket."""

    name: ClassVar[str] = "twilio"


class CarrierX(Clone):
    """One socket."""

    name: ClassVar[str] = "carrierx"
