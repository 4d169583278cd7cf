"""Nothing from outside gets into a command, and no command is ever short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.adapter import ProtocolError
from vcond_freeswitch import commands

UUID = "c1d769fb-0c06-486d-8b71-c067205afd1a"
URL = "ws://10.0.0.5:8470/freeswitch/audio/token"
PATH = "/dev/shm/vcond/x.r16"


def test_the_tap_is_the_one_that_was_measured():
    assert commands.record_start(UUID, PATH, 16000, "t1") == (
        f"uuid_record {UUID} start {PATH} 0 {{RECORD_READ_ONLY=true,enable_file_write_buffering=false,"
        "RECORD_PRE_BUFFER_FRAMES=1,record_sample_rate=16000,vcond_tap=t1}"
    )


def test_a_fork_always_has_all_its_words():
    line = commands.fork_start(UUID, URL, 8000, '{"tap":"x"}')
    assert line.split(" ") == ["uuid_audio_fork", UUID, "start", URL, "mono", "8k", "vcond", '{"tap":"x"}']


@pytest.mark.parametrize("rate", [0, None, 44100, ""])
def test_a_fork_without_a_rate_cannot_be_made(rate):
    with pytest.raises(ProtocolError):
        commands.fork_start(UUID, URL, rate, "{}")


def test_metadata_with_a_space_would_be_cut_and_is_refused():
    with pytest.raises(ProtocolError):
        commands.fork_start(UUID, URL, 8000, '{"tap": "x"}')


def test_only_16_bit_files():
    for path in ("/tmp/x.r24", "/tmp/x.wav", "/tmp/x", "relative.r16", "/tmp/../etc/x.r16", "/tmp/a b.r16", "/a\n.r16"):
        with pytest.raises(ProtocolError):
            commands.record_start(UUID, path, 16000, "t")


def test_custom_comes_last():
    line = commands.subscribe(["CHANNEL_CREATE", "DTMF"], ["conference::maintenance"], "json")
    assert line == "event json CHANNEL_CREATE DTMF CUSTOM conference::maintenance"
    assert commands.subscribe(["DTMF"], [], "plain") == "event plain DTMF"


def test_what_is_needed_is_subscribed_to():
    assert set(commands.EVENTS) >= commands.NEEDED


MAKERS = [
    commands.auth,
    lambda text: commands.userauth("vcond@x", text),
    lambda text: commands.userauth(text, "x"),
    lambda text: commands.background("status", text),
    lambda text: commands.background(f"uuid_dump {text}", "job"),
    lambda text: commands.api(f"global_getvar {text}"),
    commands.dump,
    commands.buglist,
    lambda text: commands.record_start(text, PATH, 16000, "t"),
    lambda text: commands.record_start(UUID, f"/dev/{text}.r16", 16000, "t"),
    lambda text: commands.record_start(UUID, PATH, 16000, text),
    lambda text: commands.record_stop(UUID, text),
    lambda text: commands.stream_start(UUID, text, 8000, "{}"),
    lambda text: commands.stream_start(UUID, URL, 8000, text),
    lambda text: commands.fork_start(UUID, f"ws://{text}", 8000, "{}"),
    lambda text: commands.fork_start(text, URL, 8000, "{}"),
    commands.fork_stop,
    commands.media,
    lambda text: commands.subscribe([text], [], "json"),
]


@pytest.mark.parametrize("make", MAKERS)
@given(text=st.text(max_size=20) | st.sampled_from(["a\nbgapi hupall", "a\r\n\r\nexit", "x\x00y", "ü", "a\u2028b"]))
def test_a_newline_from_outside_never_reaches_a_command(make, text):
    try:
        line = make(text)
    except ProtocolError:
        return
    first, _, rest = line.partition("\nJob-UUID: ")
    assert all(32 <= ord(c) < 127 for c in first + rest)
