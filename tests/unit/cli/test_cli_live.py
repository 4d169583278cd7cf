"""What is looked at while it changes, and the one screen of the status."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path

import pytest

from vcond.base.errors import AmbiguousError, ProtocolError, RefusedError, UnreachableError
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.cli import render, status
from vcond.cli.admin_client import NotRunningError, ask
from vcond.cli.live import live_calls, until_interrupted, watch
from vcond.config import DaemonConfig
from vcond.server.admin import AdminServer

CALL = {
    "call": "01a2", "adapter": "asterisk", "answered": "2026-11-22T09:00:01Z", "ended": None, "seconds": 67.25, "paused": False,
    "parties": [{"name": "Rita", "tel": "", "here": True}, {"name": "Mar\x1b[2Jcus", "tel": "201", "here": True}],
}  # fmt: skip
STATUS = {
    "version": "1", "ready": {}, "calls": 2, "finishing": 1, "amending": 0, "unfinished": 0, "listen": "", "ops": "", "metrics": "",
    "adapters": {"asterisk": {"attached": True, "detail": ""}}, "outbox": [],
    "pressure": {"disk": {"gives_up": "nothing", "detail": "900 MB free, 500 wanted", "hint": ""}},
    "speech": {"engine": "vosk", "workers": 2, "load": 0.5, "deferred": 0, "deferred_seconds": 0},
}  # fmt: skip


SHORT = {"disk": {"gives_up": "calls", "detail": "90 MB free, 500 wanted", "hint": "free space in /x"}}


class Feed(LiveFeed):
    """Of a daemon with one call: tells when somebody watches."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    def watch(self, call: str = "", *, over: bool = False):
        if call == "gone":
            raise LookupError("no such call")
        self.asked.set()
        return super().watch(call, over=over)


@pytest.fixture
async def daemon(tmp_path: Path):
    """Its configuration, its feed, and what it answers, by name."""
    answers = {"calls": [CALL], "call": CALL, "status": STATUS, "sinks": []}

    def door(name: str):
        async def answer(query: dict[str, str]):
            if query.get("call") == "several":
                raise AmbiguousError("ambiguous")
            return answers[name]

        return answer

    feed = Feed()
    server = AdminServer(tmp_path / "admin", reads={name: door(name) for name in answers}, writes={}, live=feed)
    await server.start()
    yield DaemonConfig(state_dir=str(tmp_path), admin_socket=str(tmp_path / "admin")), feed, answers
    feed.close()
    await server.close()


async def test_one_call_is_watched_until_its_end_and_no_other_is_shown(daemon):
    config, feed, _ = daemon
    out = io.StringIO()
    watching = asyncio.create_task(asyncio.to_thread(watch, config, "01", out))
    await feed.asked.wait()
    feed.publish(CaptionEvent("other", "final", "not for you", 0, "Eve", 0.0, 1.0))
    feed.publish(CaptionEvent("01a2", "final", "good morning", 0, "Rita", 65.0, 66.0))
    feed.publish(CaptionEvent("01a2", "event", "held", 1, "Marcus", 67.0, 67.0))
    feed.ended("01a2")
    await watching
    first, *lines = out.getvalue().splitlines()
    assert first.startswith("01a2  asterisk   answered 01:07.2  Rita - Mar [2Jcus")
    assert [line.split() for line in lines] == [
        ["1:05", "Rita", "good", "morning"], ["1:07", "Marcus", "(puts", "the", "line", "on", "hold)"],
        ["the", "call", "is", "over:", "vcond", "show", "01a2"],
    ]  # fmt: skip


async def test_as_json_it_is_one_object_a_line(daemon):
    config, feed, _ = daemon
    out = io.StringIO()
    watching = asyncio.create_task(asyncio.to_thread(watch, config, "01a2", out, as_json=True))
    await feed.asked.wait()
    feed.publish(CaptionEvent("01a2", "partial", "good", 0, "Rita", 1.0, 2.0))
    feed.ended("01a2")
    await watching
    assert out.getvalue() == (
        '{"call": "01a2", "kind": "partial", "text": "good", "party": 0, "name": "Rita", "start": 1.0, "stop": 2.0}\n'
    )


async def test_a_call_that_is_not_there_cannot_be_watched(daemon):
    config, _, answers = daemon
    answers["call"] = {**CALL, "call": "gone"}
    with pytest.raises(RefusedError, match="no such call"):
        await asyncio.to_thread(watch, config, "gone", io.StringIO())
    with pytest.raises(AmbiguousError):
        await asyncio.to_thread(watch, config, "several", io.StringIO())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
async def test_the_calls_are_shown_again_and_again_and_names_do_not_steer_the_terminal(daemon, out):
    config, _, answers = daemon
    rounds = [[CALL], [CALL], [], []]

    def wait(_: float) -> None:
        if not rounds:
            raise KeyboardInterrupt
        answers["calls"] = rounds.pop(0)

    await asyncio.to_thread(until_interrupted, lambda: live_calls(config, out, wait))
    shown = out.getvalue()
    assert "Mar [2Jcus" in shown
    assert "no calls" in shown
    assert shown.count("01a2") == (3 if out.isatty() else 1), "elsewhere only what is new"
    assert ("\x1b" in shown) == out.isatty()


