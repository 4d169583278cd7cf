"""A FreeSWITCH for what recordings cannot show: channels, taps, files, refusals, delays, crashes.

It does what the report in the kit says of 1.10.12, and notes whatever would have harmed the real one in ``harm``:
a tap before the answer, a short ``uuid_audio_fork``, something that may block run in the connection's thread.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from pathlib import Path
from urllib.parse import quote

import aiohttp
from fakeparts import Bug, Channel, Session

FRAME = 0.02
EPOCH_US = 1_790_000_000_000_000
"""The switch's wall clock when its loop stands at 0: not ours."""
INSTANT = ("uuid_dump", "uuid_exists", "uuid_buglist", "show", "version", "global_getvar", "module_exists", "status")
"""Api commands that never block."""


class FakeSwitch:
    def __init__(self, directory: Path, *, password: str = "secret") -> None:
        self.directory = directory
        self.password = password
        self.users: dict[str, dict] = {}
        """``vcond@x`` -> {password, events, api}."""
        self.core = "core-1"
        self.chunk = 0
        """Bytes of one write; 0 = all at once."""
        self.port = 0
        self.channels: dict[str, Channel] = {}
        self.sessions: list[Session] = []
        self.commands: list[str] = []
        self.harm: list[str] = []
        self.modules = {"mod_sndfile", "mod_audio_stream", "mod_audio_fork"}
        self.greeting = "auth/request"
        self.deaf_taps = False
        """Taps say +OK and never deliver."""
        self.full = False
        """The file system of the taps is full."""
        self.hang_starts = False
        """A start never comes back, as on a FIFO that nobody reads."""
        self.mute = False
        """Commands are read and not answered."""
        self.table_lag = 0.2
        self._numbers = itertools.count(1)
        self._server = None
        self._tasks: set[asyncio.Task] = set()

    # Running.

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        if not self._tasks:
            self._spawn(self._pump())

    async def refuse(self) -> None:
        """The event socket is gone; calls go on."""
        if self._server is not None:
            self._server.close()
            self.drop()
            self._server = None
            await asyncio.sleep(0)

    def drop(self) -> None:
        for session in self.sessions:
            session.writer.transport.abort()
        self.sessions.clear()

    async def stop(self) -> None:
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for channel in self.channels.values():
            for bug in channel.bugs:
                self._unbug(channel, bug, tell=False)

    def crash(self) -> None:
        """Everything is gone, without a word."""
        for channel in self.channels.values():
            for bug in channel.bugs:
                self._unbug(channel, bug, tell=False)
        self.channels.clear()
        self.core = f"core-{next(self._numbers)}"
        self.drop()

    def _spawn(self, coroutine) -> asyncio.Task:
        task = asyncio.create_task(coroutine, name="fake-switch")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Calls.

    def stamp(self) -> int:
        return EPOCH_US + round(asyncio.get_running_loop().time() * 1e6)

    def create(self, *, number="1001", label="Ann Example", destination="1002", other="", inbound=True) -> Channel:
        uuid = f"{next(self._numbers):08d}-aaaa-bbbb-cccc-000000000000"
        direction = "inbound" if inbound else "outbound"
        name = f"sofia/internal/{number if inbound else destination}@pbx.example.com"
        channel = Channel(uuid, direction, name, number, label, destination, self.stamp(), other)
        channel.listed = asyncio.get_running_loop().time() + self.table_lag
        self.channels[uuid] = channel
        self.tell("CHANNEL_CREATE", channel)
        return channel

    def answer(self, channel: Channel) -> None:
        channel.answered, channel.state = self.stamp(), "ACTIVE"
        self.tell("CHANNEL_ANSWER", channel)

    def bridge(self, one: Channel, two: Channel) -> None:
        one.other, two.other = two.uuid, one.uuid
        self.tell("CHANNEL_BRIDGE", one, **{"Bridge-A-Unique-ID": one.uuid, "Bridge-B-Unique-ID": two.uuid})

    def call(self, *, answered: bool = True, **who) -> tuple[Channel, Channel]:
        one = self.create(**who)
        two = self.create(inbound=False, other=one.uuid, **who)
        if answered:
            self.answer(two)
            self.answer(one)
            self.bridge(one, two)
        return one, two

    def hold(self, channel: Channel, *, on: bool) -> None:
        if on:
            channel.holds.append([self.stamp(), 0])
        else:
            channel.holds[-1][1] = self.stamp()
        channel.holding, channel.state = on, "HELD" if on else "ACTIVE"
        self.tell("CHANNEL_HOLD" if on else "CHANNEL_UNHOLD", channel)

    def press(self, channel: Channel, digit: str) -> None:
        self.tell("DTMF", channel, **{"DTMF-Digit": digit, "DTMF-Duration": "960"})

    def hang_up(self, channel: Channel, cause: str = "NORMAL_CLEARING", **more: str) -> None:
        for bug in list(channel.bugs):
            self._unbug(channel, bug)
        channel.state = "HANGUP"
        if channel.holds:
            held = ",".join(f"{{{start},{stop}}}" for start, stop in channel.holds)
            more["variable_hold_events"] = f"{{{held}}}"
        q850 = {"NORMAL_CLEARING": "16", "NO_ANSWER": "19"}.get(cause, "16")
        self.tell(
            "CHANNEL_HANGUP_COMPLETE", channel, **{"Hangup-Cause": cause, "variable_hangup_cause_q850": q850, **more}
        )
        self.channels.pop(channel.uuid, None)

    def end(self, one: Channel, two: Channel) -> None:
        """The caller hangs up."""
        answered = bool(one.answered)
        if answered:
            self.hang_up(two, variable_sip_hangup_disposition="send_bye")
            self.hang_up(one, variable_sip_hangup_disposition="recv_bye")
        else:
            self.hang_up(two, "NO_ANSWER", variable_sip_hangup_disposition="send_cancel")
            self.hang_up(one, variable_DIALSTATUS="NOANSWER", variable_sip_hangup_disposition="send_refuse")

    def headers(self, name: str, channel: Channel | None = None) -> dict[str, str]:
        told = {"Event-Name": name, "Core-UUID": self.core, "Event-Date-Timestamp": str(self.stamp())}
        if channel is None:
            return told
        told |= {
            "Unique-ID": channel.uuid, "Call-Direction": channel.direction, "Channel-Name": channel.name,
            "Channel-Call-State": channel.state, "Caller-Context": "default",
            "Caller-Caller-ID-Name": channel.label, "Caller-Caller-ID-Number": channel.number,
            "Caller-Callee-ID-Number": channel.destination, "Caller-Destination-Number": channel.destination,
            "Caller-Channel-Created-Time": str(channel.created), "Caller-Channel-Answered-Time": str(channel.answered),
            "Channel-Read-Codec-Rate": "8000", "variable_current_application": channel.app,
            "variable_switch_r_sdp": "v=0\r\no=- secret 1 IN IP4 192.0.2.1\r\n",
            "variable_DP_MATCH": "1002",
        }  # fmt: skip
        if channel.other:
            told["Other-Leg-Unique-ID"] = channel.other
        if channel.bypass:
            told["variable_bypass_media"] = "true"
        return told

    def tell(self, name: str, channel: Channel | None = None, **more: str) -> None:
        headers = self.headers(name, channel) | more
        for session in list(self.sessions):
            session.event(headers)

    def send(self, data: bytes) -> None:
        """Any bytes, to everybody who listens."""
        for session in list(self.sessions):
            session.write(data)

    # Audio.

    async def speak(self, *parts: tuple[Channel, bytes]) -> None:
        """Channels say 16-bit samples at the rate of their tap; returns when all was said."""
        ends = []
        for channel, pcm in parts:
            done = asyncio.get_running_loop().create_future()
            channel.says.append([pcm, 0, done])
            ends.append(done)
        await asyncio.gather(*ends)

    async def _pump(self) -> None:
        while True:
            busy = any(channel.bugs or channel.says for channel in self.channels.values())
            await asyncio.sleep(FRAME if busy else 5 * FRAME)
            for channel in list(self.channels.values()):
                self._frame(channel)

    def _frame(self, channel: Channel) -> None:
        rate = next((int(bug.variables.get("record_sample_rate", 8000)) for bug in channel.bugs), 8000)
        size = int(rate * FRAME) * 2
        frame = b"\x00" * size
        if channel.says and not channel.holding:
            said = channel.says[0]
            frame = said[0][said[1] : said[1] + size].ljust(size, b"\x00")
            said[1] += size
            if said[1] >= len(said[0]):
                channel.says.popleft()
                if not said[2].done():
                    said[2].set_result(None)
        if channel.holding or channel.bypass or self.deaf_taps:
            return
        for bug in channel.bugs:
            data = b"\x00" * size if bug.masked else frame
            if bug.variables.get("RECORD_STEREO") == "true":
                pairs = memoryview(data).cast("H")
                data = b"".join(bytes(memoryview(data)[2 * i : 2 * i + 2]) + b"\x10\x00" for i in range(len(pairs)))
            if bug.kind == "session_record" and not self.full:
                if bug.file is not None:
                    os.write(bug.file, data)
                bug.written += size // 2
            elif bug.kind == "session_record":
                bug.written += size // 2
            elif bug.socket is not None:
                self._spawn(bug.socket.send_bytes(data))

    # The event socket.

    async def _serve(self, reader, writer) -> None:
        session = Session(self, writer)
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            if self.greeting == "text/rude-rejection":
                session.write("Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")
                return
            if self.greeting:
                session.write(f"Content-Type: {self.greeting}\n\n")
            while True:
                block = (await reader.readuntil(b"\n\n")).decode().strip("\n")
                if self.mute:
                    continue
                if not self._command(session, block):
                    return
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            if session in self.sessions:
                self.sessions.remove(session)
            writer.close()

    def _command(self, session: Session, block: str) -> bool:
        line, *headers = block.split("\n")
        self.commands.append(line)
        if any(not header.startswith("Job-UUID: ") for header in headers):
            self.harm.append(f"a command of several lines: {block!r}")
        word, _, rest = line.partition(" ")
        if word == "auth":
            return self._auth(session, rest == self.password, {})
        if word == "userauth":
            name, _, password = rest.rpartition(":")
            user = self.users.get(name, {})
            session.user = user
            return self._auth(session, bool(user) and user["password"] == password, user)
        if not session.ready:
            session.reply("-ERR command not found")
        elif word == "event":
            self._subscribe(session, rest)
        elif word == "api":
            self._api(session, rest)
        elif word == "bgapi":
            job = headers[0].removeprefix("Job-UUID: ")
            session.reply(f"+OK Job-UUID: {job}", Job_UUID=job)
            self._spawn(self._job(session, rest, job))
        else:
            session.reply("-ERR command not found")
        return True

    def _auth(self, session: Session, ok: bool, user: dict) -> bool:
        if not ok:
            session.reply("-ERR invalid")
            session.write("Content-Type: text/disconnect-notice\nContent-Length: 9\n\nGoodbye.\n")
            return False
        session.ready = True
        self.sessions.append(session)
        if user:
            session.reply("+OK accepted", Allowed_Events=user["events"], Allowed_API=user["api"], Allowed_LOG="true")
        else:
            session.reply("+OK accepted")
        return True

    def _subscribe(self, session: Session, rest: str) -> None:
        form, *names = rest.split(" ")
        if session.user and not set(names) - {"CUSTOM"} <= set(session.user["events"].split()):
            session.reply("-ERR permission denied")
            return
        session.form = form
        session.names |= set(names)
        session.reply(f"+OK event listener enabled {form}")

    def _api(self, session: Session, line: str) -> None:
        if session.user and line.partition(" ")[0] not in session.user["api"].split():
            session.reply("-ERR permission denied")
            return
        if line.partition(" ")[0] not in INSTANT:
            self.harm.append(f"in the thread of the connection: {line}")
        session.response(self._run(line) or "-ERR no reply\n")

    async def _job(self, session: Session, line: str, job: str) -> None:
        if self.hang_starts and " start " in line:
            await asyncio.Event().wait()
        await asyncio.sleep(0.005)
        denied = session.user and line.partition(" ")[0] not in session.user["api"].split()
        answer = "-ERR permission denied\n" if denied else self._run(line)
        session.event(self.headers("BACKGROUND_JOB") | {"Job-UUID": job, "_body": answer})

    def _run(self, line: str) -> str:
        word, *words = line.split(" ")
        channel = self.channels.get(words[0]) if words else None
        if word == "global_getvar":
            return self.core
        if word == "version":
            return "FreeSWITCH Version 1.10.12-release\n"
        if word == "module_exists":
            return "true" if words[0] in self.modules else "false"
        if word == "show":
            now = asyncio.get_running_loop().time()
            rows = [
                {"uuid": one.uuid, "direction": one.direction} for one in self.channels.values() if one.listed <= now
            ]
            return json.dumps({"row_count": len(rows), **({"rows": rows} if rows else {})})
        if channel is None:
            return "-ERR No such channel!\n"
        if word == "uuid_dump":
            return "".join(
                f"{name}: {quote(value, safe='')}\n" for name, value in self.headers("CHANNEL_DATA", channel).items()
            )
        if word == "uuid_buglist":
            bugs = "".join(
                f" <media-bug>\n  <function>{b.kind}</function>\n  <target>{b.target}</target>\n </media-bug>\n"
                for b in channel.bugs
            )
            return f"<media-bugs>\n{bugs}</media-bugs>\n"
        if word == "uuid_media":
            channel.bypass = False
            return "+OK Success\n"
        if word == "uuid_record":
            return self._record(channel, words[1:])
        if word in {"uuid_audio_stream", "uuid_audio_fork"}:
            return self._stream(channel, word, words[1:])
        return f"-ERR {word} Command not found!\n"

    def _tappable(self, channel: Channel) -> bool:
        if channel.answered:
            return True
        self.harm.append("a tap on a leg that was not answered: INCOMPATIBLE_DESTINATION for both")
        return False

    def _record(self, channel: Channel, words: list[str]) -> str:
        action, path = words[0], words[1]
        known = next((bug for bug in channel.bugs if bug.target == path), None)
        if action == "start":
            if not self._tappable(channel):
                return "-ERR Cannot record session!\n"
            if known is not None:
                return "+OK Success\n"
            variables = dict(pair.split("=") for pair in words[3].strip("{}").split(","))
            bug = Bug("session_record", path, variables)
            try:
                if not self.full:
                    bug.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o660)
            except OSError:
                return "-ERR Cannot record session!\n"
            channel.bugs.append(bug)
            self.tell("RECORD_START", channel, **{"Record-File-Path": path})
            self.tell("MEDIA_BUG_START", channel, **{"Media-Bug-Function": bug.kind, "Media-Bug-Target": path})
            return "+OK Success\n"
        if known is None:
            return "-ERR Cannot stop record session!\n"
        if action == "stop":
            self._unbug(channel, known)
        else:
            known.masked = action == "mask"
        return "+OK Success\n"

    def _unbug(self, channel: Channel, bug: Bug, *, tell: bool = True) -> None:
        channel.bugs.remove(bug) if bug in channel.bugs else None
        if bug.file is not None:
            os.close(bug.file)
            bug.file = None
        if bug.task is not None:
            bug.task.cancel()
        if not tell:
            return
        if bug.kind == "session_record":
            rate = int(bug.variables["record_sample_rate"])
            more = {"Record-File-Path": bug.target, "variable_record_samples": str(bug.written * 8000 // rate)}
            self.tell("RECORD_STOP", channel, **more)
        self.tell("MEDIA_BUG_STOP", channel, **{"Media-Bug-Function": bug.kind, "Media-Bug-Target": bug.target})

    def _stream(self, channel: Channel, word: str, words: list[str]) -> str:
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
        if not self._tappable(channel) or known is not None:
            return "-ERR Operation Failed\n"
        bug = Bug(kind, "N/A", {"record_sample_rate": {"8k": "8000", "16k": "16000"}[words[3]]})
        channel.bugs.append(bug)
        bug.task = self._spawn(self._connect(bug, words[1], words[5] if fork else words[4], fork=fork))
        return "+OK Success\n"

    async def _connect(self, bug: Bug, url: str, metadata: str, *, fork: bool) -> None:
        protocols = ("audio.drachtio.org",) if fork else ()
        try:
            async with aiohttp.ClientSession() as client, client.ws_connect(url, protocols=protocols) as socket:
                await socket.send_str(metadata)
                bug.socket = socket
                async for _ in socket:
                    pass
        except aiohttp.ClientError:
            pass
        finally:
            bug.socket = None
