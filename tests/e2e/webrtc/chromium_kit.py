"""Debian's Chromium, headless, with a WAV as its microphone, driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

# Debian's wrapper in /usr/bin looks at /proc/cpuinfo and more; the program itself does not.
CHROMIUM = Path("/usr/lib/chromium/chromium")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-features=OptimizationHints,MediaRouter", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
LIMIT = 240.0


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, process: asyncio.subprocess.Process) -> None:
        self.socket = socket
        self.process = process
        self.numbers = itertools.count(1)

    async def send(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(LIMIT):
            while (answer := await self.socket.receive_json()).get("id") != number:
                pass
        assert "error" not in answer, answer
        return answer["result"]

    async def run(self, script: str) -> Any:
        found = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait in the page until a condition holds; then say what the page says instead."""
        script = f"""new Promise((done) => {{
            const end = Date.now() + {LIMIT / 2 * 1000};
            const look = () => ({condition}) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 30);
            look(); }})"""
        if not await self.run(script):
            raise AssertionError(f"never true in the page: {condition}; it says {await self.text()}")

    async def text(self) -> str:
        return await self.run("document.body ? document.body.innerText : ''")

    async def open(self, url: str) -> None:
        await self.send("Page.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def key(self, key: str, code: str = "", text: str = "") -> None:
        """Press a key as a person does."""
        about = {"key": key, "code": code or key, "windowsVirtualKeyCode": {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    async def focused(self) -> str:
        return await self.run("document.activeElement.id")

    async def picture(self, file: Path) -> None:
        taken = base64.b64decode((await self.send("Page.captureScreenshot"))["data"])
        await asyncio.to_thread(file.write_bytes, taken)

    def kill(self) -> None:
        """The browser and all its processes are gone at once."""
        os.killpg(self.process.pid, signal.SIGKILL)


@asynccontextmanager
async def browser(wav: Path | None, *, allowed: bool = True, flags: Sequence[str] = ()) -> AsyncIterator[Page]:
    """A fresh Chromium with one tab. ``allowed`` = the microphone is granted without a question, else denied.

    ``flags`` count more than those of the house.
    """
    with tempfile.TemporaryDirectory(prefix="vcond-chromium-", ignore_cleanup_errors=True) as home:
        flags = [*FLAGS, *flags, f"--user-data-dir={home}/profile"]
        flags.append("--use-fake-ui-for-media-stream" if allowed else "--deny-permission-prompts")
        if wav is not None:
            flags.append(f"--use-file-for-fake-audio-capture={wav}")
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM), *flags, "about:blank", env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            start_new_session=True, limit=1 << 20,
        )  # fmt: skip
        drain = None
        try:
            port = await _port(process)
            drain = asyncio.create_task(process.stderr.read())
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = json.loads(await answer.text())
                url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                async with http.ws_connect(url, max_msg_size=0) as socket:
                    yield Page(socket, process)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            if drain is not None:
                await drain


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(LIMIT):
        async for line in process.stderr:
            if b"DevTools listening on ws://" in line:
                return int(line.split(b":")[2].split(b"/")[0])
    raise AssertionError("Chromium did not start")
