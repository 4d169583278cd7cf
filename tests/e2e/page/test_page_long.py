"""Much on the page at once, in a real Chromium: 200 calls, 10,000 records, two hours of talk."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from api_kit import daemon
from driver_kit import browser, driver
from long_kit import like, two_hours

from vcond.call import events as ev
from vcond.capture.live_feed import CaptionEvent
from vcond.media.codecs import Codec
from vcond.media.placement.clocks import ArrivalClock

CALLS, RECORDS = 200, 10_000
LONG = 50.0
"""Milliseconds of a thread's time: from then on it is a long task (W3C Long Tasks API), however busy this machine is with others."""
MADE = 1000
"""Milliseconds that a task takes which the trace must have."""
LOUD = np.tile(np.repeat(np.array([8000, -8000], np.int16), 10), 8).tobytes()


@asynccontextmanager
async def opened(tmp_path: Path, trace: str = ""):
    """A daemon, and a browser whose trace may have what its page's thread does; not logged in yet."""
    async with daemon(tmp_path) as one, driver() as url, browser(url, Path("/dev/null"), trace) as page:
        await page.size((1200, 800))
        yield one, page


async def go_in(one, page) -> None:
    await page.open((await one.parts.api.writes["page-link"]({"roles": "watch,read,operate"}))["url"])


async def longest(page) -> float:
    """Milliseconds of processor time that a task of the page's thread took at most.

    One more is made at the end, by which the thread is known: the browser's own first page has another.
    """
    await page.run("const end = performance.now() + arguments[0]; while (performance.now() < end);", MADE)
    tasks = [one for one in await page.traced() if one["name"].endswith("RunTask") and "tdur" in one]
    made = next((one for one in tasks if one["dur"] >= MADE * 990), None)
    assert made is not None, f"the trace ended before: it has {len(tasks)} tasks"
    own = [one["tdur"] for one in tasks if (one["pid"], one["tid"]) == (made["pid"], made["tid"]) and one is not made]
    assert len(own) > 100
    return max(own) / 1000


async def scrolled(page) -> None:
    """From the top to the end of what is there, some hundred pixels a frame, and then in a few jumps."""
    await page.wait(
        "const done = arguments[0]; let frames = 0;"
        "const step = () => { scrollBy(0, frames < 100 ? 150 : 20000); frames++ < 160 ? requestAnimationFrame(step) : done(true); }; step();"
    )


async def test_200_live_calls_are_drawn_and_scrolled_without_a_long_task(tmp_path: Path):
    async with opened(tmp_path, "toplevel") as (one, page):
        calls, tracks = [], []
        for number in range(CALLS):
            call = one.parts.registry.call("bench", str(number), one.at(0), "unknown")
            for party in ("a", "b"):
                at = call.party(
                    party, at=one.at(0), who=ev.PartyInfo(name=f"{party} {number}", tel=f"+1212555{number:04}")
                )
                tracks.append(call.track(at, at=one.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()))
            calls.append(call)

        async def live() -> None:
            for tick in range(10**6):
                for track in tracks:
                    track.write(LOUD, arrived=one.at((tick + 1) * 0.02))
                one.time[0] = one.at((tick + 1) * 0.02)
                for call in calls[tick % 5 :: 5]:
                    one.parts.bus.publish(CaptionEvent(call.uuid, "partial", f"what is said {tick}", 0, "a", 1.0, 2.0))
                await asyncio.sleep(0.1)

        living = asyncio.create_task(live())
        await go_in(one, page)
        await page.until(f"document.querySelectorAll('.card').length === {CALLS}")
        await page.until("document.querySelectorAll('.said p').length > 10")
        await page.until("[...document.querySelectorAll('.level i')].some((one) => one.style.transform > 'scaleX(0.5')")
        await scrolled(page)
        await page.until(f"document.querySelectorAll('.card button').length === {CALLS}")
        await page.until("document.querySelector('.cards li:last-child .said p')")
        living.cancel()
        assert await longest(page) <= LONG


async def test_10000_records_are_listed_to_the_last_as_one_scrolls_and_all_are_rows_of_one_table(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        await one.vcon("plain", lambda document: document.update(uuid=OLDEST))
        await one.parts.outbox.tell("fill", like(RECORDS - 1))
        await go_in(one, page)
        await page.until("document.querySelector('nav a')")
        await page.run("location.hash = '#/records'")
        await page.until("document.querySelector('tbody a')")
        await scrolled(page)
        while not await page.run("return document.querySelector('.long + button').hidden"):
            await page.run("scrollTo(0, document.documentElement.scrollHeight)")
            await page.wait("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        assert (
            await page.run("return document.querySelectorAll('table[role=table] tbody tr[role=row]').length") == RECORDS
        )
        assert await page.run(
            f"return document.querySelector('tbody:last-child tr:last-child a').hash.endsWith({OLDEST!r})"
        )


OLDEST = "019f155a-5131-80ec-832a-000000000001"


async def test_a_call_of_two_hours_opens_in_a_second_and_scrolls_fast_without_a_long_task(tmp_path: Path):
    async with opened(tmp_path, "toplevel") as (one, page):
        uuid = await one.vcon("plain", two_hours)
        await go_in(one, page)
        await page.until("document.querySelector('nav a')")
        took = await page.wait(
            "const [uuid, done] = arguments; const begun = performance.now(); location.hash = `#/records/${uuid}`;"
            "const look = () => document.querySelectorAll('.word').length > 50 ? done(performance.now() - begun) : requestAnimationFrame(look); look();",
            uuid,
        )
        assert took <= 1000, "milliseconds until its words are there"
        assert await page.run("return document.querySelectorAll('.transcript p').length") == 2400
        await page.wait(
            "const done = arguments[0], text = document.querySelector('.transcript'); let frames = 0;"
            "const step = () => { text.scrollBy(0, frames < 60 ? 100 : 3000); frames++ < 120 ? requestAnimationFrame(step) : done(true); }; step();"
        )
        await page.until("[...document.querySelectorAll('.word')].at(-1)?.textContent === 'word2399-9'")
        assert await page.run("return document.querySelectorAll('.word').length") < 5000, "of what is far away no words"
        await page.until("document.querySelectorAll('.wave').length > 0")
        there = "return [...document.querySelectorAll('.transcript p')].every((row, at) => row.textContent.includes(`word${at}-0 word${at}-1`))"
        assert await page.run(there), "but all of its text"
        await page.run("document.querySelector('.transcript').scrollTop = 0")
        await page.until("document.querySelector('.word').textContent === 'word0-0'")
        assert await longest(page) <= LONG