async def test_all_is_well_on_one_screen(daemon):
    config, *_ = daemon
    told = await asyncio.to_thread(status.status, config)
    assert told["problems"] == []
    assert list(status.lines(told)) == [
        "vcond 1: 2 calls, 1 being finished",
        "  adapter asterisk     attached",
        "  speech               vosk, 2 workers, load 50 %",
        "  outbox               everything is delivered",
        "  disk                 900 MB free, 500 wanted",
        "all is well",
    ]


async def test_what_is_wrong_has_the_command_that_mends_it(daemon):
    config, _, answers = daemon
    wrong = {
        "adapter asterisk": "401", "sink conserver": "refused:403: x; vCons wait", "disk": "90 MB free, 500 wanted",
        "of a later version": "?",
    }  # fmt: skip
    dead = {"sink": "conserver", "state": "dead", "vcons": 3, "oldest": "2026-11-22T09:00:01Z"}
    answers["status"] = {
        **STATUS,
        "ready": wrong,
        "metrics": "cannot listen",
        "outbox": [dead],
        "pressure": SHORT,
        "unmatched": 2,
    }
    answers["sinks"] = [{"sink": "conserver", "state": "held", "fix": "set sinks.token"}]
    told = await asyncio.to_thread(status.status, config)
    assert {one["what"]: one["fix"] for one in told["problems"]} == {
        "adapter asterisk": "vcond check",
        "sink conserver": "set sinks.token",
        "disk": "free space in /x",
        "of a later version": "vcond check",
        "metrics": "set ops.listen, then systemctl restart vcond",
        "dead letters": "vcond outbox dead, then vcond outbox retry or discard",
        "vCons": "vcond outbox lists them; vcond outbox retry --unmatched --sink NAME, or vcond outbox discard --unmatched",
    }
    lines = list(status.lines(told))
    assert "WRONG   dead letters: 3 refused by conserver: they need your decision" in lines
    assert "WRONG   vCons: 2 that the match of no sink takes: nobody gets them" in lines
    assert "  outbox               3 dead at conserver since 2026-11-22T09:00Z" in lines
    assert "all is well" not in lines


ENTRY = {
    "uuid": "u", "bytes": 9, "published": "2026-11-22T09:00:01Z", "closed": "", "stage": "open", "facts": {"call": "c"}, "sha512": "ab",
    "sinks": [
        {"sink": "a", "state": "dead", "attempts": 2, "reason": "refused:422", "answer": "no\nway", "status": 422, "target": "",
         "configured": True, "last_try": "2026-11-22T09:00:02Z"},
        {"sink": "b", "state": "delivered", "attempts": 1, "reason": "", "answer": "ok", "status": 204, "target": "/srv/u",
         "configured": False, "last_try": ""},
    ],
}  # fmt: skip


def test_a_vcon_of_the_ledger():
    assert list(render.entry(ENTRY)) == [
        "u  9 bytes, of 2026-11-22 09:00:01Z: not delivered everywhere yet",
        "  call: c",
        "  sink a: dead refused:422, tries 2, 2026-11-22 09:00:02Z",
        "    answered: no way",
        "  sink b (no longer configured): delivered /srv/u, tries 1",
        "  sha512 ab",
    ]


def test_what_is_lost_with_a_dead_letter_is_said():
    assert list(render.loss(ENTRY))[1:] == [
        "  refused it, and will never get it: a", "  has it: b; here it is removed, or kept for delivery.keep_days",
    ]  # fmt: skip
    a, b = ENTRY["sinks"]
    assert "NOBODY has it" in list(render.loss({**ENTRY, "sinks": [a]}))[-1]
    assert "still waits for: b" in list(render.loss({**ENTRY, "sinks": [a, {**b, "state": "pending"}]}))[-1]


async def test_what_is_no_daemon_is_said_in_one_line(tmp_path: Path):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(words[0])
        writer.close()

    path = str(tmp_path / "s")
    words = [b""]
    for words[0], error in (
        (b"SSH-2.0\r\n", UnreachableError),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", ProtocolError),
        (b"", UnreachableError),
    ):
        async with await asyncio.start_unix_server(serve, path):
            with pytest.raises(error):
                await asyncio.to_thread(ask, path, "status")
    left = str(tmp_path / "left")
    with socket.socket(socket.AF_UNIX) as dead:  # asyncio of Python 3.13 removes its own
        dead.bind(left)
    with pytest.raises(NotRunningError, match="died or was stopped"):
        ask(left, "status")


async def test_a_socket_that_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vcond.cli.admin_client.TIMEOUT", 0.05)
    path, over = str(tmp_path / "s"), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_unix_server(hang, path):
        with pytest.raises(UnreachableError, match="did not answer"):
            await asyncio.to_thread(ask, path, "status")
        over.set()
