"""Media streams: a peer opens a WebSocket to us and sends a call's audio on it, each in a dialect of its own.

``MediaStreams`` is the door: it takes sockets, bounds them, reads them and hangs up. What is said goes to a ``Listener``.
For peers that tell of calls themselves that is a ``Batch`` of a ``Stream``, which asks the peer's ``Dialect`` what each
message means and hands audio to ``StreamedCalls``: streams that name the same call make one record, a connection that
was lost is waited for. An adapter whose calls come another way (FreeSWITCH's events) listens itself.
"""

from vcond.sdk.media_stream.batch import Batch, Pulse
from vcond.sdk.media_stream.calls import Carrier, StreamedCall, StreamedCalls
from vcond.sdk.media_stream.dialect import (
    GO_ON,
    GOING_AWAY,
    HEARD,
    LARGEST_NUMBER,
    NORMAL,
    PLAYED,
    POLICY,
    UNSUPPORTED,
    Began,
    Closed,
    Count,
    Counted,
    Dialect,
    Ended,
    Format,
    Frame,
    MessageNumbers,
    Name,
    Opened,
    Pausing,
    PickedUp,
    Pressed,
    Refused,
    Reply,
    Said,
)
from vcond.sdk.media_stream.early import Early
from vcond.sdk.media_stream.parameters import Parameters, party, understand
from vcond.sdk.media_stream.server import MAX_MESSAGE, HangUp, Limits, Listener, MediaStreams
from vcond.sdk.media_stream.settings import StreamSettings
from vcond.sdk.media_stream.signatures import candidates, names_body, same, twilio_signed, with_form
from vcond.sdk.media_stream.stream import Stream

__all__ = [
    "GOING_AWAY",
    "GO_ON",
    "HEARD",
    "LARGEST_NUMBER",
    "MAX_MESSAGE",
    "NORMAL",
    "PLAYED",
    "POLICY",
    "UNSUPPORTED",
    "Batch",
    "Began",
    "Carrier",
    "Closed",
    "Count",
    "Counted",
    "Dialect",
    "Early",
    "Ended",
    "Format",
    "Frame",
    "HangUp",
    "Limits",
    "Listener",
    "MediaStreams",
    "MessageNumbers",
    "Name",
    "Opened",
    "Parameters",
    "Pausing",
    "PickedUp",
    "Pressed",
    "Pulse",
    "Refused",
    "Reply",
    "Said",
    "Stream",
    "StreamSettings",
    "StreamedCall",
    "StreamedCalls",
    "candidates",
    "names_body",
    "party",
    "same",
    "twilio_signed",
    "understand",
    "with_form",
]  # fmt: skip
