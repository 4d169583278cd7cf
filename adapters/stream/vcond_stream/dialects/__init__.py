"""What each platform does of its own. A new one is a file here and a line below.

The name of a call that a stream begins with has the dialect's before it: two platforms may name calls alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vcond.sdk.media_stream import Dialect
from vcond_stream.dialects.audiohook import AudioHook
from vcond_stream.dialects.bandwidth import Bandwidth
from vcond_stream.dialects.exotel import Exotel, Smartflo
from vcond_stream.dialects.flat import Didlogic, Wavix
from vcond_stream.dialects.freeswitch import AudioFork, AudioStream
from vcond_stream.dialects.jambonz import Jambonz
from vcond_stream.dialects.ozonetel import Ozonetel
from vcond_stream.dialects.plivo import Plivo, Vobiz
from vcond_stream.dialects.raw import Infobip, LiveKit
from vcond_stream.dialects.signalwire import SignalWire
from vcond_stream.dialects.sinch import Sinch
from vcond_stream.dialects.telnyx import Telnyx
from vcond_stream.dialects.twilio import CarrierX, TwilioLike
from vcond_stream.dialects.vonage import Vonage
from vcond_stream.dialects.voximplant import Voximplant
from vcond_stream.dialects.yeastar import Yeastar
from vcond_stream.handshake import Handshake

DIALECTS: Final[Mapping[str, Callable[[Handshake], Dialect]]] = {
    one.name: one
    for one in (
        AudioFork, AudioHook, AudioStream, Bandwidth, CarrierX, Didlogic, Exotel, Infobip, Jambonz, LiveKit, Ozonetel,
        Plivo, SignalWire, Sinch, Smartflo, Telnyx, TwilioLike, Vobiz, Vonage, Voximplant, Wavix, Yeastar,
    )
}  # fmt: skip
"""By the name in the path."""
