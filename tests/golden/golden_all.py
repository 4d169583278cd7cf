"""Every scenario of every adapter that has golden vCons."""

from __future__ import annotations

from collections.abc import Callable

import golden_asterisk
import golden_freeswitch
import golden_janus
import golden_siprec
import golden_twilio
import golden_webrtc

from vcond.testing.host import MemoryHost

ADAPTERS: dict[str, dict[str, Callable[[], MemoryHost]]] = {
    "asterisk": golden_asterisk.SCENARIOS,
    "freeswitch": golden_freeswitch.SCENARIOS,
    "janus": golden_janus.SCENARIOS,
    "siprec": golden_siprec.SCENARIOS,
    "twilio": golden_twilio.SCENARIOS,
    "webrtc": golden_webrtc.SCENARIOS,
}
