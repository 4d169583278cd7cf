"""A small client of WebDriver (W3C recommendation) for Debian's ChromeDriver, and browsers with a WAV as microphone."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from chromium_kit import CHROMIUM, FLAGS

DRIVER = Path("/usr/bin/chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The web element identifier (section 12)."""
TAB, ENTER, SPACE = "\ue004", "\ue007", " "
LIMIT = 120.0
SECOND = 1000


class Browser:
    """One browser with one page."""

    def __init__(self, http: aiohttp.ClientSession, path: str) -> None:
        self.http = http
        self.path = path

    async def ask(self, method: str, what: str, body: dict | None = None) -> Any:
        async with self.http.request(method, f"{self.path}/{what}", json=body) as answer:
            told = (await answer.json())["value"]
            assert answer.status == 200, told
        return told

    async def open(self, url: str) -> None:
        await self.ask("POST", "url", {"url": url})

    async def element(self, name: str) -> str:
        found = await self.ask("POST", "element", {"using": "css selector", "value": f"#{name}"})
        return found[ELEMENT]

    async def click(self, name: str) -> None:
        await self.ask("POST", f"element/{await self.element(name)}/click", {})

    async def text(self, name: str) -> str:
        """What is rendered of an element."""
        return await self.ask("GET", f"element/{await self.element(name)}/text")

    async def role_and_label(self, name: str) -> tuple[str, str]:
        """As assistive technology is told (section 12.4.9 and 12.4.10)."""
        element = await self.element(name)
        role = await self.ask("GET", f"element/{element}/computedrole")
        return role, await self.ask("GET", f"element/{element}/computedlabel")

    async def keys(self, *keys: str) -> None:
        """Press and release keys, one after another."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.ask("POST", "actions", {"actions": [{"type": "key", "id": "keyboard", "actions": steps}]})

    async def focused(self) -> str:
        return await self.run("return document.activeElement.id")

    async def run(self, script: str, *args: Any) -> Any:
        return await self.ask("POST", "execute/sync", {"script": script, "args": list(args)})

    async def run_cdp(self, command: str, **given: Any) -> Any:
        """What WebDriver has no word for, by the DevTools protocol."""
        return await self.ask("POST", "goog/cdp/execute", {"cmd": command, "params": given})

    async def size(self, size: tuple[int, int]) -> None:
        """So many pixels wide and high."""
        given = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        await self.run_cdp("Emulation.setDeviceMetricsOverride", **given)

    async def wait(self, script: str, *args: Any) -> Any:
        """Run a script that calls its last argument when it is done."""
        return await self.ask("POST", "execute/async", {"script": script, "args": list(args)})

    async def traced(self) -> list[dict[str, Any]]:
        """What the trace has since it was last read (Trace Event Format)."""
        said = [
            json.loads(line["message"])["message"] for line in await self.ask("POST", "se/log", {"type": "performance"})
        ]
        return [one["params"] for one in said if one["method"] == "Tracing.dataCollected"]

    async def until(self, condition: str) -> None:
        """Wait in the page until a condition holds; then say what the page says instead."""
        script = f"""const done = arguments[0], end = Date.now() + {round(LIMIT * SECOND)};
            const look = () => ({condition}) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 30);
            look();"""
        if not await self.wait(script):
            raise AssertionError(f"never true in the page: {condition}; it says {await self.run(PAGE_TEXT)}")

    async def says(self, name: str, text: str) -> None:
        """Wait until an element says something."""
        await self.until(f"document.getElementById('{name}').textContent.includes({text!r})")

    async def picture(self, file: Path) -> np.ndarray:
        """A screenshot, kept in a file; its pixels, shape (height, width, 3)."""
        png = base64.b64decode(await self.ask("GET", "screenshot"))
        await asyncio.to_thread(file.write_bytes, png)
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        with av.open(io.BytesIO(png)) as container:
            return next(container.decode(video=0)).to_ndarray(format="rgb24")


PAGE_TEXT = "return document.body.innerText"


@asynccontextmanager
async def driver() -> AsyncIterator[str]:
    """ChromeDriver on a free port; its URL."""
    process = await asyncio.create_subprocess_exec(
        str(DRIVER), "--port=0",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    drain = None
    try:
        yield f"http://127.0.0.1:{await _port(process)}"
        assert process.stdout is not None
        drain = asyncio.create_task(process.stdout.read())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if drain is not None:
            await drain


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        async for line in process.stdout:
            if b"started successfully on port" in line:
                return int(line.strip(b".\n").split()[-1])
    raise AssertionError("ChromeDriver did not start")


@asynccontextmanager
async def browser(url: str, wav: Path, trace: str = "") -> AsyncIterator[Browser]:
    """A fresh browser that speaks a WAV, over and over. ``trace``: categories of its trace, which ``traced`` reads."""
    with tempfile.TemporaryDirectory(prefix="vcond-chromium-", ignore_cleanup_errors=True) as home:
        flags = [flag for flag in FLAGS if "remote-debugging" not in flag]
        flags += [
            f"--user-data-dir={home}",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={wav}",
        ]
        options: dict[str, Any] = {"binary": str(CHROMIUM), "args": flags}
        match: dict[str, Any] = {"browserName": "chrome", "goog:chromeOptions": options}
        if trace:
            options["perfLoggingPrefs"] = {"traceCategories": trace}
            match["goog:loggingPrefs"] = {"performance": "ALL"}
        wanted = {"capabilities": {"alwaysMatch": match}}
        timeout = aiohttp.ClientTimeout(total=2 * LIMIT)
        async with aiohttp.ClientSession(url, timeout=timeout) as http:
            async with http.post("/session", json=wanted) as answer:
                made = (await answer.json())["value"]
                assert answer.status == 200, made
            page = Browser(http, f"/session/{made['sessionId']}")
            try:
                await page.ask("POST", "timeouts", {"script": round(1.5 * LIMIT * SECOND)})
                yield page
            finally:
                async with http.delete(page.path):
                    pass
