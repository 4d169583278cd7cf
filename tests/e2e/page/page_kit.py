"""The page of a daemon in a real Chromium, logged in, which must have said nothing wrong at the end."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from api_kit import daemon
from driver_kit import browser, driver

from vcond.call import events as ev
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import ArrivalClock

HOSTILE = "<img src=x onerror=alert(1)><script>window.bad=1</script>\"'&{{7*7}}\u202e"
ANN, BEN = ev.PartyInfo(name="Ann", tel="+15551230001"), ev.PartyInfo(sip="1001@pbx.example.com")
RATE = 8000
WIDE, NARROW = (1200, 800), (360, 740)
PICTURES = os.environ.get("VCOND_PICTURES", "")
"""A folder in which screenshots are kept."""


@asynccontextmanager
async def opened(tmp_path: Path, roles: str = "watch,read,operate", api: str = 'listen = "127.0.0.1:0"'):
    """A daemon, and a browser that its link has logged in."""
    async with daemon(tmp_path, api) as one:
        link = (await one.parts.api.writes["page-link"]({"roles": roles}))["url"]
        async with logged_in(link) as page:
            yield one, page


@asynccontextmanager
async def logged_in(link: str):
    """A browser that a link has logged in."""
    async with driver() as url, browser(url, Path("/dev/null")) as page:
        await page.run_cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        await page.size(WIDE)
        await page.open(link)
        await page.until("document.querySelector('h1') && document.querySelector('nav a')")
        yield page
        assert await page.run("return window.violations") == []
        assert await page.run("return window.bad === undefined")
        said = await page.ask("POST", "se/log", {"type": "browser"})
        assert [line for line in said if line["level"] == "SEVERE" and line["source"] != "network"] == []


WATCH = """
window.violations = [];
addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
addEventListener('error', (event) => violations.push(String(event.message)));
addEventListener('unhandledrejection', (event) => violations.push(String(event.reason)));
window.shifts = [];
new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) shifts.push(one.value); })
  .observe({ type: 'layout-shift', buffered: true });
"""


async def picture(page, name: str) -> None:
    if PICTURES:
        await page.picture(Path(PICTURES) / f"{name}.png")


async def go(page, where: str, there: str) -> None:
    await page.run("location.hash = arguments[0]", f"#/{where}")
    await page.until(f"document.querySelector({there!r})")


def fresh(number: int):
    """A vCon of the test data under an uuid of its own."""
    return lambda document: document.update(uuid=f"019f155a-5131-80ec-832a-{number:012x}")


def loud(seconds: float, amplitude: int) -> bytes:
    """A square wave, 16 bits, 8 kHz."""
    return np.tile(np.repeat(np.array([amplitude, -amplitude], np.int16), 10), round(seconds * 400)).tobytes()


def tracks(one, call) -> list:
    """One for each party."""
    return [
        call.track(party, at=one.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
        for party in range(len(call.state.parties))
    ]


def fresh_uuid(number: int) -> str:
    document: dict[str, str] = {}
    fresh(number)(document)
    return document["uuid"]
