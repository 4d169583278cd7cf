"""Recorded audio of a real FreeSWITCH at its recorded times: files as they grew, WebSockets byte by byte."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest
from fakeswitch import FakeSwitch
from faketaps import Bug
from fskit import frames, lines, raw
from fslab import Lab, lab

from vcond.call.events import SpanKind
from vcond_freeswitch.events import decode, number

TONES = (440, 880, 1320)


def loud(pcm: np.ndarray, rate: int, hertz: int) -> np.ndarray:
    """How loud a tone is in each 20 ms, 0 to 1 of full scale."""
    size = rate // 50
    parts = pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64) / 32768
    turn = np.exp(-2j * np.pi * hertz * np.arange(size) / rate)
    return 2 * np.abs(parts @ turn) / size


def only(pcm: np.ndarray, rate: int, hertz: int, *, share: float = 0.9) -> None:
    """The tone is there, and the other two are not."""
    levels = {tone: float(np.sum(loud(pcm, rate, tone))) for tone in TONES}
    assert levels[hertz] > share * sum(levels.values()), levels


class Replay(FakeSwitch):
    """Plays a recorded session of the event socket, and grows the files that the adapter asks for as they grew."""

    name = ""

    def _record(self, channel, words) -> str:
        raise AssertionError("only what was recorded exists")

    def _run(self, line: str) -> str:
        word, *words = line.split(" ")
        if word != "uuid_record":
            return super()._run(line)
        uuid, action, path = words[:3]
        if action == "start":
            self.paths[uuid] = path
            Path(path).touch(exist_ok=False)
        return "+OK Success\n"

    async def play(self) -> dict[str, bytes]:
        """Everything at its time; what each leg said, by its uuid."""
        self.paths: dict[str, str] = {}
        legs = []
        while True:
            try:
                told = lines(f"{self.name}.leg{len(legs) + 1}.chunks.jsonl")
            except FileNotFoundError:
                break
            legs.append((told[0]["uuid"], told[1:], raw(f"{self.name}.leg{len(legs) + 1}.s16le16k.raw")))
        steps = [
            (one["t"], 0, uuid, pcm[one["off"] : one["off"] + one["len"]]) for uuid, told, pcm in legs for one in told
        ]
        whole, timing = raw(f"{self.name}.esl.s2c.bin"), lines(f"{self.name}.esl.timing.jsonl")
        ends = [(line["off"] + line["len"], line["t"]) for line in timing if line["dir"] == "s2c"]
        offset = 0
        for frame in frames(whole):
            offset = whole.index(frame.body, offset) + len(frame.body) if frame.body else offset
            if frame.kind == "text/event-json" and decode(frame).name != "BACKGROUND_JOB":
                at = next(t for end, t in ends if end >= offset)
                if decode(frame).name == "RECORD_STOP":  # the file was complete then; who noted its growth was later
                    stopped = decode(frame).leg
                    steps = [(min(t, at) if leg == stopped else t, what, leg, data) for t, what, leg, data in steps]
                steps.append((at, 1, "", frame.body))
        begun = asyncio.get_running_loop().time()
        for at, what, uuid, data in sorted(steps, key=lambda step: step[:2]):
            await asyncio.sleep(begun + at - asyncio.get_running_loop().time())
            if what == 0:
                with Path(self.paths[uuid]).open("ab") as file:  # noqa: ASYNC230 - a few bytes of a tmpfs
                    file.write(data)
            else:
                told = data
                for leg, path in self.paths.items():
                    told = told.replace(f"/var/lib/fs/rec/cap_{leg}.r16".encode(), path.encode())
                self.send(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(told), told))
        return {uuid: pcm for uuid, _, pcm in legs}


def replay(name: str, main) -> None:
    async def inside(it: Lab) -> None:
        it.switch.__class__ = Replay
        it.switch.name = name
        it.switch.core = next(decode(f).core for f in frames(raw(f"{name}.esl.s2c.bin")) if "event" in f.kind)
        async with it.attached():
            said = await it.switch.play()
            await it.until(lambda: it.host.calls[0].over)
            main(it, it.host.calls[0], said)
            assert it.host.drops.total() == 0
            assert not list(it.switch.directory.iterdir())

    lab(inside, rate=16000)


def test_hold_by_the_caller_is_a_gap_in_his_track_and_in_no_other():
    def check(it: Lab, call, said) -> None:
        a, b = (it.host.audio(call, party) for party in (0, 1))
        only(a, 16000, 440)
        only(b, 16000, 880)
        length = (call.state.ended - call.state.opened) / 1e9
        for track in call.state.tracks:
            assert track.rate == 16000
            assert abs(track.samples / 16000 - length) < 0.05
        (held,) = [m.at for m in call.state.history if m.event == "hold"]
        (back,) = [m.at for m in call.state.history if m.event == "unhold"]
        assert 1.4 < (back - held) / 1e9 < 1.6
        spans = [(start, stop) for start, stop, kind in call.state.tracks[1].spans if kind == SpanKind.HELD]
        assert abs(sum(stop - start for start, stop in spans) / 16000 - (back - held) / 1e9) < 0.1
        at, until = ((m - call.state.opened) / 1e9 for m in (held, back))
        silent = a[int((at + 0.06) * 16000) : int((until - 0.15) * 16000)]  # his audio came back 0.1 s before UNHOLD
        assert np.abs(silent).max() <= 1  # FreeSWITCH fills what did not come with -1
        spoken = loud(a, 16000, 440)
        assert spoken[int((at - 0.2) * 50) : int((at - 0.06) * 50)].min() > 0.05
        assert spoken[int((until + 0.12) * 50) : int((until + 0.4) * 50)].min() > 0.05
        heard = loud(b, 16000, 880)[int(at * 50) : int(until * 50)]
        assert np.count_nonzero(heard > 0.05) >= len(heard) - 2  # one frame came late on its way into FreeSWITCH
        assert {np.count_nonzero(one) // 1000 for one in (a, b)} == {
            np.count_nonzero(np.frombuffer(pcm, "<i2")) // 1000 for pcm in said.values()
        }

    replay("record_perleg_hold_by_caller", check)


def test_a_blind_transfer_gives_three_tracks_each_with_its_own_tone():
    def check(it: Lab, call, said) -> None:
        a, b, c = (it.host.audio(call, party) for party in (0, 1, 2))
        for pcm, hertz in ((a, 440), (b, 880), (c, 1320)):
            only(pcm, 16000, hertz)
        left = next(m.at for m in call.state.history if (m.party, m.event) == (0, "drop"))
        came = next(m.at for m in call.state.history if (m.party, m.event) == (2, "join"))
        assert not a[int(((left - call.state.opened) / 1e9 + 0.05) * 16000) :].any()
        assert not c[: int((came - call.state.opened) / 1e9 * 16000)].any()
        assert len(call.state.tracks) == 3
        heard = sorted(np.count_nonzero(one) for one in (a, b, c))
        wrote = sorted(np.count_nonzero(np.frombuffer(pcm, "<i2")) for pcm in said.values())
        assert all(abs(one - two) <= 320 for one, two in zip(heard, wrote, strict=True))

    replay("record_perleg_blind_transfer_by_caller", check)


def test_what_the_switch_says_it_wrote_is_what_was_read():
    for name in ("record_perleg_hold_by_caller", "record_perleg_blind_transfer_by_caller"):
        told = {
            event.leg: number(event.record_samples) * 2 * 2
            for event in map(decode, [f for f in frames(raw(f"{name}.esl.s2c.bin")) if "event" in f.kind])
            if event.name == "RECORD_STOP"
        }
        for leg in range(1, len(told) + 1):
            uuid = lines(f"{name}.leg{leg}.chunks.jsonl")[0]["uuid"]
            assert len(raw(f"{name}.leg{leg}.s16le16k.raw")) == told[uuid], "counted at the codec's 8 kHz"


# WebSockets.


def unmasked(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of the frames of a client."""
    found = []
    at = 0
    while at < len(data):
        opcode, size = data[at] & 15, data[at + 1] & 127
        at += 2
        if size == 126:
            size, at = struct.unpack_from("!H", data, at)[0], at + 2
        key = data[at : at + 4]
        body = data[at + 4 : at + 4 + size]
        found.append((opcode, bytes(c ^ key[i % 4] for i, c in enumerate(body))))
        at += 4 + size
    return found


