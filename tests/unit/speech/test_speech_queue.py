"""The speech queue without a socket: messages, what was sent, audio."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.base.errors import BadMediaError, ConfigError, ProtocolError
from vcond.speech.config import Route, SpeechConfig
from vcond.speech.engine import Final, Heard
from vcond.speech.queue import audio, messages
from vcond.speech.queue.config import QueueConfig
from vcond.speech.queue.messages import Answer, Cipher, OtherKeyError, OtherVersionError, QueuedUtterance
from vcond.speech.queue.sent import GRACE, SILENT, Sent
from vcond.speech.routes import configurations

KEY = bytes(range(32))
ID = "0" * 64


def job(**more: object) -> QueuedUtterance:
    flac = b"fLaC"
    told = {
        "call": "call", "track": 1, "start": 8000, "stop": 16_000, "rate": 8000, "sha256": hashlib.sha256(flac).digest(),
        "deadline": 100.0, "audio": flac, "language": "en", "vocabulary": ["yes", "no"],
    }  # fmt: skip
    return QueuedUtterance(**told | more)


@pytest.mark.parametrize("secret", [b"", KEY], ids=["plain", "encrypted"])
def test_a_job_and_its_answer_come_through_as_they_were(secret):
    cipher, sent = Cipher(secret), job()
    outside = messages.envelope(cipher.seal("job", ID, "edge-1", 3, messages.pack(sent)))
    assert (outside.id, outside.edge, outside.number) == (ID, "edge-1", 3)
    assert messages.job(cipher.open("job", outside)) == sent
    answer = Answer("gpu-1", "", "vosk", "small", Final("yes", (Heard(0.1, 0.4, "yes", 0.9),), "en", 0.9), 12)
    outside = messages.envelope(cipher.seal("answer", ID, "edge-1", 3, messages.pack(answer)))
    assert messages.answer(cipher.open("answer", outside)) == answer


def test_what_is_encrypted_is_read_with_its_key_only_and_only_as_what_it_is():
    sealed = Cipher(KEY).seal("job", ID, "edge-1", 0, messages.pack(job(call="secret-call")))
    assert b"secret-call" not in sealed
    assert sealed != Cipher(KEY).seal("job", ID, "edge-1", 0, messages.pack(job(call="secret-call")))
    outside = messages.envelope(sealed)
    for other, kind, changed in (
        (Cipher(), "job", {}), (Cipher(bytes(32)), "job", {}), (Cipher(KEY), "answer", {}), (Cipher(KEY), "job", {"edge": "edge-2"}),
        (Cipher(KEY), "job", {"id": "1" * 64}), (Cipher(KEY), "job", {"number": 1}), (Cipher(KEY), "job", {"body": b"short"}),
    ):  # fmt: skip
        with pytest.raises(OtherKeyError):
            other.open(kind, msgspec.structs.replace(outside, **changed))
    with pytest.raises(OtherKeyError, match="not encrypted"):
        Cipher(KEY).open("job", messages.envelope(Cipher().seal("job", ID, "edge-1", 0, b"")))


def test_a_message_of_another_version_says_so_and_whose_it_is():
    data = msgspec.msgpack.encode({"v": 2, "id": ID, "edge": "edge-1", "number": 4, "new": True})
    with pytest.raises(OtherVersionError, match="version 2") as why:
        messages.envelope(data)
    assert (why.value.job, why.value.edge, why.value.number) == (ID, "edge-1", 4)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_protocol_error(data):
    for read in (messages.envelope, messages.job, messages.answer):
        with contextlib.suppress(ProtocolError):
            assert read(data) is not None


@pytest.mark.parametrize(
    "bad",
    [
        {"start": 5, "stop": 5},
        {"start": -1},
        {"rate": 1},
        {"sha256": b"short"},
        {"language": "no language"},
        {"track": -1},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
    ],
)
def test_a_job_out_of_bounds_is_none(bad):
    with pytest.raises(ProtocolError):
        messages.job(messages.pack(job(**bad)))


@pytest.mark.parametrize(
    "bad", [{"edge": "edge-1\n"}, {"edge": "a.b"}, {"edge": ""}, {"id": f"{ID}\n"}, {"id": ID.upper() + "0"}]
)
def test_names_that_would_be_more_than_a_word_of_a_subject_are_none(bad):
    told = {"id": ID, "edge": "edge-1", "number": 0, "key": b"", "body": b""}
    for version in (1, 2):
        data = msgspec.msgpack.encode(told | {"v": version} | bad)
        if bad == {"edge": ""} and version == 2:
            continue  # of another version it may be left out: then nobody is answered
        with pytest.raises(ProtocolError) as why:
            messages.envelope(data)
        assert not isinstance(why.value, OtherVersionError)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"machine": "edge-1\n"}, QueueConfig)


def test_an_answer_out_of_bounds_is_none_and_control_characters_go():
    for text in (
        Final("x" * 20_001),
        Final("", (Heard(0, 1, "x", 1),) * 5001),
        Final("", (Heard(0, 1, "x" * 20_001, 1),)),
    ):
        with pytest.raises(ProtocolError):
            messages.answer(messages.pack(Answer("gpu-1", text=text)))
    with pytest.raises(ProtocolError):
        messages.answer(messages.pack(Answer("gpu.>")))
    shown = messages.answer(
        messages.pack(Answer("gpu-1", "", "v\x1b[2J", "m\n", Final("a\x1b[0mb", (Heard(0, 1, "\r", 1),))))
    )
    assert (shown.engine, shown.model, shown.text.text, shown.text.words[0].text) == ("v [2J", "m ", "a [0mb", " ")


def test_the_same_utterance_has_the_same_id_whatever_its_deadline_and_another_has_another():
    same = messages.identity("edge-1", job())
    assert same == messages.identity("edge-1", job(deadline=7.0))
    others = [
        messages.identity("edge-1", job(**more))
        for more in ({"call": "b"}, {"track": 2}, {"start": 1}, {"stop": 9000}, {"sha256": bytes(32)}, {"language": "de"}, {"vocabulary": []})
    ]  # fmt: skip
    assert len({same, messages.identity("edge-2", job()), *others}) == 9


def test_a_key_is_32_bytes_or_an_error_that_names_its_place():
    assert messages.cipher("").id == b""
    assert messages.cipher(base64.b64encode(KEY).decode()).id == Cipher(KEY).id != b""
    with pytest.raises(ConfigError, match=r"speech\.queue\.key"):
        messages.cipher("short")


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_audio_comes_through_exactly(rate):
    pcm = np.random.default_rng(1).integers(-32_768, 32_767, rate, np.int16)
    flac, told = audio.encoded(pcm, rate)
    assert told == rate
    assert np.array_equal(audio.decoded(flac, told), pcm)


def test_half_a_minute_of_the_fastest_rate_fits_into_a_message_of_nats_and_keeps_its_length():
    flac, rate = audio.encoded(np.random.default_rng(1).integers(-32_768, 32_767, 30 * 48_000, np.int16), 48_000)
    assert len(flac) < (1 << 20) - 4096
    assert len(audio.decoded(flac, rate)) == 30 * rate


def test_what_is_no_such_audio_is_bad_media():
    flac, _ = audio.encoded(np.zeros(8000, np.int16), 8000)
    for data, rate in ((b"", 8000), (b"RIFF....", 8000), (flac, 16_000), (flac[:40], 8000)):
        with pytest.raises(BadMediaError):
            audio.decoded(data, rate)


def test_each_is_answered_once_and_what_nobody_waits_for_is_nobodys():
    sent: Sent[str] = Sent(2, 120)
    sent.add("a", "A", 0)
    sent.add("b", "B", 0)
    assert not sent.room(1)
    assert sent.answer("a", 1) == "A"
    assert sent.answer("a", 2) is None
    assert sent.answer("c", 2) is None
    assert sent.room(2)
    assert sent.take_back("b").what == "B"
    assert sent.answer("b", 3) is None


def test_one_without_an_answer_is_taken_back_at_its_deadline_and_one_that_nobody_wants_at_once():
    sent: Sent[str] = Sent(3, 120)
    for name, now in (("a", 0), ("b", 60), ("c", 60)):
        sent.add(name, name.upper(), now)
    sent.placed("a", 7)
    assert [one.what for one in sent.overdue(119.9, lambda what: what == "C")] == ["C"]
    (late,) = sent.overdue(120, lambda _: False)
    assert (late.what, late.seq, len(sent)) == ("A", 7, 1)
    sent.placed("a", 8)
    assert "a" not in sent


def test_one_that_was_done_before_is_sent_again_soon():
    sent: Sent[str] = Sent(1, 120)
    sent.add("a", "A", 0)
    sent.done_before("a", 5)
    assert sent.overdue(5 + GRACE - 0.1, lambda _: False) == []
    assert [one.what for one in sent.overdue(5 + GRACE, lambda _: False)] == ["A"]


def test_while_nobody_answers_one_is_sent_and_then_as_many_as_before():
    sent: Sent[str] = Sent(64, 120)
    sent.add("a", "A", 1000)  # it was quiet before that: nobody was asked
    assert not sent.silent(1000 + SILENT - 0.1)
    assert sent.silent(1000 + SILENT)
    assert not sent.room(1000 + SILENT)
    assert sent.overdue(1120, lambda _: False)
    assert sent.room(1120), "one, as a question"
    sent.add("a", "A", 1121)
    assert not sent.room(1122)
    assert sent.answer("a", 1123) == "A"
    assert not sent.silent(1123)
    sent.add("b", "B", 1124)
    assert sent.room(1124)


def test_answers_that_come_slowly_are_not_silence():
    sent: Sent[str] = Sent(64, 600)
    for n in range(5):
        sent.add(str(n), "", 0)
    for n in range(5):
        assert not sent.silent(50 * n + 49)
        sent.answer(str(n), 50 * n + 50)


def test_no_more_is_sent_than_is_answered_in_half_of_the_patience():
    sent: Sent[int] = Sent(64, 120)
    queue: list[tuple[float, str]] = []
    answered = given_up = made = 0
    for second in range(3600):  # one machine, two seconds for each utterance, and always more to be done
        now = float(second)
        while sent.room(now):
            made += 1
            sent.add(str(made), made, now)
            queue.append((now, str(made)))
        given_up += len(sent.overdue(now, lambda _: False))
        queue = [(since, job) for since, job in queue if job in sent]
        if second % 2 and queue:
            answered += sent.answer(queue.pop(0)[1], now) is not None
        if second > 600:
            assert 25 <= len(sent) <= 35
    assert answered > 1750
    assert given_up < 70, "what was sent before it was known how long it takes"


def test_after_what_was_taken_back_fewer_are_sent_and_after_answers_as_many_as_before():
    sent: Sent[int] = Sent(8, 120)
    for n in range(8):
        sent.add(str(n), n, 0)
    assert len(sent.overdue(120, lambda _: False)) == 8
    sent.somebody(120)
    room = 0
    while sent.room(121):
        sent.add(f"again-{room}", room, 121)
        room += 1
    assert room == 4
    for n in range(200):
        now = 122.0 + n
        sent.answer(next(iter(sent._by)), now)
        while sent.room(now):
            sent.add(f"more-{n}-{len(sent)}", 0, now)
    assert len(sent) == 8


def test_where_speech_is_transcribed_is_a_rule_of_its_route():
    queue = QueueConfig(url="nats://127.0.0.1:4222")
    config = SpeechConfig(
        engine="vosk", model="/a", queue=queue, routes=[Route(where="queue"), Route(where="here"), Route(language="de")]
    )
    own, there = configurations(config)
    assert (own.where, own.engine, own.routes) == ("here", "vosk", config.routes[1:])
    assert (there.where, there.engine, there.model) == ("queue", "vosk", "/a")
    with pytest.raises(ValueError, match=r"queue\.url"):
        SpeechConfig(where="queue")
    with pytest.raises(ValueError, match=r"queue\.url"):
        SpeechConfig(routes=[Route(where="queue when deferred")])
    assert "secret" not in repr(SpeechConfig(queue=QueueConfig(password="secret", key="secret")))


@pytest.mark.fuzz
def test_many_more_bytes_are_refused_as_well(fuzz):
    fuzz.examples(4000, test_any_bytes_are_a_message_or_a_protocol_error)
