"""Every command that is ever sent to FreeSWITCH, each made by one function that fills every word.

No word with white space or control characters gets into one, whatever a caller chose: a word stays one word. No other
code builds a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from vcond.sdk.contract import ProtocolError

_WORD: Final = re.compile(r"[!-~]{1,1024}")
"""Printable ASCII without a space."""
_ID: Final = re.compile(r"[A-Za-z0-9_.:@+=-]{1,128}")
_PATH: Final = re.compile(r"/[A-Za-z0-9_./@+=-]{1,400}\.r16")
"""Raw files of 16-bit samples; ``.r24`` and ``.r32`` would be 24 and 32 bits a sample."""
_URL: Final = re.compile(r"wss?://[!-~]{1,500}")
_JSON: Final = re.compile(r"\{[!-~]{0,500}\}")
_RATES: Final = {8000: "8k", 16000: "16k"}

EVENTS: Final = (
    "CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CHANNEL_UUID", "CALL_UPDATE", "DTMF", "RECORD_START", "RECORD_STOP",
    "MEDIA_BUG_START", "MEDIA_BUG_STOP", "BACKGROUND_JOB", "HEARTBEAT", "SHUTDOWN", "API",
)  # fmt: skip
"""What is subscribed to. Channel events have 3.5 to 11 kB each: no more than is used."""
NEEDED: Final = frozenset(
    {"CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_HANGUP_COMPLETE",
     "BACKGROUND_JOB", "RECORD_STOP"}
)  # fmt: skip
"""Without these no call can be understood."""
SUBCLASSES: Final = (
    "conference::maintenance", "callcenter::info", "vcond::pause", "vcond::resume",
    "mod_audio_stream::connect", "mod_audio_stream::disconnect", "mod_audio_stream::error",
    "mod_audio_fork::connect", "mod_audio_fork::connect_failed", "mod_audio_fork::disconnect",
    "mod_audio_fork::buffer_overrun",
)  # fmt: skip
RECORDING: Final = {
    "enable_file_write_buffering": "false",
    "RECORD_PRE_BUFFER_FRAMES": "1",
    "RECORD_USE_THREAD": "false",
    "RECORD_HANGUP_ON_ERROR": "false",
    "RECORD_APPEND": "false",
    "RECORD_MIN_SEC": "0",
    "RECORD_INITIAL_TIMEOUT_MS": "0",
    "RECORD_FINAL_TIMEOUT_MS": "0",
    "RECORD_SILENCE_THRESHOLD": "0",
    "RECORD_ANSWER_REQ": "false",
    "RECORD_BRIDGE_REQ": "false",
    "RECORD_CHECK_BRIDGE": "false",
    "RECORD_TOGGLE_ON_REPEAT": "false",
}
"""What a tap says of its recording: FreeSWITCH takes whatever is not named from the variables of the channel.

Those are the operator's, for recordings of his own, and the shipped directory sets one for every user
(``record_stereo``: two channels in the file). All that ``switch_ivr_record_session_event`` and its callback (1.10.12)
look up for a raw file are here, but for the texts of its tags (``RECORD_TITLE`` ...). The threshold comes behind the
times, which set it. Writing by the session's own thread costs less, and leaves nothing behind when a call is short.
"""
FORK_NAME: Final = "vcond"
"""Name of our bug among those of a channel (``uuid_audio_fork``)."""


def wanted(missing: Iterable[str], kind: str) -> list[str]:
    """Those events of ``missing`` that a tap of this kind has a use for: a file has none for what modules say."""
    return [name for name in missing if kind in {"stream", "fork"} or not name.startswith("mod_audio_")]


def word(text: str) -> str:
    """``text``, when it can be one word of a command. Raises ProtocolError; the text itself is never told."""
    if not _WORD.fullmatch(text):
        raise ProtocolError("invalid word for a command")
    return text


def channel(uuid: str) -> str:
    """A channel's id, when it is one. Raises ProtocolError."""
    if not _ID.fullmatch(uuid):
        raise ProtocolError("invalid channel id")
    return uuid


def auth(password: str) -> str:
    """Log in with the password of the whole switch. Raises ProtocolError."""
    return f"auth {word(password)}"


