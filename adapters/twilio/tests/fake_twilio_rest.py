"""The part of Twilio's REST API that vcond asks, on loopback. test_twilio_rest.py holds it to what Twilio's own library says and reads."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import deque
from typing import Any, Self

from aiohttp import web

from vcond.testing.waiters import Waiters

ACCOUNT, TOKEN = "AC" + "3" * 32, "12345678901234567890123456789012"
NOW = "Sun, 29 Nov 2026 12:00:00 +0000"


class FakeTwilioRest(Waiters):
    """``calls``: what it knows, by name. ``asked``: what it was asked, without its answers. ``trouble``: answers instead of the right one."""

    def __init__(self, calls: dict[str, dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.calls = {} if calls is None else calls
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.trouble: deque[tuple[int, dict[str, str], Any]] = deque()
        self.streams: dict[str, dict[str, Any]] = {}
        self.under_way = self.most = 0
        """How many requests it has now, and had at most."""
        self.answers = asyncio.Event()
        """Cleared, it lets everybody wait."""
        self.answers.set()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def of(self, method: str) -> list[tuple[str, dict[str, str]]]:
        """What it was asked with a method: path below the account, form."""
        return [(path, form) for asked, path, form in self.asked if asked == method]

    def summary(self) -> str:
        """For messages of failed tests."""
        return f"asked {self.asked}"

    async def _answer(self, request: web.Request) -> web.Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.changed()
        try:
            answer = await self._make(request)
            await self.answers.wait()
        finally:
            self.under_way -= 1
            self.changed()
        return answer

    async def _make(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        path = request.rel_url.raw_path.removeprefix(f"/2010-04-01/Accounts/{ACCOUNT}")
        self.asked.append((request.method, path, form))
        if self.trouble:
            status, headers, body = self.trouble.popleft()
            if isinstance(body, bytes):
                return web.Response(status=status, headers=headers, body=body)
            return web.json_response(body, status=status, headers=headers)
        login = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            return _error(401, 20003, "Authenticate")
        if path == ".json" and request.method == "GET":
            return web.json_response({"sid": ACCOUNT, "friendly_name": "vcond", "status": "active", "type": "Full"})
        found = re.fullmatch(r"/Calls/(\w+)(?:/Streams(?:/(\w+))?)?\.json", path)
        call = self.calls.get(found[1]) if found else None
        if found is None or call is None:
            return _error(404, 20404, f"The requested resource {request.path} was not found")
        if request.method == "GET":
            return web.json_response({"sid": found[1], "account_sid": ACCOUNT, **call})
        return self._stream(found[1], found[2], call, form)

    def _stream(self, sid: str, name: str | None, call: dict[str, Any], form: dict[str, str]) -> web.Response:
        if name is not None:
            stream = self.streams.get(name)
            if stream is None or stream["status"] == "stopped" or form != {"Status": "stopped"}:
                return _error(404, 20404, "The requested resource was not found")
            stream["status"] = "stopped"
            return web.json_response(stream)
        if call["status"] != "in-progress" or not form.get("Url", "").startswith("wss://"):
            return _error(400, 21220, "Call is not in-progress. Cannot redirect.")
        made = f"MZ{len(self.streams) + 1:032x}"
        self.streams[made] = {
            "sid": made, "account_sid": ACCOUNT, "call_sid": sid, "name": form.get("Name"), "status": "in-progress",
            "date_updated": NOW, "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}/Streams/{made}.json",
        }  # fmt: skip
        return web.json_response(self.streams[made], status=201)


def _error(status: int, code: int, text: str) -> web.Response:
    told = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return web.json_response(told, status=status)


def known(status: str = "completed", **more: Any) -> dict[str, Any]:
    """A call as the API tells of it."""
    told = {
        "from": "+15550100", "to": "+15550199", "direction": "inbound", "answered_by": None, "caller_name": None,
        "duration": "42" if status == "completed" else None, "status": status, "parent_call_sid": None,
        "start_time": NOW, "end_time": NOW if status == "completed" else None, "price": None, "api_version": "2010-04-01",
    }  # fmt: skip
    return told | more
