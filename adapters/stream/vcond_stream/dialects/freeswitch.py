"""FreeSWITCH modules whose streams an application starts: mod_audio_stream (amigniter), mod_audio_fork (drachtio).

Sources: their code. Binary messages of 16-bit little-endian samples; a text with whatever the application gave as metadata,
JSON or not, which may come after audio, or never; ``?mix=`` of the URL says what was asked for (mono, stereo, mixed), and
``?rate=`` how many samples a second. Of two channels the first is what the channel says. mod_audio_fork puts texts that wait
into one message; an empty binary message is its end, closing that of the other.

Where vcond starts the streams itself, ``[adapters.freeswitch]`` takes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Counted, Ended, Pressed, Said
from vcond_stream import fields
from vcond_stream.samples import Samples

PATIENCE: Final = 25
"""Binary messages without a text after which none is waited for: half a second of 20 ms."""
MOST_TEXTS: Final = 64
"""In one message."""

_read = json.JSONDecoder().raw_decode


def glued(raw: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a message that has several, one after another. Raises ProtocolError."""
    try:
        text, at = raw.decode(), 0
        for _ in range(MOST_TEXTS):
            said, at = _read(text, at)
            if isinstance(said, dict):
                yield said
            at += len(text[at:]) - len(text[at:].lstrip())
            if at >= len(text):
                return
    except (ValueError, RecursionError):
        raise ProtocolError("message is not JSON") from None


class AudioStream(Samples):
    """One socket of mod_audio_stream."""

    name: ClassVar[str] = "mod_audio_stream"

    def text(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Metadata first; then what the application sends. What is no JSON says nothing to us."""
        said: list[dict[str, Any]] = []
        out: list[Said] = []
        try:
            for one in glued(raw):
                said.append(one)  # noqa: PERF402 - what came before a broken one counts
        except ProtocolError:
            if raw.startswith(b"{"):
                out.append(Counted("message", "malformed"))
        if not self.began:
            out.append(self.begin(said[0] if said else {}))
            said = said[1:]
        out += [
            Pressed(fields.word(one, "digit", "dtmf"), self._sides[0])
            for one in said
            if fields.word(one, "event") == "dtmf"
        ]
        return out

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio, also before the metadata."""
        frames = super().binary(raw)
        self._heard += 1
        if self.began or self._heard < PATIENCE:
            return frames
        return [*(frames if isinstance(frames, Sequence) else [frames]), self.begin({})]  # they were said before

    _heard = 0


class AudioFork(AudioStream):
    """One socket of mod_audio_fork."""

    name: ClassVar[str] = "mod_audio_fork"

    def binary(self, raw: bytes) -> Said | Sequence[Said] | None:
        """Audio; an empty message says that no more comes."""
        return super().binary(raw) if raw else Ended()
