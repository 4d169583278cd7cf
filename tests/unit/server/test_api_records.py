"""Finished vCons: as they are, as audio that plays, as text."""

import asyncio
import gc
import io
import json
import socket
import struct
from pathlib import Path

import aiohttp
import numpy as np
import pybase64
import pytest
import soundfile
from api_kit import DATA, daemon, until
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from vcond.server.api import records as records_module
from vcond.server.api.recording import HEADER, Recording
from vcond.server.api.transcript import transcript

NAMES = sorted(file.name.removesuffix(".vcon.json") for file in DATA.glob("*.vcon.json"))
UUID = "019f155a-5131-80ec-832a-bc92ac6830cd"
HOSTILE = "<script>alert(1)</script> --> & {\\an8} \u202e\x1b[2J\nWEBVTT\n\n1\n00:00:00.000 --> 99:00:00.000\nx"


def document(name: str):
    return json.loads((DATA / f"{name}.vcon.json").read_bytes())


def with_audio(samples, rate: int, kind: str, subtype: str, mediatype: str):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, subtype, format=kind)
    body = pybase64.b64encode(out.getvalue(), b"-_").rstrip(b"=").decode()
    return {"dialog": [{"type": "recording", "mediatype": mediatype, "encoding": "base64url", "body": body}]}


