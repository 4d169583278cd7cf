"""Nothing from outside gets into a command, and no command is ever short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import ProtocolError
from vcond_freeswitch import commands

UUID = "c1d769fb-0c06-486d-8b71-c067205afd1a"
URL = "ws://10.0.0.5:8470/freeswitch/audio/token"
PATH = "/dev/shm/vcond/x.r16"


SIDES = "RECORD_READ_ONLY={},RECORD_WRITE_ONLY=false,RECORD_STEREO={},RECORD_STEREO_SWAP=false"
REST = (
    "enable_file_write_buffering=false,RECORD_PRE_BUFFER_FRAMES=1,RECORD_USE_THREAD=false,RECORD_HANGUP_ON_ERROR=false,"
    "RECORD_APPEND=false,RECORD_MIN_SEC=0,RECORD_INITIAL_TIMEOUT_MS=0,RECORD_FINAL_TIMEOUT_MS=0,"
    "RECORD_SILENCE_THRESHOLD=0,RECORD_ANSWER_REQ=false,RECORD_BRIDGE_REQ=false,RECORD_CHECK_BRIDGE=false,"
    "RECORD_TOGGLE_ON_REPEAT=false,record_sample_rate=16000,vcond_tap=t1"
)


@pytest.mark.parametrize(("both", "sides"), [(False, ("true", "false")), (True, ("false", "true"))])
def test_the_tap_is_the_one_that_was_measured(both, sides):
    told = f"{SIDES.format(*sides)},{REST}"
    assert commands.record_start(UUID, PATH, 16000, "t1", both=both) == (
        f"uuid_record {UUID} start {PATH} 0 {{{told}}}"
    )


LOOKED_UP = (
    "RECORD_HANGUP_ON_ERROR", "RECORD_TOGGLE_ON_REPEAT", "RECORD_CHECK_BRIDGE", "RECORD_WRITE_ONLY", "RECORD_READ_ONLY",
    "RECORD_STEREO", "RECORD_STEREO_SWAP", "RECORD_ANSWER_REQ", "RECORD_BRIDGE_REQ", "RECORD_APPEND",
    "record_sample_rate", "enable_file_write_buffering", "RECORD_MIN_SEC", "RECORD_INITIAL_TIMEOUT_MS",
    "RECORD_FINAL_TIMEOUT_MS", "RECORD_SILENCE_THRESHOLD", "RECORD_PRE_BUFFER_FRAMES", "RECORD_USE_THREAD",
)  # fmt: skip
"""All that switch_ivr_async.c of 1.10.12 reads with get_recording_var for a raw file without video, but for tags."""


@pytest.mark.parametrize("both", [False, True])
def test_no_setting_of_a_recording_is_left_to_the_channel(both):
    line = commands.record_start(UUID, PATH, 16000, "t1", both=both)
    told = [pair.partition("=")[0] for pair in line.rpartition("{")[2].rstrip("}").split(",")]
    assert set(LOOKED_UP) <= set(told)
    assert len(told) == len({name.lower() for name in told}), "names are case-blind there"
    assert told.index("RECORD_SILENCE_THRESHOLD") > told.index("RECORD_FINAL_TIMEOUT_MS")


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