class Module(FakeSwitch):
    """Its module sends the recorded bytes: our path and our metadata in front, everything behind unchanged."""

    name = ""

    async def _connect(self, _channel, bug: Bug, url: str, metadata: str, *, fork: bool) -> None:
        host, _, path = url.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        data = raw(f"{self.name}.m2v.bin")
        cut = data.index(b"\r\n\r\n") + 4
        head = data[:cut].replace(b"GET /tap/x ", f"GET /{path} ".encode())
        reader, writer = await asyncio.open_connection(name, int(port))
        bug.socket = writer
        try:
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            self.protocol = b"Sec-WebSocket-Protocol: audio.drachtio.org" in answer
            writer.write(b"\x81" + bytes([0x80 | len(metadata)]) + b"\0\0\0\0" + metadata.encode())
            begun = asyncio.get_running_loop().time()
            for line in lines(f"{self.name}.timing.jsonl"):
                start, stop = line["off"], line["off"] + line["len"]
                if line["dir"] == "m2v" and stop > cut:
                    await asyncio.sleep(max(0.0, begun + line["t"] - asyncio.get_running_loop().time()))
                    writer.write(data[max(cut, start) : stop])
            self.left = await reader.read()
        finally:
            writer.close()


RECORDED = {
    "ws_audio_stream_mono16k_sendtext": ("stream", 16000, 1),
    "ws_audio_stream_hangup": ("stream", 16000, 2),
    "ws_audio_stream_stereo8k_hold": ("stream", 8000, 2),
    "ws_audio_fork_stereo16k": ("fork", 16000, 2),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_websocket_is_read_to_its_end(name):
    kind, rate, channels = RECORDED[name]
    data = raw(f"{name}.m2v.bin")
    sent = unmasked(data[data.index(b"\r\n\r\n") + 4 :])
    audio = b"".join(body for opcode, body in sent if opcode == 2)

    async def main(it: Lab) -> None:
        it.switch.__class__ = Module
        it.switch.name = name
        async with it.attached():
            one = it.switch.create()
            it.switch.answer(one)
            await it.until(lambda: hasattr(it.switch, "left"))
            (track,) = it.host.by_key(one.uuid).tracks
            it.switch.hang_up(one)
            call = await it.over(one.uuid)
            heard = call.sounds[0].read(call.sounds[0].length)
            if channels == 1:
                only(heard[heard != 0], rate, 440)
                assert abs(np.count_nonzero(heard) - np.count_nonzero(np.frombuffer(audio, "<i2"))) <= rate // 50
            assert track._timeline.frames == len([1 for opcode, _ in sent if opcode == 2])
            assert it.host.drops.total() == 0
            assert it.switch.left[:4] == b"\x88\x02\x03\xe8" or it.switch.left[-4:] == b"\x88\x02\x03\xe8", (
                it.switch.left
            )
            assert it.switch.protocol is (kind == "fork")

    lab(main, tap=kind, url="yes", rate=rate)
