"""Genesys AudioHook v2.

Source: Genesys, "AudioHook protocol reference", and its reference client. ``open`` is answered with ``opened``, which
chooses one of the media that are offered; audio comes only then: mu-law, of two channels external and internal in turn,
byte by byte. The position of a frame is what was sent before it, and ``start + discarded`` of whatever was left out:
whether positions run on in a pause differs. Where they stood, what comes after it lies where it arrives. ``ping`` is answered with ``pong``, ``close`` with ``closed``. A probe (all ids
zero) is no call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from vcond.sdk.contract import Codec, MillisClock, ProtocolError
from vcond.sdk.media_stream import (
    Began,
    Counted,
    Ended,
    Format,
    Frame,
    Opened,
    Parameters,
    Pausing,
    Refused,
    Reply,
    Said,
    party,
)
from vcond_stream import fields
from vcond_stream.handshake import Handshake

PARTIES: Final[Mapping[str, str]] = {"external": "caller", "internal": "callee"}
BOTH: Final = ["external", "internal"]
NOBODY: Final = re.compile(r"[0-]+")
POSITION: Final = re.compile(r"PT(\d{1,8}(?:\.\d{1,12})?)S")

NOTHING: Final = Refused(
    "encoding", "vcond cannot decode any of the offered audio formats", "let Genesys offer PCMU at 8 kHz"
)


class AudioHook:
    """One socket."""

    name: ClassVar[str] = "audiohook"
    audio: ClassVar[bytes | tuple[bytes, ...]] = ()
    ends_by_closing: ClassVar[bool] = False

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._session = ""
        self._sent = 0
        """Number of our latest message."""
        self._channels: list[str] = []
        self._position = 0
        """Of the next frame, samples."""
        self._chunk = 0
        self._paused = True
        """Or it may be: another connection may have been told."""

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """What a text says. Raises ProtocolError."""
        said = fields.message(raw)
        kind, parameters = fields.word(said, "type"), fields.part(said, "parameters")
        self._session = self._session or fields.ident(said, "id")
        match kind:
            case "open":
                return self._open(said, parameters)
            case "ping":
                return self._reply("pong", said)
            case "close":
                return self._reply("closed", said), Ended()
            case "paused":
                self._paused = True
                return Pausing(True)
            case "resumed":
                return self._resume(parameters)
            case "discarded":
                self._skip(parameters)
                return None
            case "":
                raise ProtocolError("message without a type")
            case _:
                return None

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio of the channels that were chosen. Raises ProtocolError."""
        count = len(self._channels)
        if not count or len(raw) % count:
            raise ProtocolError("audio before the stream was opened, or half a sample")
        self._chunk += 1
        stamp, self._position = self._position // 8, self._position + len(raw) // count
        return [Frame(name, self._chunk, stamp, raw[n::count]) for n, name in enumerate(self._channels)]

    def _open(self, said: Mapping[str, Any], parameters: Mapping[str, Any]) -> Sequence[Said]:
        if self._channels:
            raise ProtocolError("second open message")
        conversation = fields.ident(parameters, "conversationId")
        if not conversation:
            raise ProtocolError("open message without a conversation id")
        probe = NOBODY.fullmatch(conversation) is not None
        chosen = None if probe else _choose(parameters.get("media"))
        opened = self._reply("opened", said, {"media": [] if chosen is None else [chosen]})
        if chosen is None:
            return (opened,) if probe else (opened, NOTHING)
        self._channels = chosen["channels"]
        who = fields.part(parameters, "participant")
        told = Parameters(
            caller=party(fields.word(who, "ani"), fields.word(who, "aniName")), callee=party(fields.word(who, "dnis"))
        )
        facts = {
            "dialect": self.name,
            "conversationId": conversation,
            "organizationId": fields.word(parameters, "organizationId"),
            "session": self._session,
        }
        began = Began(
            call=f"{self.name}:{conversation}",
            stream=self._session or self._handshake.id,
            tracks={name: _format(name) for name in self._channels},
            announced=self._channels,
            told=told,
            facts=facts,
        )
        return opened, began

    def _resume(self, parameters: Mapping[str, Any]) -> Sequence[Said]:
        """Tracks begin anew where positions stood: they would lie in the pause, which nothing of them is kept of."""
        before, paused = self._position, self._paused
        self._paused = False
        said: list[Said] = [Pausing(False)]
        try:
            self._skip(parameters)
        except ProtocolError:  # it goes on all the same: nothing of what comes would be kept
            said.append(Counted("message", "malformed"))
        if paused and self._position <= before:
            said += (Opened(name, _format(name)) for name in self._channels)
        return said

    def _skip(self, parameters: Mapping[str, Any]) -> None:
        """Go on where what was left out ends."""
        at = _samples(parameters, "start") + _samples(parameters, "discarded")
        self._position = max(self._position, at)

    def _reply(self, kind: str, said: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Reply:
        self._sent += 1
        message = {
            "version": "2",
            "type": kind,
            "seq": self._sent,
            "clientseq": fields.number(said, "seq"),
            "id": self._session,
            "parameters": parameters or {},
        }
        return Reply(json.dumps(message, separators=(",", ":")))


def _format(channel: str) -> Format:
    return Format(PARTIES[channel], Codec.PCMU, 8000, MillisClock())


def _choose(offered: object) -> dict[str, Any] | None:
    """The best of the media that are offered: both sides apart, else one."""
    usable = [
        one
        for one in (offered[:16] if isinstance(offered, list) else ())
        if isinstance(one, dict)
        and one.get("format") == "PCMU"
        and one.get("rate") == 8000
        and one.get("channels") in (BOTH, BOTH[:1], BOTH[1:])
    ]
    return max(usable, key=lambda one: len(one["channels"]), default=None)


def _samples(of: Mapping[str, Any], name: str) -> int:
    """A position, in samples."""
    found = POSITION.fullmatch(fields.word(of, name))
    if found is None:
        raise ProtocolError(f"{name} is not a position")
    return round(float(found[1]) * 8000)
