"""Records on the page in a real Chromium: found, drawn, played, and shown although they are not valid."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_kit import HOSTILE, RATE, fresh, fresh_uuid, go, opened, picture

from vcond.server.api import search


async def test_a_word_is_found_and_opens_where_it_was_said_and_the_search_goes_on_further_back(
    tmp_path: Path, monkeypatch
):
    async with opened(tmp_path) as (one, page):
        monkeypatch.setattr(search, "BUDGET", -1.0)
        for number in range(3):

            def change(document, number=number) -> None:
                fresh(number)(document)
                document["parties"][0]["name"] = HOSTILE

            await one.vcon("plain", change)
        await go(page, "records", "tbody a")
        await page.run(
            "document.getElementById('text').value = 'support'; document.querySelector('.find button').click()"
        )
        await page.until("document.querySelector('.hits ~ p').textContent.startsWith('0 found')")
        said = await page.run("return document.querySelector('.hits ~ p').textContent")
        assert "The words of 3 are not indexed, or not yet" in said
        await page.run(
            "document.getElementById('text').value = 'UPPORT'; document.getElementById('parts').checked = true;"
            "document.querySelector('.find button').click()"
        )
        for number in range(1, 4):
            await page.until(f"document.querySelectorAll('.hits li').length === {number}")
            await page.until("!document.querySelector('.hits ~ button').disabled")
            if number == 1:
                await picture(page, "search")
            await page.run("document.querySelector('.hits ~ button').click()")
        await page.until("document.querySelector('.hits ~ button').hidden")
        assert HOSTILE in await page.run("return document.querySelector('.hits').textContent")
        assert "Looked at all" in await page.run("return document.querySelector('.hits ~ p').textContent")
        await page.run("document.querySelector('.hits p a').click()")
        await page.until("document.querySelector('#seek')")
        document = await one.told(f"/vcons/{fresh_uuid(2)}", "read")
        start = document["analysis"][0]["body"]["segments"][0]["start"]
        assert await page.run("return +document.querySelector('#seek').value") == pytest.approx(start, abs=0.05)
        await go(page, "records", "tbody a")
        await page.run(
            "document.getElementById('text').value = arguments[0]; document.querySelector('.find button').click()",
            HOSTILE + HOSTILE,
        )
        await page.until("document.querySelector('.hits ~ p').textContent.startsWith('0 found')")
        assert await page.run("return document.querySelectorAll('main img, main script').length") == 0


async def test_a_record_is_drawn_and_a_click_on_a_word_plays_that_word(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        uuid = await one.vcon("hold")
        await go(page, "records", "tbody a")
        await page.run("document.querySelector('tbody a').click()")
        await page.until("document.querySelectorAll('.wave').length === 2")
        x, width = await page.run(
            "const mark = document.querySelector('.wave rect.hold'); return [+mark.getAttribute('x'), +mark.getAttribute('width')]"
        )
        document = await one.told(f"/vcons/{uuid}", "read")
        hold = [moment for moment in document["dialog"][0]["party_history"] if moment["event"] in {"hold", "unhold"}]
        start = float(document["dialog"][0]["start"][17:-1])
        length = document["dialog"][0]["duration"]
        for at, moment in zip((x, x + width), hold, strict=True):
            assert at / 1000 * length == pytest.approx(float(moment["time"][17:-1]) - start, abs=0.05)
        words = document["analysis"][0]["body"]["words"]
        await page.until("[...document.querySelectorAll('audio')].length === 0")  # they are played, and in no place
        await page.run("window.played = []; const play = HTMLMediaElement.prototype.play;"
                       "HTMLMediaElement.prototype.play = function () { played.push(this); return play.call(this); };")  # fmt: skip
        await page.until("document.querySelector('.transcript p:last-child .word')")
        await page.run("[...document.querySelectorAll('.word')].at(-1).click()")
        await page.until("window.played.length && !played[0].paused && played[0].currentTime > 0")
        assert await page.run("return played[0].currentTime") >= words[-1]["start"] - 0.01
        await page.until("document.querySelector('.word.now')")
        await picture(page, "record")
        assert {row["what"] for row in one.accesses()} >= {"vcon", "audio"}


def noisy(document) -> None:
    """Its recording becomes noise, each party's own, of which no two places are alike."""
    dialog, file = document["dialog"][0], io.BytesIO()
    sound = np.random.default_rng(18).integers(-16_000, 16_000, (round(dialog["duration"] * RATE), 2), np.int16)
    soundfile.write(file, sound, RATE, format="WAV")
    body = base64.urlsafe_b64encode(file.getvalue()).decode()
    dialog.update(mediatype="audio/x-wav", encoding="base64url", body=body)


