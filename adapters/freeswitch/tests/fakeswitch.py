"""A FreeSWITCH for what recordings cannot show: channels, taps, files, refusals, delays, crashes.

It does what the report in the kit says of 1.10.12, and notes whatever would have harmed the real one in ``harm``:
a tap before the answer, a short ``uuid_audio_fork``, something that may block run in the connection's thread.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
from fakeparts import Channel, Session
from faketaps import FRAME, FakeTaps

EPOCH_US = 1_790_000_000_000_000
"""The switch's wall clock when its loop stands at 0: not ours."""
INSTANT = ("uuid_dump", "uuid_exists", "uuid_buglist", "show", "version", "global_getvar", "module_exists", "status")
"""Api commands that never block."""


class FakeSwitch(FakeTaps):
    def __init__(self, directory: Path, *, password: str = "secret") -> None:
        self.directory = directory
        self.password = password
        self.users: dict[str, dict] = {}
        """``vcond@x`` -> {password, events, api}."""
        self.core = "core-1"
        self.chunk = 0
        """Bytes of one write; 0 = all at once."""
        self.clock_off = 0.0
        """Seconds by which its clock is wrong."""
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
        self.full_quietly = False
        """And nobody notices."""
        self.refuse_starts = False
        """No tap may be started."""
        self.mute_starts = False
        """Taps that start now deliver nothing."""
        self.audio_first = False
        """Streams send audio before they say whose it is."""
        self.late_goodbye: float | None = None
        """Seconds after which a module says that a connection is over which it was told to end; None = never."""
        self.slow_connect = 0.0
        """Seconds until a module is connected."""
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
        return EPOCH_US + round((asyncio.get_running_loop().time() + self.clock_off) * 1e6)

    def create(
        self,
        *,
        number="1001",
        label="Ann Example",
        destination="1002",
        other="",
        inbound=True,
        uuid="",
        name="",
        loopback="",
    ) -> Channel:
        uuid = uuid or f"{next(self._numbers):08d}-aaaa-bbbb-cccc-000000000000"
        direction = "inbound" if inbound else "outbound"
        name = name or f"sofia/internal/{number if inbound else destination}@pbx.example.com"
        channel = Channel(uuid, direction, name, number, label, destination, self.stamp(), other, loopback=loopback)
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
        self.tell("CALL_UPDATE", two)
        self.tell("CALL_UPDATE", one)

    def unbridge(self, one: Channel, two: Channel) -> None:
        self.tell("CHANNEL_UNBRIDGE", one, **{"Bridge-A-Unique-ID": one.uuid, "Bridge-B-Unique-ID": two.uuid})
        one.other = two.other = ""

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
        channel.holding, channel.state = on, "HELD" if on else "UNHELD"
        self.tell("CHANNEL_HOLD" if on else "CHANNEL_UNHOLD", channel)
        channel.state = channel.state.replace("UNHELD", "ACTIVE")

    def press(self, channel: Channel, digit: str) -> None:
        self.tell("DTMF", channel, **{"DTMF-Digit": digit, "DTMF-Duration": "960"})

    def hang_up(self, channel: Channel, cause: str = "NORMAL_CLEARING", **more: str) -> None:
        channel.ended = True
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
            sides = {"Bridge-A-Unique-ID": one.uuid, "Bridge-B-Unique-ID": two.uuid}
            self.tell("CHANNEL_UNBRIDGE", one, **sides, **{"Hangup-Cause": "NORMAL_CLEARING"})
            self.hang_up(one, variable_sip_hangup_disposition="recv_bye")
        else:
            self.hang_up(one, variable_DIALSTATUS="NOANSWER", variable_sip_hangup_disposition="send_refuse")
            self.hang_up(two, "NO_ANSWER", variable_sip_hangup_disposition="send_cancel")

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
            "variable_DP_MATCH": "1002", "variable_rtp_use_codec_channels": str(channel.codec_channels),
        }  # fmt: skip
        if channel.other:
            told["Other-Leg-Unique-ID"] = channel.other
        if channel.loopback:
            told["variable_other_loopback_leg_uuid"] = channel.loopback
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
        for bug in list(channel.bugs):
            self.frame(bug, channel, frame)

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
        session.response(self.run(line) or "-ERR no reply\n")

    async def _job(self, session: Session, line: str, job: str) -> None:
        if self.hang_starts and " start " in line:
            await asyncio.Event().wait()
        await asyncio.sleep(0.005)
        denied = session.user and line.partition(" ")[0] not in session.user["api"].split()
        answer = "-ERR permission denied\n" if denied else self.run(line)
        session.event(self.headers("BACKGROUND_JOB") | {"Job-UUID": job, "_body": answer})

    def _originate(self, words: list[str]) -> str:
        """A pair of loopback channels with an inline dialplan that answers, and a tone: events as ``data/loopback`` has them."""
        found = re.fullmatch(r"\{origination_uuid=([0-9a-f-]+)\}loopback/m:~:answer~echo/default/inline", words[0])
        tone = re.fullmatch(r"&playback\(tone_stream://%\((\d+),0,(\d+)\)\)", words[1])
        if found is None or tone is None or len(words) != 2:
            return "-ERR SUBSCRIBER_ABSENT\n"
        name = "loopback/m:~:answer~echo"
        one = self.create(inbound=False, uuid=found[1], name=f"{name}-a")
        two = self.create(loopback=one.uuid, name=f"{name}-b")
        one.loopback, one.app, two.app = two.uuid, "playback", "echo"
        pair, seconds = [one, two], int(tone[1]) / 1000
        for channel in pair:
            self.answer(channel)
            said = (np.sin(2 * np.pi * int(tone[2]) * np.arange(round(16000 * seconds)) / 16000) * 8000).astype("<i2")
            channel.says.append([said.tobytes(), 0, asyncio.get_running_loop().create_future()])
        self._spawn(self._ends(pair, seconds))
        return f"+OK {found[1]}\n"

    async def _ends(self, pair: list[Channel], seconds: float) -> None:
        await asyncio.sleep(seconds)
        for channel in pair:
            self.hang_up(channel)

    def run(self, line: str) -> str:
        """An api command, of whoever; afterwards it is told, whatever came of it (``switch_api_execute``, read, not recorded)."""
        answer = self._run(line)
        word, _, rest = line.partition(" ")
        self.tell("API", **{"API-Command": word, **({"API-Command-Argument": rest} if rest else {})})
        return answer

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
        if word == "originate":
            return self._originate(words)
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
