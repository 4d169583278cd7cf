"""The page of a hub in a real Chromium: what two edges brought by the conserver's API is found, opened and played."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from api_kit import DATA
from hub_kit import hub
from page_kit import HOSTILE, go, logged_in, picture

KEYS = {"edge": "list-key-0123456789", "shop": "shop-key-0123456789"}
MORE = """
[api]
listen = "127.0.0.1:0"
"""
FIND = "document.getElementById('text').value = arguments[0]; document.querySelector('.find button').click()"


@asynccontextmanager
async def served(root: Path, more: str = ""):
    """A hub with its page, opened by the link that ``vcond page`` prints."""
    async with hub(root, MORE + more) as one:
        words = asyncio.create_task(one.parts.words.run())
        await one.parts.api.start()
        await one.parts.admin.start()
        asked = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vcond", "page", "--config", str(root / "vcond.toml"), stdout=asyncio.subprocess.PIPE
        )
        link = (await asked.communicate())[0].decode().strip()
        async with logged_in(link) as page:
            yield one, page
        words.cancel()
        await asyncio.gather(words, return_exceptions=True)
        await one.parts.api.close()
        await one.parts.admin.close()


def brought(name: str, number: str, who: str, word: str) -> tuple[str, bytes]:
    """A vCon of the test data, of somebody else who says another word."""
    document = json.loads((DATA / f"{name}.vcon.json").read_bytes())
    document.update(uuid=f"019f155a-5131-80ec-832a-{int(number):012x}")
    document["parties"][0].update(tel=number, name=who)
    body = document["analysis"][0]["body"]
    body["words"][0]["text"] = word
    body["segments"][0]["text"] = f"{word} {body['segments'][0]['text']}"
    return document["uuid"], json.dumps(document).encode()


async def test_what_two_edges_brought_is_found_by_number_and_by_word_opened_and_played(tmp_path: Path):
    async with served(tmp_path) as (one, page):
        assert await page.run("return document.title") == "Records, vcond hub"
        assert await page.run("return [...document.querySelectorAll('nav a')].map((link) => link.textContent)") == [
            "Records", "Deliveries", "System",
        ]  # fmt: skip
        await page.until("document.querySelector('td')?.textContent.startsWith('No record yet')")
        came = {
            "edge": (*brought("plain", "+12125550101", "Ada Byron", "parcel"), "+1 212 555 0101", "parcel"),
            "shop": (*brought("hold", "+13125550102", HOSTILE, "invoice"), "+1 312 555 0102", "invoice"),
        }
        for name, (_, body, _, _) in came.items():
            assert await one.bring(body, name, KEYS[name]) == 204
        await page.run("const play = HTMLMediaElement.prototype.play;"
                       "HTMLMediaElement.prototype.play = function () { played.push(this); return play.call(this); };")  # fmt: skip
        for name, (uuid, _, number, word) in came.items():
            link = f"document.querySelectorAll('.hits li').length === 1 && document.querySelector('.hits a[href*=\"{uuid}\"]')"
            for wanted in (number, word):
                await go(page, "system", "dl")
                await go(page, "records", "tbody a")
                while True:  # words are in the index some moments later
                    await page.run(FIND, wanted)
                    await page.until("/^\\d+ found/.test(document.querySelector('.hits ~ p')?.textContent)")
                    said = await page.run("return document.querySelector('.hits ~ p').textContent")
                    if wanted != word or "not indexed" not in said:
                        break
                await page.until(link)
            await page.run("document.querySelector('.hits a').click()")
            await page.until("document.querySelectorAll('.wave').length === 2")
            assert word in await page.run("return document.querySelector('.transcript').textContent"), name
            await page.run("window.played = []; document.getElementById('play').click()")
            await page.until("played.length === 1 && (played[0].currentTime > 0.1 || played[0].ended)")
            await picture(page, f"hub-record-{name}")
        await go(page, "system", "dl")
        await go(page, "records", "tbody a")
        rows = await page.run(
            "return [...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].slice(1, 3).map((one) => one.textContent))"
        )
        assert rows == [["shop", ""], ["edge", ""]], "from where, the last first; and there is no sink to forward to"
        await picture(page, "hub-records")
        assert await page.run("return document.querySelectorAll('main img, main script').length") == 0


async def test_a_hub_shows_no_calls_no_adapters_and_no_speech_and_what_its_links_made(tmp_path: Path):
    link = '[[links]]\ntype = "tag"\nname = "shop"\nsettings = { tags = { team = "shop" } }\n'
    async with served(tmp_path, link) as (one, page):
        assert await one.bring(brought("plain", "+12125550101", "Ada Byron", "parcel")[1]) == 204
        running = asyncio.create_task(one.parts.outbox.run())
        try:
            await page.until("document.querySelectorAll('tbody a').length || (location.hash = '#/records')")
            await go(page, "deliveries", "table")
            await page.until("[...document.querySelectorAll('td')].some((one) => one.textContent === 'link:shop')")
            while len(await one.told("/vcon")) < 2:
                await one.parts.outbox.measure()
            await go(page, "records", "tbody tr:nth-child(2)")
            came = await page.run(
                "return [...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].slice(1, 3).map((one) => one.textContent))"
            )
            assert came == [["edge, made by shop", ""], ["edge", ""]], "a link is nobody that it was forwarded to"
            await picture(page, "hub-links")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await go(page, "system", "dl")
        heads = await page.run("return [...document.querySelectorAll('h2')].map((one) => one.textContent)")
        assert heads == ["Hub", "Room"]
        assert one.parts.hub.base_url in await page.run("return document.querySelector('main').textContent")
        await picture(page, "hub-system")
        await go(page, "calls", "table")
        assert await page.run("return document.title") == "Records, vcond hub"
        assert await page.run("return document.getElementById('dot').hidden")


async def test_a_hub_without_sinks_says_that_it_forwards_nothing(tmp_path: Path):
    async with served(tmp_path) as (_, page):
        await go(page, "deliveries", "h2 ~ .none")
        assert "not forwarded" in await page.run(
            "return document.querySelector('main').lastChild.lastChild.textContent"
        )