PLAYED = """
const done = arguments[0], [element] = played, from = playedFrom[0];
fetch(element.src).then((answer) => answer.arrayBuffer()).then((bytes) => new OfflineAudioContext(2, 1, 8000).decodeAudioData(bytes))
  .then((sound) => done([from, sound.length, [0, 1].map((channel) => [...sound.getChannelData(channel).slice(Math.round(from * 8000), Math.round(from * 8000) + 1600)])]));
"""
"""Where the element begins to play, how many samples a browser makes of what it is given, and 0.2 s of them from there."""


async def test_a_click_on_a_word_plays_the_samples_of_that_word(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        uuid = await one.vcon("hold", noisy)
        document = await one.told(f"/vcons/{uuid}", "read")
        dialog, words = document["dialog"][0], document["analysis"][0]["body"]["words"]
        sound, _ = soundfile.read(io.BytesIO(base64.urlsafe_b64decode(dialog["body"])))
        await go(page, f"records/{uuid}", ".transcript p:last-child .word")
        await page.run("window.played = []; window.playedFrom = []; const play = HTMLMediaElement.prototype.play;"
                       "HTMLMediaElement.prototype.play = function () { played.push(this); playedFrom.push(this.currentTime); return play.call(this); };")  # fmt: skip
        for place in (-1, 1):
            await page.run("played.length = playedFrom.length = 0; [...document.querySelectorAll('.word')].at(arguments[0]).click()", place)  # fmt: skip
            await page.until("played.length && !played[0].paused && played[0].currentTime > playedFrom[0]")
            begun, length, channels = await page.wait(PLAYED)
            assert length == len(sound)
            for channel, heard in enumerate(channels):
                like = np.correlate(sound[:, channel], np.array(heard) - np.mean(heard), "valid")
                assert np.argmax(like) / RATE == pytest.approx(words[place]["start"], abs=0.05), (
                    "it is that word that is heard"
                )
                assert np.max(like) > 10 * np.median(np.abs(like)), "and nothing else of the recording"
            assert begun == pytest.approx(words[place]["start"], abs=0.05)
            await page.run("document.querySelector('#play').click()")


async def test_audio_that_was_lost_is_drawn_where_it_was_and_told_in_words(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        uuid = await one.vcon("loss")
        await go(page, f"records/{uuid}", ".wave")
        await page.until("document.querySelectorAll('.wave').length === 2")
        document = await one.told(f"/vcons/{uuid}", "read")
        drawn = await page.run(
            "return [...document.querySelectorAll('.wave')].map((wave) => [...wave.querySelectorAll('rect')].map((one) =>"
            " [one.getAttribute('class'), +one.getAttribute('x'), +one.getAttribute('width')]))"
        )
        assert drawn[0] == [], "of the other party nothing was lost"
        [(kind, x, width)] = drawn[1]
        assert kind == "lost"
        length = document["dialog"][0]["duration"]
        assert x / 1000 * length == pytest.approx(1.0, abs=0.05), (
            "lost from 1.5 to 1.74 s of a call recorded from 0.5 s"
        )
        assert (x + width) / 1000 * length == pytest.approx(1.24, abs=0.05)
        assert await page.run("return document.querySelector('.legend').textContent") == "lost"
        said = await page.run("return document.querySelector('.losses summary').textContent")
        assert said.endswith(": audio lost in one place, 0.24 s")
        await page.run(
            "document.querySelector('.losses').open = true; document.querySelector('.losses button').click()"
        )
        assert await page.run("return +document.querySelector('#seek').value") == pytest.approx(1.0, abs=0.05)
        await picture(page, "loss")


async def test_a_vcon_that_is_not_valid_opens_with_its_findings(tmp_path: Path):
    def spoiled(document) -> None:
        document["parties"][0]["name"] = HOSTILE
        document["dialog"][0]["parties"] = "all"
        document["analysis"][0]["body"] = 7
        document["attachments"] = [{"purpose": "vcond-capture-report", "body": {
            "start": 1, "parties": [None, 3, {"party": 0, "lost_at": [None, HOSTILE, [0.5, HOSTILE], [1, 2]]}, {"lost_at": HOSTILE}],
        }}]  # fmt: skip

    async with opened(tmp_path) as (one, page):
        uuid = await one.vcon("plain", spoiled)
        await go(page, f"records/{uuid}", "details.wrong li")
        assert HOSTILE in await page.run("return document.querySelector('h1').textContent")
