"""Taps of the fake FreeSWITCH: what a recording or a stream delivers, and what is refused.

Where each behaviour was seen (1.10.12):

- settings that are not named in the command are taken from the channel, case-blind: ``data/record_stereo`` (a recording
  of two channels because of a variable of the directory), ``data/hangup_on_error`` (a path that cannot be written, with
  the setting named: refused, and the call goes on; not named it ended the call, measured); the list of settings and what
  each does: ``switch_ivr_async.c``, read, not recorded
- a start answers ``+OK Success`` or ``-ERR Cannot record session!``, and RECORD_START, MEDIA_BUG_START come before
  BACKGROUND_JOB: ``data/record_stereo``; a stop of what is not there ``-ERR Cannot stop record session!``:
  ``data/hangup_on_error`` (``test_freeswitch_fake.py`` compares them)
- a codec of two channels gives a file of two, whatever is asked (``switch_ivr_record_session_event``, read, not recorded)
- RECORD_STOP and MEDIA_BUG_STOP come before CHANNEL_HANGUP_COMPLETE and carry its Hangup-Cause: ``data/record_stereo``
- a party that holds sends nothing: ``data/record_perleg_hold_by_caller``
- a stream's first message is its metadata, then 20 ms each: ``data/ws_audio_stream_mono16k_sendtext``
- a module says CUSTOM ``mod_audio_stream::connect``, and ``::disconnect`` when the other side closed (measured, in the
  kit's report); whether and when it says so of one that it was told to stop depends on its version: ``late_goodbye``
- the same path again is ``+OK`` and does nothing; a raw file without a thread of its own whose writing fails takes its
  tap off: measured, and read in ``record_callback``
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

FRAME = 0.02
LAST = 0.06
"""Seconds: a call that ends so soon after its recording began was short."""


@dataclass
class Bug:
    """A tap on a channel."""

    kind: str
    target: str
    variables: dict = field(default_factory=dict)
    written: int = 0
    """Samples of one channel."""
    masked: bool = False
    stalled: bool = False
    """It is there and gives nothing."""
    file: object = None
    socket: object = None
    task: asyncio.Task | None = None
    since: float = 0.0
    quiet: float = 0.0
    """Seconds of silence so far."""


def setting(channel, variables: dict, name: str) -> str:
    """What a recording goes by: the command's own word, else the channel's; names are case-blind."""
    for told in (variables, channel.variables):
        for key, value in told.items():
            if key.lower() == name.lower():
                return value
    return ""


def two_channels(data: bytes) -> bytes:
    """A party who speaks from the left: the mean of both channels is half of it."""
    return b"".join(data[i : i + 2] + b"\x00\x00" for i in range(0, len(data), 2))


def true(value: str) -> bool:
    return value.lower() in {"yes", "on", "true", "t", "enabled", "active", "allow", "1"}


class FakeTaps:
    """The part of the fake switch that has to do with taps."""

    def _tappable(self, channel) -> bool:
        if channel.ended:
            self.harm.append("a tap on a leg whose hang-up was told")
            return False
        if channel.answered:
            return True
        self.harm.append("a tap on a leg that was not answered: INCOMPATIBLE_DESTINATION for both")
        return False

    def frame(self, bug: Bug, channel, data: bytes) -> None:
        """20 ms of one channel."""
        if bug.stalled:
            return
        if bug.kind != "session_record":
            if bug.socket is not None:
                self._spawn(self._send(bug, data))
            return

        def is_on(name: str) -> bool:
            return true(setting(channel, bug.variables, name))

        if is_on("RECORD_BRIDGE_REQ") and not channel.other:
            return
        timeout = int(setting(channel, bug.variables, "RECORD_INITIAL_TIMEOUT_MS") or 0)
        bug.quiet = 0.0 if any(data) else bug.quiet + FRAME
        if timeout and bug.quiet * 1000 >= timeout:
            self._unbug(channel, bug)
            return
        if is_on("RECORD_WRITE_ONLY") and not is_on("RECORD_READ_ONLY"):
            data = bytes(len(data))
        if bug.masked:
            data = bytes(len(data))
        samples = len(data) // 2
        if channel.codec_channels == 1 and (is_on("RECORD_STEREO") or is_on("RECORD_STEREO_SWAP")):
            data = b"".join(bytes(memoryview(data)[2 * i : 2 * i + 2]) + b"\x10\x00" for i in range(samples))
        elif channel.codec_channels == 2:
            data = two_channels(data)
        bug.written += samples
        if self.full and not self.full_quietly and setting(channel, bug.variables, "RECORD_USE_THREAD") == "false":
            self._unbug(channel, bug)
        elif not self.full and bug.file is not None:
            os.write(bug.file, data)

    async def _send(self, bug: Bug, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError, AttributeError):
            await bug.socket.send_bytes(data)

    def _record(self, channel, words: list[str]) -> str:
        action, path = words[0], words[1]
        known = next((bug for bug in channel.bugs if bug.target == path), None)
        if action == "start":
            return self._record_start(channel, path, words[3], known)
        if action == "stop" and path == "all":
            for bug in [one for one in channel.bugs if one.kind == "session_record"]:
                self._unbug(channel, bug)
            return "+OK Success\n"
        if known is None:
            return f"-ERR Cannot {action} record session!\n"
        if action == "stop":
            self._unbug(channel, known)
        else:
            known.masked = action == "mask"
        return "+OK Success\n"

    def _record_start(self, channel, path: str, told: str, known: Bug | None) -> str:
        variables = dict(pair.split("=") for pair in told.strip("{}").split(","))
        if not self._tappable(channel) or self.refuse_starts:
            return "-ERR Cannot record session!\n"
        if known is not None:
            if true(setting(channel, variables, "RECORD_TOGGLE_ON_REPEAT")):
                self._unbug(channel, known)
            return "+OK Success\n"
        bug = Bug("session_record", path, variables, since=asyncio.get_running_loop().time())
        bug.stalled = self.mute_starts
        flags = 0 if true(setting(channel, variables, "RECORD_APPEND")) else os.O_TRUNC
        try:
            bug.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | flags, 0o660)
        except OSError:
            if true(setting(channel, variables, "RECORD_HANGUP_ON_ERROR")):
                self.hang_up(channel, "DESTINATION_OUT_OF_ORDER")
            return "-ERR Cannot record session!\n"
        channel.bugs.append(bug)
        self.tell("RECORD_START", channel, **{"Record-File-Path": path})
        self.tell("MEDIA_BUG_START", channel, **{"Media-Bug-Function": bug.kind, "Media-Bug-Target": path})
        return "+OK Success\n"

    def _unbug(self, channel, bug: Bug, *, tell: bool = True) -> None:
        channel.bugs.remove(bug) if bug in channel.bugs else None
        if bug.file is not None:
            os.close(bug.file)
            bug.file = None
        if bug.task is not None:
            bug.task.cancel()
            if tell and self.late_goodbye is not None and channel.uuid in self.channels:
                self._spawn(self._goodbye(channel, bug))
        if not tell:
            return
        ending = {"Hangup-Cause": "NORMAL_CLEARING", "Answer-State": "hangup"} if channel.ended else {}
        if bug.kind == "session_record":
            rate = int(bug.variables["record_sample_rate"])
            least = int(setting(channel, bug.variables, "RECORD_MIN_SEC") or 0)
            if bug.written < least * rate:
                Path(bug.target).unlink(missing_ok=True)
            threaded = setting(channel, bug.variables, "RECORD_USE_THREAD") != "false"
            if threaded and channel.ended and asyncio.get_running_loop().time() - bug.since < LAST:
                self.harm.append("a recording with a thread of its own on a call that was short")
            more = {"Record-File-Path": bug.target, "variable_record_samples": str(bug.written * 8000 // rate)}
            self.tell("RECORD_STOP", channel, **more, **ending)
        told = {"Media-Bug-Function": bug.kind, "Media-Bug-Target": bug.target}
        self.tell("MEDIA_BUG_STOP", channel, **told, **ending)

    def _stream(self, channel, word: str, words: list[str]) -> str:
        fork = word == "uuid_audio_fork"
        kind = "audio_fork" if fork else "audio_stream"
        known = next((bug for bug in channel.bugs if bug.kind == kind), None)
        if words[0] == "stop":
            if known is None or (fork and words[1:] != ["vcond"]):
                return "-ERR Operation Failed\n"
            self._unbug(channel, known)
            return "+OK Success\n"
        if fork and len(words) < 6:
            self.harm.append("a short uuid_audio_fork: the switch crashed")
            self.crash()
            return ""
        if not self._tappable(channel) or known is not None or self.refuse_starts:
            return "-ERR Operation Failed\n"
        bug = Bug(kind, "N/A", {"record_sample_rate": {"8k": "8000", "16k": "16000"}[words[3]]})
        bug.stalled = self.mute_starts
        channel.bugs.append(bug)
        bug.task = self._spawn(self._connect(channel, bug, words[1], words[5] if fork else words[4], fork=fork))
        return "+OK Success\n"

    async def _goodbye(self, channel, bug: Bug) -> None:
        await asyncio.sleep(self.late_goodbye)
        self.tell("CUSTOM", channel, **{"Event-Subclass": f"mod_{bug.kind}::disconnect"})

    async def _connect(self, channel, bug: Bug, url: str, metadata: str, *, fork: bool) -> None:
        protocols = ("audio.drachtio.org",) if fork else ()
        await asyncio.sleep(self.slow_connect)
        try:
            async with aiohttp.ClientSession() as client, client.ws_connect(url, protocols=protocols) as socket:
                if self.audio_first:
                    await socket.send_bytes(b"\x01\x00" * 160)
                await socket.send_str(metadata)
                bug.socket = socket
                self.tell("CUSTOM", channel, **{"Event-Subclass": f"mod_{bug.kind}::connect"})
                async for _ in socket:
                    pass
                if bug.socket is socket:
                    bug.socket = None
                self.tell("CUSTOM", channel, **{"Event-Subclass": f"mod_{bug.kind}::disconnect"})
        except aiohttp.ClientError:
            pass
