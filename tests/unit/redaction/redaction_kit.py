"""vCons with secrets in them, a finder that knows them, and a search through every layer in which one could hide."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcond.redaction.contract import Conversation, Secret
from vcond.vcon.building.audio_forms import base64url
from vcond.vcon.building.riff import Form
from vcond.vcon.building.wav import read_wav, wav

RATE = 8000
START = "2026-11-23T09:00:00Z"


class Knows:
    """A finder that is told the words: by kind, in the order in which they are said, in one turn or in several."""

    name = "knows"

    def __init__(self, secrets: Mapping[str, str], *, keys: str = "", certainty: float = 1.0) -> None:
        self.secrets, self.pressed, self.certainty = secrets, keys, certainty
        self.kinds = (*secrets, "pin", "security-code")
        self.shown: list[Conversation] = []

    def find(self, conversation: Conversation) -> Iterator[Secret]:
        self.shown.append(conversation)
        words = [word for turn in conversation.turns for word in turn.words]
        for kind, text in self.secrets.items():
            wanted = text.split()
            for at in range(len(words) - len(wanted) + 1):
                run = words[at : at + len(wanted)]
                if [word.text.strip(".,?").lower() for word in run] == wanted:
                    yield Secret(kind, words=tuple(run), certainty=self.certainty)
        told = "".join(key.digit for key in conversation.keys)
        if self.pressed and (at := told.find(self.pressed)) >= 0:
            yield Secret("pin", keys=conversation.keys[at : at + len(self.pressed)])


class Coded:
    """A channel of a WAV."""

    def __init__(self, pcm: NDArray[np.int16]) -> None:
        self.pcm, self.frames = pcm, len(pcm)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        return self.pcm[start:stop]


def voice(seconds: float, seed: int, rate: int = RATE) -> NDArray[np.int16]:
    """Noise as loud as speech, with a pause of 0.2 s in every second."""
    pcm = (np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 3000).astype(np.int16)
    for second in range(int(seconds) + 1):
        pcm[round((second + 0.8) * rate) : round((second + 1) * rate)] = 0
    return pcm


def words(start: float, text: str, each: float = 0.4) -> list[tuple[str, float, float]]:
    """Words one after another."""
    return [
        (word, round(start + at * each, 3), round(start + (at + 0.8) * each, 3)) for at, word in enumerate(text.split())
    ]


def recording(pcm: list[NDArray[np.int16]], form: Form = Form.MULAW, **more: Any) -> dict[str, Any]:
    """A dialog with a channel for each party."""
    body = base64url(wav(form, [Coded(one) for one in pcm], RATE))
    return {
        "type": "recording", "start": START, "duration": len(pcm[0]) / RATE, "parties": list(range(len(pcm))),
        "mediatype": "audio/x-wav", "filename": "call.wav", "encoding": "base64url", "body": body, **more,
    }  # fmt: skip


def wtf(*turns: tuple[int, list[tuple[str, float, float]]], timed: bool = True, dialog: int = 0) -> dict[str, Any]:
    """A transcription: turns of a party."""
    segments: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    for at, (party, said) in enumerate(turns):
        own = list(range(len(told), len(told) + len(said)))
        segments.append(
            {"id": at, "start": said[0][1], "end": said[-1][2] + 0.05, "text": " ".join(one[0] for one in said),
             "confidence": 0.9, "speaker": party} | ({"words": own} if timed else {})
        )  # fmt: skip
        told += [
            {"id": own[i], "start": start, "end": end, "text": word, "confidence": 0.9, "speaker": party}
            for i, (word, start, end) in enumerate(said)
        ]
    body = {
        "transcript": {"text": " ".join(one["text"] for one in segments), "language": "en-US", "duration": 20.0, "confidence": 0.9},
        "segments": segments, "metadata": {"created_at": START, "processed_at": START, "provider": "vosk", "model": "m",
                                           "audio": {"duration": 20.0}, "options": {}},
    }  # fmt: skip
    if timed:
        body["words"] = told
    return {"type": "wtf_transcription", "dialog": dialog, "vendor": "vosk", "mediatype": "application/json",
            "encoding": "json", "body": body}  # fmt: skip


def vcon(**members: Any) -> dict[str, Any]:
    """A vCon of two parties that somebody else made."""
    return {
        "vcon": "0.4.0", "uuid": "019f155a-5131-80ec-832a-bc92ac6830cd", "created_at": START,
        "parties": [{"tel": "+15551230001"}, {"sip": "1001@pbx.example.com"}], **members,
    }  # fmt: skip


def samples(dialog: Mapping[str, Any]) -> NDArray[np.int16]:
    """Shape (frames, channels)."""
    return read_wav(unpadded(dialog["body"]))[1]


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def through_the_codec(pcm: NDArray[np.int16], form: Form = Form.MULAW) -> NDArray[np.int16]:
    """What a recording holds of samples."""
    return read_wav(b"".join(wav(form, [Coded(pcm)], RATE)))[1][:, 0]


# The search.

_RUN = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
DEEPEST = 4


def hidden_in(data: bytes, secrets: list[str]) -> set[str]:
    """The secrets that some layer holds: as they are, as base64 at any of the three alignments in either alphabet, and
    whatever base64 and gzip in it decode to.
    """
    return {secret for layer in layers(data) for secret in secrets if any(form in layer for form in _forms(secret))}


def layers(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The data, and all that is packed into it."""
    yield data
    if depth == DEEPEST:
        return
    for at in (match.start() for match in re.finditer(rb"\x1f\x8b\x08", data)):
        try:
            yield from layers(zlib.decompressobj(wbits=31).decompress(data[at:]), depth + 1)
        except zlib.error:
            continue
    for match in _RUN.finditer(data):
        run = match[0].replace(b"+", b"-").replace(b"/", b"_")
        for skipped in range(4 if len(run) < 400 else 1):
            part = run[skipped:]
            yield from layers(
                base64.urlsafe_b64decode(part[: len(part) // 4 * 4]), depth + 1 if len(run) > 64 else DEEPEST
            )


def _forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + plain)
        whole = coded[-(-before * 4 // 3) : len(coded) - (4 if (before + len(plain)) % 3 else 0)]
        if len(whole) >= 4:
            yield whole
            yield whole.replace(b"+", b"-").replace(b"/", b"_")


def packed(text: str) -> bytes:
    """Base64 of gzip of a text, as a test hides one."""
    return base64.urlsafe_b64encode(gzip.compress(text.encode(), mtime=0))
