"""Which dialect a peer speaks, by the first of its messages that shows it. Pure.

Several speak nearly alike: what tells them apart is the spelling of the call's and the stream's name, and where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import POLICY, Dialect, Refused, Said
from vcond_stream import fields
from vcond_stream.handshake import Handshake

ALIKE: Final = (
    frozenset({"plivo", "vobiz"}),
    frozenset({"twilio", "smartflo", "carrierx", "signalwire"}),
    frozenset({"wavix", "didlogic"}),
)
"""Dialects of which one is as good as another where the path names it."""
AS_GIVEN: Final = frozenset({"mod_audio_fork", "mod_audio_stream"})
"""Dialects whose first text is whatever an application gave them: it may look like that of another."""
MOST: Final = 8
"""Texts that may come before one that shows the dialect."""


def recognise(said: Mapping[str, Any]) -> str | None:
    """The dialect of a message; empty = it is none that is known, None = the next one will show it."""
    body = said.get("start")
    if said.get("type") == "open" and "conversationId" in str(said.get("parameters", ""))[:2000]:
        return "audiohook"
    if said.get("command") == "connect":
        return "sinch"
    if said.get("event") == "websocket:connected":
        return "vonage"
    if said.get("eventType") == "start":
        return "bandwidth"
    if "channelid" in said and "callid" in said:
        return "yeastar"
    if "mixType" in said and "sampleRate" in said:
        return "jambonz"
    if said.get("event") == "connected":
        return None
    if said.get("event") != "start":
        return ""
    return _start(said, body if isinstance(body, dict) else {})


def _start(said: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    shapes = (
        ("telnyx", "call_control_id" in body),
        ("voximplant", "tag" in body),
        ("exotel", "call_sid" in body),
        ("plivo", "streamId" in body and "callId" in body),
        ("carrierx", "callId" in body),
        ("smartflo", "callSid" in body and "from" in body),
        ("signalwire", "callSid" in body and "streamSid" not in said),
        ("twilio", "callSid" in body),
        ("ozonetel", "ucid" in said),
        ("wavix", "call_id" in said and "stream_type" in said),
        ("didlogic", "call_id" in said and "sample_rate" in said),
    )
    return next((name for name, fits in shapes if fits), "")


class Detecting:
    """One socket whose dialect shows itself, or that has to be the one that its path names."""

    def __init__(
        self,
        handshake: Handshake,
        dialects: Mapping[str, Callable[[Handshake], Dialect]],
        named: str = "",
    ) -> None:
        """``named`` = what the path says; empty = nothing."""
        self._handshake = handshake
        self._dialects = dialects
        self._named = named
        self._found: Dialect | None = dialects[named](handshake) if named else None
        self._sure = False
        self._texts = 0

    @property
    def audio(self) -> bytes | tuple[bytes, ...]:
        """As that of the dialect."""
        return self._found.audio if self._found is not None else ()

    @property
    def ends_by_closing(self) -> bool:
        """As that of the dialect."""
        return self._found is not None and self._found.ends_by_closing

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says, once it is known in which language. Raises ProtocolError."""
        if self._sure and self._found is not None:
            return self._found.text(raw)
        return self._first(raw)

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio. Raises ProtocolError."""
        if self._found is None:
            return Refused(
                "unknown-dialect",
                "audio came before a message that shows the dialect",
                "put the dialect into the path: <path>/<dialect>/<token>",
                POLICY,
            )
        return self._found.binary(raw)

    def _first(self, raw: bytes) -> Said | Sequence[Said] | None:
        self._texts += 1
        try:
            shown = recognise(fields.message(raw))
        except ProtocolError:
            if self._found is None:
                raise
            shown = ""  # some begin with a text that is no JSON
        if shown is None and self._texts < MOST:
            return None if self._found is None else self._found.text(raw)
        if self._found is None:
            return self._guess(shown or "", raw)
        if self._named in AS_GIVEN and shown != "jambonz":  # which says how many channels it sends
            shown = ""
        if shown and shown != self._named and not any({shown, self._named} <= group for group in ALIKE):
            return Refused(
                "wrong-dialect",
                f"the peer speaks {shown}, its path says {self._named}",
                f"let it connect to <path>/{shown}/<token>",
                POLICY,
            )
        said = self._found.text(raw)
        self._sure = True
        return said

    def _guess(self, shown: str, raw: bytes) -> Said | Sequence[Said] | None:
        if not shown:
            return Refused(
                "unknown-dialect",
                "the first message fits no known dialect",
                "put the dialect into the path: <path>/<dialect>/<token>",
                POLICY,
            )
        self._found, self._sure = self._dialects[shown](self._handshake), True
        return self._found.text(raw)