def userauth(user: str, password: str) -> str:
    """Log in as a user of the directory (``vcond@pbx.example.com``) with rights of its own. Raises ProtocolError."""
    return f"userauth {word(user)}:{word(password)}"


def subscribe(names: Iterable[str], subclasses: Iterable[str], form: str) -> str:
    """Subscribe to events. After CUSTOM every word is a subclass, so it comes last."""
    words = ["event", word(form), *map(word, names)]
    custom = [word(name) for name in subclasses]
    return " ".join(words + (["CUSTOM", *custom] if custom else []))


def background(line: str, job: str) -> str:
    """Run an api command beside the connection, whose thread would stop for it."""
    return f"bgapi {_line(line)}\nJob-UUID: {channel(job)}"


def api(line: str) -> str:
    """Run an api command in the connection's thread: only what answers at once."""
    return f"api {_line(line)}"


def dump(uuid: str) -> str:
    """Everything about a channel, in plain form, which is percent-encoded and so safe to read."""
    return f"uuid_dump {channel(uuid)}"


def buglist(uuid: str) -> str:
    """Which taps a channel has."""
    return f"uuid_buglist {channel(uuid)}"


def record_start(uuid: str, path: str, rate: int, tap: str, *, both: bool = False) -> str:
    """Write what a party says to a raw file, 16-bit little endian, in steps of 20 ms.

    ``both`` = two channels, what it says and what it hears. The rate is always given: the file's name does not fix it.
    """
    sides = {
        "RECORD_READ_ONLY": "false" if both else "true",
        "RECORD_WRITE_ONLY": "false",
        "RECORD_STEREO": "true" if both else "false",
        "RECORD_STEREO_SWAP": "false",
    }
    told = {**sides, **RECORDING, "record_sample_rate": str(_rate(rate)), "vcond_tap": channel(tap)}
    words = ",".join(f"{name}={value}" for name, value in told.items())
    return f"uuid_record {channel(uuid)} start {_path(path)} 0 {{{words}}}"


def record_stop(uuid: str, path: str) -> str:
    """Stop writing to a file."""
    return f"uuid_record {channel(uuid)} stop {_path(path)}"


def stream_start(uuid: str, url: str, rate: int, metadata: str) -> str:
    """mod_audio_stream: send what a party says to a WebSocket."""
    return f"uuid_audio_stream {channel(uuid)} start {_url(url)} mono {_k(rate)} {_json(metadata)}"


def stream_stop(uuid: str) -> str:
    """mod_audio_stream: no more."""
    return f"uuid_audio_stream {channel(uuid)} stop"


def fork_start(uuid: str, url: str, rate: int, metadata: str) -> str:
    """mod_audio_fork: the same. All eight words are there, always."""
    line = f"uuid_audio_fork {channel(uuid)} start {_url(url)} mono {_k(rate)} {FORK_NAME} {_json(metadata)}"
    assert len(line.split(" ")) == 8
    return line


def fork_stop(uuid: str) -> str:
    """mod_audio_fork: no more; without the name of the bug it fails."""
    return f"uuid_audio_fork {channel(uuid)} stop {FORK_NAME}"


def loopback(uuid: str, milliseconds: int) -> str:
    """Make a pair of channels that are answered and dial nobody: one hears a tone for so long, and the other sends it back."""
    given = f"{{origination_uuid={channel(uuid)}}}loopback/m:~:answer~echo/default/inline"
    return f"originate {given} &playback(tone_stream://%({int(milliseconds)},0,400))"


def media(uuid: str) -> str:
    """Bring the media of a bypassed call back through the switch."""
    return f"uuid_media {channel(uuid)}"


def _line(line: str) -> str:
    """An api command that is one line of words. Raises ProtocolError."""
    for part in line.split(" "):
        word(part)
    return line


def _rate(rate: int) -> int:
    if rate not in _RATES:
        raise ProtocolError("invalid sampling rate for a tap")
    return rate


def _k(rate: int) -> str:
    return _RATES[_rate(rate)]


def _path(path: str) -> str:
    if not _PATH.fullmatch(path) or ".." in path:
        raise ProtocolError("invalid path for a command")
    return path


def _url(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ProtocolError("invalid URL for a command")
    return url


def _json(text: str) -> str:
    if not _JSON.fullmatch(text):
        raise ProtocolError("metadata is not compact JSON; the modules cut it at the first space")
    return text
