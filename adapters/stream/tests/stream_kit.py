"""Dialects without sockets: transcripts, a call as each dialect writes it, a host that takes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import MILLI
from vcond.sdk.media_stream import GO_ON, Stream, StreamedCalls
from vcond.testing.host import MemoryHost
from vcond.testing.time import ManualClock, run_virtual
from vcond_stream import StreamConfig
from vcond_stream.detect import Detecting
from vcond_stream.dialects import DIALECTS
from vcond_stream.handshake import Handshake

DATA = Path(__file__).parent / "data"
TRANSCRIPTS = {
    "amigniter-mod-audio-stream": "mod_audio_stream",
    "drachtio-mod-audio-fork": "mod_audio_fork",
    "genesys-audiohook": "audiohook",
    "livekit-egress": "livekit",
}
"""Where a transcript is called otherwise than its dialect."""


def transcript(name: str) -> list[tuple[str, Any]]:
    """What the peer sends: ("text", bytes), ("binary", bytes) or ("close", code)."""
    out: list[tuple[str, Any]] = []
    for line in (DATA / f"{name}.jsonl").read_text().splitlines():
        said = json.loads(line)
        if said.get("dir") != "in":
            continue
        if "text" in said:
            out.append(("text", json.dumps(said["text"]).encode()))
        elif "raw" in said:
            out.append(("text", said["raw"].encode()))
        elif "bin" in said:
            out += [("binary", bytes(said["bin"]))] * said.get("times", 1)
        elif "close" in said:
            out.append(("close", said["close"]))
    return out


class Bench:
    """A host, and sockets that are fed by hand. The clock moves only with ``feed``."""

    def __init__(self, **config: Any) -> None:
        self.clock = ManualClock()
        self.host = MemoryHost("stream", clock=self.clock)
        self.calls = StreamedCalls(self.host, StreamConfig(**config))
        self.sockets = 0

    def socket(self, dialect: str = "", query: str = "") -> Stream:
        self.sockets += 1
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        return Stream(self.host, self.calls, Detecting(Handshake(f"socket-{self.sockets}", pairs), DIALECTS, dialect))

    def feed(self, stream: Stream, *messages: tuple[str, Any], step: float = 0) -> int:
        """Feed messages, each ``step`` milliseconds after the one before; the first code that closes."""
        for kind, data in messages:
            self.clock.advance(round(step * MILLI))
            now = self.clock.now()
            if kind == "close":
                stream.gone(now, clean=data in (1000, 1005, "no code"))
                return int(data) if isinstance(data, int) else 1000
            code = stream.feed(data, now) if kind == "text" else stream.feed_binary(data, now)
            if code != GO_ON:
                stream.gone(now)
                return code
        return GO_ON

    @property
    def call(self) -> Any:
        return self.host.calls[-1]


def played(dialect: str, query: str, messages: list[tuple[str, Any]]) -> MemoryHost:
    """The host after these messages, 20 ms apart, and a lost connection: no contract was broken, and no call is open."""
    bench = Bench(grace=0)

    async def main() -> None:
        stream = bench.socket(dialect, query)
        for message in messages:
            if bench.feed(stream, message, step=20) != GO_ON:
                break
        stream.gone(bench.clock.now())

    run_virtual(main())
    assert bench.host.faults == []
    assert all(call.over for call in bench.host.calls)
    return bench.host


def text(said: Any) -> tuple[str, bytes]:
    return "text", json.dumps(said).encode()


def mulaw(pcm: np.ndarray) -> str:
    return base64.b64encode(encode(Codec.PCMU, pcm)).decode()


def l16(pcm: np.ndarray, kind: str = "<i2") -> str:
    return base64.b64encode(pcm.astype(kind).tobytes()).decode()


def both(ann: np.ndarray, ben: np.ndarray) -> bytes:
    return np.stack([ann, ben], axis=1).astype("<i2").tobytes()


A, B = "+15550100001", "+15550100002"
FRAME = 160


def frames(ann: np.ndarray, ben: np.ndarray, size: int = FRAME):
    """(number from 0, Ann's samples, Ben's samples)."""
    for n, at in enumerate(range(0, len(ann), size)):
        yield n, ann[at : at + size], ben[at : at + size]


def written(dialect: str, ann: np.ndarray, ben: np.ndarray, size: int = FRAME) -> list[list[tuple[str, Any]]]:
    """A call of two, as a dialect that carries both apart writes it: the beginning, then a list a frame, then the end."""
    ms = size // 8
    both_tracks = ["inbound", "outbound"]
    steps: list[list[tuple[str, Any]]] = []
    match dialect:
        case "twilio" | "signalwire" | "carrierx":
            ids = {"callId": "C1"} if dialect == "carrierx" else {"callSid": "C1", "streamSid": "S1"}
            form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
            start = {**ids, "tracks": both_tracks, "mediaFormat": form, "customParameters": {"from": A, "to": B}}
            top = {"streamSid": "S1"} if dialect == "twilio" else {}
            steps.append(
                [text({"event": "connected"}), text({"event": "start", "sequenceNumber": "1", "start": start, **top})]
            )
            number = 1
            for n, *said in frames(ann, ben, size):
                step = []
                for track, pcm in zip(both_tracks, said, strict=True):
                    number += 1
                    media = {"track": track, "chunk": str(n + 1), "timestamp": str(ms * n), "payload": mulaw(pcm)}
                    step.append(text({"event": "media", "sequenceNumber": str(number), "media": media, **top}))
                steps.append(step)
            steps.append([text({"event": "stop", "sequenceNumber": str(number + 1)})])
        case "telnyx":
            start = {
                "call_control_id": "C1",
                "from": A,
                "to": B,
                "media_format": {"encoding": "PCMU", "sample_rate": 8000},
            }
            steps.append([text({"event": "connected"}), text({"event": "start", "stream_id": "S1", "start": start})])
            for n, *said in frames(ann, ben, size):
                pair = zip(both_tracks, said, strict=True)
                steps.append([
                    text({"event": "media", "stream_id": "S1", "media": {
                        "track": track, "chunk": str(n + 1), "timestamp": str(ms * n), "payload": mulaw(pcm)}})
                    for track, pcm in pair
                ])  # fmt: skip
            steps.append([text({"event": "stop", "stream_id": "S1", "stop": {"call_control_id": "C1"}})])
        case "plivo" | "vobiz":
            kind = ">i2" if dialect == "vobiz" else "<i2"
            start = {
                "callId": "C1",
                "streamId": "S1",
                "tracks": both_tracks,
                "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 8000},
            }
            extra = {"extra_headers": f"from={A};to={B}"}
            steps.append([text({"event": "start", "sequenceNumber": 1, "start": start, **extra})])
            number = 1
            for n, *said in frames(ann, ben, size):
                step = []
                for track, pcm in zip(both_tracks, said, strict=True):
                    number += 1
                    media = {
                        "track": track,
                        "chunk": n + 1,
                        "timestamp": str(1795944000000 + ms * n),
                        "payload": l16(pcm, kind),
                    }
                    step.append(text({"event": "media", "sequenceNumber": number, "streamId": "S1", "media": media}))
                steps.append(step)
            steps.append([("close", 1000)])
        case "bandwidth":
            form = {"encoding": "audio/PCMU", "sampleRate": 8000}
            told = {
                "callId": "C1",
                "streamId": "S1",
                "tracks": [{"name": name, "mediaFormat": form} for name in both_tracks],
            }
            steps.append([text({"eventType": "start", "metadata": told, "streamParams": {"from": A, "to": B}})])
            steps += [
                [text({"eventType": "media", "track": track, "payload": mulaw(pcm)}) for track, pcm in zip(both_tracks, said, strict=True)]
                for _, *said in frames(ann, ben, size)
            ]  # fmt: skip
            steps.append([text({"eventType": "stop", "metadata": told})])
        case "wavix":
            start = {
                "event": "start",
                "call_id": "C1",
                "stream_id": "S1",
                "stream_type": "twoway",
                "channel": "both",
                "sample_rate": 8000,
            }
            steps.append([text({"event": "connected"}), text({**start, "from": A, "to": B, "sequence_number": 1})])
            number = 1
            for n, *said in frames(ann, ben, size):
                step = []
                for track, pcm in zip(both_tracks, said, strict=True):
                    number += 1
                    media = {"track": track, "timestamp": 160 * (n + 1), "chunk": n + 1, "payload": l16(pcm)}
                    step.append(text({"event": "media", "call_id": "C1", "sequence_number": number, "media": media}))
                steps.append(step)
            steps.append([text({"event": "stop", "call_id": "C1", "sequence_number": number + 1})])
        case "voximplant":
            form = {"encoding": "PCM16", "sampleRate": 8000}
            steps.append([
                text({"event": "start", "sequenceNumber": n, "start": {
                    "tag": tag, "mediaFormat": form, "customParameters": {"call": "C1"}}})
                for n, tag in enumerate(("caller", "callee"))
            ])  # fmt: skip
            for n, *said in frames(ann, ben, size):
                steps.append([
                    text({"event": "media", "media": {"tag": tag, "chunk": n, "timestamp": ms * n, "payload": l16(pcm)}})
                    for tag, pcm in zip(("caller", "callee"), said, strict=True)
                ])  # fmt: skip
            steps.append([text({"event": "stop", "stop": {"tag": "caller"}}), ("close", 1000)])
        case "jambonz" | "mod_audio_fork" | "mod_audio_stream":
            told = {"callSid": "C1", "from": A, "to": B}
            if dialect == "jambonz":
                told |= {"sampleRate": 8000, "mixType": "stereo", "direction": "inbound"}
            steps.append([text(told)])
            steps += [[("binary", both(one, two))] for _, one, two in frames(ann, ben, size)]
            steps.append([("binary", b"")] if dialect == "mod_audio_fork" else [("close", 1000)])
        case "audiohook":
            media = [{"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}]
            told = {"conversationId": "C1", "participant": {"id": "p", "ani": A, "dnis": B}, "media": media}
            steps.append(
                [
                    text(
                        {
                            "version": "2",
                            "type": "open",
                            "id": "S1",
                            "seq": 1,
                            "serverseq": 0,
                            "position": "PT0S",
                            "parameters": told,
                        }
                    )
                ]
            )
            for _, one, two in frames(ann, ben, size):
                pair = np.stack([np.frombuffer(encode(Codec.PCMU, pcm), np.uint8) for pcm in (one, two)], axis=1)
                steps.append([("binary", pair.tobytes())])
            steps.append(
                [text({"version": "2", "type": "close", "id": "S1", "seq": 2, "serverseq": 1, "parameters": {}})]
            )
        case "yeastar":

            def say(pcm, number, channel, status="process"):
                return text(
                    {
                        "callid": "C1",
                        "callflow": "",
                        "audio": l16(pcm) if len(pcm) else "",
                        "number": number,
                        "status": status,
                        "channelid": channel,
                    }
                )

            steps.append([])
            steps += [[say(one, A, "PJSIP/1"), say(two, B, "PJSIP/2")] for _, one, two in frames(ann, ben, size)]
            steps.append([say(ann[:0], A, "PJSIP/1", "end"), say(ann[:0], B, "PJSIP/2", "end")])
    return steps


APART = (
    "twilio", "signalwire", "carrierx", "telnyx", "plivo", "vobiz", "bandwidth", "wavix", "voximplant", "jambonz",
    "mod_audio_fork", "mod_audio_stream", "audiohook", "yeastar",
)  # fmt: skip
"""Dialects that carry both parties apart on one socket."""
QUERY = {"mod_audio_fork": "mix=stereo", "mod_audio_stream": "mix=stereo"}
TIMED = ("twilio", "signalwire", "carrierx", "telnyx", "plivo", "vobiz", "voximplant")
"""Those whose frames say where they lie."""