async def test_a_vcon_is_given_as_it_is_delivered_from_either_folder(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        _, headers, body = await one.asked(f"/vcons/{uuid}", "read")
        assert json.loads(body) == document("plain")
        assert headers["Content-Disposition"] == f'attachment; filename="{uuid}.vcon.json"'
        (row,) = await one.told("/vcons", "read")
        assert (row["uuid"], row["stage"], row["delivered"], row["sinks"]) == (uuid, "open", 0, 1)
        files = tmp_path / "state" / "outbox"
        (files / "pending" / f"{uuid}.vcon.json").rename(files / "kept" / f"{uuid}.vcon.json")
        await one.parts.outbox.tell("keep", lambda db: db.execute("UPDATE delivery_vcons SET stage = 'kept'"))
        one.parts.api._api.routes[-1].run.__self__._kept.clear()
        assert (await one.asked(f"/vcons/{uuid}", "read"))[0] == 200


async def test_what_was_erased_is_not_shown_from_memory(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        assert (await one.asked(f"/vcons/{uuid}/audio/0", "read"))[0] == 200
        await one.parts.outbox.tell("erase", lambda db: db.execute("UPDATE delivery_vcons SET stage = 'gone'"))
        for path in ("", "/audio/0", "/transcript", "/peaks/0"):
            status, _, body = await one.asked(f"/vcons/{uuid}{path}", "read")
            assert (status, b"keep_days" in body) == (410, True)
        assert one.parts.api._api.routes[-1].run.__self__._kept == {}


def large(document) -> None:
    """Audio that fits into no buffer of a socket."""
    document["dialog"] = with_audio(np.zeros(16_000_000), 8000, "WAV", "ULAW", "audio/x-wav")["dialog"]


@pytest.mark.parametrize("how", ["forget", "erase", "revoke"])
async def test_what_is_forgotten_or_not_allowed_any_more_while_it_is_played_is_cut_off(tmp_path: Path, how: str):
    async with daemon(tmp_path) as one:
        uuid, token = await one.vcon("plain", large), await one.token("read")
        headers = {"Authorization": f"Bearer {token}"}
        async with one.client.get(f"/api/v1/vcons/{uuid}/audio/0", headers=headers) as answer:
            assert answer.status == 200
            if how == "revoke":
                await one.parts.api.writes["token-revoke"]({"id": token.split("_")[1]})
            else:
                words = "DELETE FROM delivery_vcons" if how == "forget" else "UPDATE delivery_vcons SET stage = 'gone'"
                await one.parts.outbox.tell(how, lambda db: db.execute(words))
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_records_on_their_way_to_who_does_not_read_are_bounded_and_idle_ones_go(tmp_path: Path, monkeypatch):
    async with daemon(tmp_path) as one:
        uuid, other = await one.vcon("plain", large), UUID.replace("019f", "019e")
        await one.vcon("busy", lambda document: document.update(uuid=other))
        records = one.parts.api._api.routes[-1].run.__self__
        headers = {"Authorization": f"Bearer {await one.token('read')}"}
        monkeypatch.setattr(records_module, "IDLE", 0.0)
        async with one.client.get(f"/api/v1/vcons/{uuid}/audio/0", headers=headers) as answer:
            await until(lambda: not records._kept)
            monkeypatch.setattr(records_module, "MOST_OPEN", len(next(iter(records._open)).body))
            status, told, _ = await one.asked(f"/vcons/{other}", "read")
            assert (status, told["Retry-After"]) == (429, "10")
            answer.close()
        await until(lambda: not records._open)
        assert (await one.asked(f"/vcons/{other}", "read"))[0] == 200


async def test_who_hangs_up_in_the_midst_of_a_recording_is_no_error_and_keeps_nothing_open(tmp_path: Path, caplog):
    async with daemon(tmp_path) as one:
        uuid, token = await one.vcon("plain", large), await one.token("read")
        records, address = one.parts.api._api.routes[-1].run.__self__, URL(one.parts.api.base_url)
        serving = one.parts.api.server._listener._runner.server
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            f"GET /api/v1/vcons/{uuid}/audio/0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: any(one._paused for one in serving.connections))  # it waits for its reader
        records._kept.clear()
        gc.disable()
        try:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()  # a reset, not an end
            await until(lambda: not records._open)
        finally:
            gc.enable()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_pages_of_vcons_follow_one_another(tmp_path: Path):
    async with daemon(tmp_path) as one:
        made = [await one.vcon("plain", lambda d, n=n: d.update(uuid=f"019f155a-5131-80ec-832a-00000000000{n}")) for n in range(5)]  # fmt: skip
        first = await one.told("/vcons?limit=2", "read")
        rest = await one.told(f"/vcons?before={first[-1]['uuid']}", "read")
        assert [row["uuid"] for row in first + rest] == made[::-1]


@pytest.mark.parametrize("name", NAMES)
async def test_every_record_of_ours_has_a_text_and_audio_that_plays(tmp_path: Path, name: str):
    async with daemon(tmp_path) as one:
        uuid, plain = await one.vcon(name), document(name)
        for form in ("text", "vtt", "srt"):
            assert (await one.asked(f"/vcons/{uuid}/transcript?form={form}", "read"))[0] == 200
        assert isinstance(await one.told(f"/vcons/{uuid}/findings", "read"), list)
        for at, dialog in enumerate(plain["dialog"]):
            status, headers, body = await one.asked(f"/vcons/{uuid}/audio/{at}", "read")
            if "body" not in dialog or name == "example":  # the latter has only the beginning of a WAV
                assert status == (400 if "body" in dialog else 404)
                continue
            assert (status, headers["Content-Type"], headers["Accept-Ranges"]) == (200, "audio/wav", "bytes")
            heard, rate = soundfile.read(io.BytesIO(body), dtype="int16", always_2d=True)
            assert len(heard) / rate == pytest.approx(dialog["duration"], abs=0.01)
            kept = pybase64.urlsafe_b64decode(dialog["body"] + "==")
            assert np.array_equal(heard, soundfile.read(io.BytesIO(kept), dtype="int16", always_2d=True)[0])
            _, headers, body = await one.asked(f"/vcons/{uuid}/audio/{at}?form=original", "read")
            assert body == kept
            peaks = await one.told(f"/vcons/{uuid}/peaks/{at}?count=50", "read")
            assert [len(channel) for channel in peaks["channels"]] == [50] * heard.shape[1]


FORMS = [
    ("WAV", "ULAW", "audio/x-wav", 8000), ("WAV", "ALAW", "audio/x-wav", 8000), ("WAV", "PCM_16", "audio/x-wav", 44100),
    ("FLAC", "PCM_16", "audio/flac", 16000), ("OGG", "OPUS", "audio/ogg", 16000),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "subtype", "mediatype", "rate"), FORMS)
@pytest.mark.parametrize("channels", [1, 2])
def test_any_form_is_given_as_pcm_and_any_part_of_it(kind: str, subtype: str, mediatype: str, rate: int, channels: int):
    samples = np.random.default_rng(1).integers(-9000, 9000, (rate // 2 + 1, channels)).astype(np.int16)
    recording = Recording(with_audio(samples, rate, kind, subtype, mediatype), 0)
    whole = b"".join(recording.wav(0, recording.size))
    assert len(whole) == recording.size == HEADER + (rate // 2 + 1) * channels * 2
    heard, told = soundfile.read(io.BytesIO(whole), dtype="int16", always_2d=True)
    assert (told, heard.shape) == (rate, samples.shape)
    if subtype == "PCM_16":
        assert np.array_equal(heard, samples)
    if subtype != "OPUS":  # which begins anew where it is entered, and sounds the same
        for start, stop in [(0, 1), (0, 44), (43, 46), (44, 45), (45, 4001), (recording.size - 3, recording.size)]:
            assert b"".join(recording.wav(start, stop)) == whole[start:stop]


def test_a_long_recording_is_made_piece_by_piece():
    samples = np.zeros((8000 * 120, 2), np.int16)
    recording = Recording(with_audio(samples, 8000, "FLAC", "PCM_16", "audio/flac"), 0)
    pieces = [len(piece) for piece in recording.wav(0, recording.size)]
    assert max(pieces) <= 1 << 20
    assert sum(pieces) == recording.size


def test_peaks_are_the_loudest_of_each_stretch_of_each_channel():
    samples = np.zeros((1000, 2), np.int16)
    samples[250, 0], samples[999, 1] = 16384, -32768
    peaks = Recording(with_audio(samples, 8000, "WAV", "PCM_16", "audio/x-wav"), 0).peaks(4)
    assert peaks == [[0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    assert [
        len(one) for one in Recording(with_audio(samples[:3], 8000, "WAV", "PCM_16", "audio/x-wav"), 0).peaks(9)
    ] == [9, 9]


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=100-", 206, (100, None)),
        ("bytes=-7", 206, (-7, None)),
        ("bytes=0-99999999999", 206, (0, None)),
        ("bytes=-99999999999", 206, (0, None)),
        ("BYTES=1-1", 206, (1, 2)),
        ("bytes=99999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=9-1", 200, (0, None)),
        ("bytes=0-1,5-6", 200, (0, None)),
        ("bytes=", 200, (0, None)),
        ("bytes=-", 200, (0, None)),
        ("bytes=a-b", 200, (0, None)),
        ("bytes=--5", 200, (0, None)),
        ("bytes=+1-2", 200, (0, None)),
        ("bytes=\u0661-\u0662", 200, (0, None)),
        ("bytes=" + "9" * 5000 + "-", 200, (0, None)),
        ("lines=0-1", 200, (0, None)),
        ("", 200, (0, None)),
    ],
)
async def test_ranges(tmp_path: Path, wanted: str, status: int, part):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain")
        _, _, whole = await one.asked(f"/vcons/{uuid}/audio/0", "read")
        got, headers, body = await one.asked(f"/vcons/{uuid}/audio/0", "read", headers={"Range": wanted})
        assert got == status
        if part is None:
            assert headers["Content-Range"] == f"bytes */{len(whole)}"
            return
        assert body == whole[slice(*part)]
        if status == 206:
            start = whole.find(body) if part[0] <= 0 and part[0] != -7 else part[0] % len(whole)
            assert headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(whole)}"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"body": "AAAA"}, 400),
        ({"body": "****"}, 400),
        ({"body": 7}, 404),
        ({"mediatype": "video/mp4"}, 404),
        ({"mediatype": ["audio/x-wav"]}, 404),
        ({"encoding": "none"}, 404),
    ],
)
async def test_audio_that_cannot_be_read_is_said(tmp_path: Path, change, status: int):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain", lambda d: d["dialog"][0].update(change))
        assert (await one.asked(f"/vcons/{uuid}/audio/0", "read"))[0] == status


async def test_a_vcon_that_is_not_valid_is_shown_with_its_findings(tmp_path: Path):
    async with daemon(tmp_path) as one:
        uuid = await one.vcon("plain", lambda d: d["dialog"][0].update(type="song", parties="all"))
        found = await one.told(f"/vcons/{uuid}/findings", "read")
        assert "error" in {row["level"] for row in found}
        assert (await one.asked(f"/vcons/{uuid}", "read"))[0] == 200


def spoken(name: str, text: str):
    segment = {"start": 1.0, "end": 2.5, "text": text, "speaker": 0}
    body = {"segments": [segment]}
    return {"parties": [{"name": name}], "analysis": [{"type": "wtf_transcription", "body": body}]}


def test_texts_of_others_are_no_markup():
    text, vtt, srt = (transcript(spoken(HOSTILE, HOSTILE), form) for form in ("text", "vtt", "srt"))
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text + vtt + srt
    assert [line for line in vtt.splitlines() if "-->" in line] == ["00:00:01.000 --> 00:00:02.500"]
    assert "<script" not in vtt
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in vtt
    assert [line[:12] for line in srt.splitlines() if " --> " in line] == ["00:00:01,000"]
    assert not set("<>{}") & set("".join(srt.splitlines()[2:]))


@given(st.text(), st.text())
def test_any_name_and_words_are_one_cue(name: str, words: str):
    lines = transcript(spoken(name, words), "vtt").split("\n")
    assert [lines[0], lines[2], len(lines)] == ["WEBVTT", "00:00:01.000 --> 00:00:02.500", 5]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"analysis": 7}, {"analysis": [7, {"type": "wtf_transcription"}, {"type": "wtf_transcription", "body": {"segments": [{}]}}]},
     {"parties": "x", "analysis": [{"type": "wtf_transcription", "body": {"segments": [{"start": -1, "end": -5, "text": "a", "speaker": 99}]}}]}],
)  # fmt: skip
def test_a_record_that_is_not_as_it_should_be_has_the_text_that_there_is(wrong):
    for form in ("text", "vtt", "srt"):
        assert isinstance(transcript(wrong, form), str)
