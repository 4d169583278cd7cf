"""The page in a real Chromium: live calls, a record that is played, dead letters, and what axe-core finds of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from page_kit import ANN, BEN, HOSTILE, NARROW, WIDE, fresh, fresh_uuid, go, loud, opened, picture, tracks

from vcond.call import events as ev
from vcond.capture.forgetting import forget
from vcond.capture.live_feed import CaptionEvent


async def test_a_call_appears_its_words_grow_one_click_pauses_it_and_it_goes(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        await page.until("document.querySelector('#dot.on')")
        call = one.call(ANN, BEN)
        call.emit(ev.Answered(at=one.at(1)))
        call.emit(ev.Held(at=one.at(1), party=1))
        await page.until("document.querySelector('.card .badge.hold')?.textContent === 'On hold'")
        call.emit(ev.Retrieved(at=one.at(2), party=1))
        await page.until("document.querySelector('.card') && !document.querySelector('.badge.hold')")
        one.parts.bus.publish(CaptionEvent(call.uuid, "partial", "hel", 0, "Ann", 1.0, 1.2))
        await page.until("document.querySelector('.said .partial')?.textContent === 'Ann: hel'")
        await page.run("shifts.length = 0")
        for text in ("hello", "hello this", "hello this is a long sentence " * 5):
            one.parts.bus.publish(CaptionEvent(call.uuid, "partial", text, 0, "Ann", 1.0, 1.5))
        one.parts.bus.publish(CaptionEvent(call.uuid, "final", HOSTILE, 1, HOSTILE, 1.0, 2.0))
        await page.until("document.querySelectorAll('.said p').length === 2")
        assert HOSTILE in await page.run("return document.querySelector('.said').textContent")
        assert await page.run("return document.querySelectorAll('main img, main script').length") == 0
        assert await page.run("return shifts.reduce((a, b) => a + b, 0)") == 0, "nothing jumps while captions grow"
        await picture(page, "calls")
        await page.run("document.querySelector('.card button').click()")
        await page.until("document.querySelector('.badge.pause')")
        assert call.state.paused
        assert await page.run("return document.querySelector('.card button').textContent") == "Resume recording"
        await page.run("document.querySelector('.card button').click()")
        await page.until("!document.querySelector('.badge.pause')")
        assert not call.state.paused
        await go(page, f"calls/{call.uuid}", ".log")
        one.parts.bus.publish(CaptionEvent(call.uuid, "final", "good morning", 1, "1001@pbx.example.com", 3.0, 4.0))
        await page.until("document.querySelector('.log').textContent.includes('good morning')")
        await picture(page, "call")
        call.end(at=one.at(9))
        await page.until("document.querySelector('.badge')?.textContent === 'This call is over'")
        await go(page, "calls", ".none:not([hidden])")


async def test_only_calls_that_have_changed_are_asked_for_again_and_all_when_it_is_not_known_which(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        await page.until("document.querySelector('#dot.on')")
        calls = [one.parts.registry.call("bench", str(number), one.at(0), "unknown") for number in range(3)]
        await page.until("document.querySelectorAll('.card button').length === 3")
        asked = "performance.getEntriesByType('resource').map((one) => new URL(one.name)).filter((one) => one.pathname.endsWith('/calls')).map((one) => one.search)"
        await page.run("performance.clearResourceTimings()")
        calls[1].emit(ev.RecordingPaused(at=one.at(1), by="operator"))
        await page.until("document.querySelectorAll('.badge.pause').length === 1")
        assert set(await page.run(f"return {asked}")) == {f"?only={calls[1].uuid}"}
        calls[0].end(at=one.at(2))
        calls[2].end(at=one.at(2))
        await page.until("document.querySelectorAll('.card').length === 1")
        assert await page.run("return document.querySelector('h1').textContent") == "Calls: 1"
        assert "" not in await page.run(f"return {asked}")
        for watcher in list(one.parts.api._events._watchers):
            watcher.end()  # a connection that is lost: what happened meanwhile is told, or all is asked for
        calls[1].end(at=one.at(3))
        await page.until("document.querySelector('.none:not([hidden])')")


LEVELS = "[...document.querySelectorAll('.card .level i')].map((bar) => +bar.style.transform.slice(7, -1))"


async def test_each_party_has_its_level_and_none_while_it_is_paused(tmp_path: Path):
    async with opened(tmp_path, "watch") as (one, page):
        await page.until("document.querySelector('#dot.on')")
        call = one.call(ANN, BEN)
        await page.until("document.querySelectorAll('.card .level').length === 2")
        (ann, ben), at = tracks(one, call), 0

        async def talk(condition: str) -> None:
            nonlocal at
            while not await page.run(f"const levels = {LEVELS}; return {condition}"):
                for track, amplitude in ((ann, 16_384), (ben, 327)):
                    track.write(loud(0.02, amplitude), arrived=one.at(at * 0.02))
                at += 1
                one.time[0] = one.at(at * 0.02)

        await talk("Math.abs(levels[0] - 0.9) < 0.01 && Math.abs(levels[1] - 1 / 3) < 0.01")
        await picture(page, "levels")
        call.emit(ev.RecordingPaused(at=one.at(at * 0.02), by="operator"))
        await page.until("document.querySelector('.badge.pause')")
        await talk("levels.every((level) => level === 0)")


async def test_how_late_texts_come_and_what_is_wrong_is_on_the_card_and_on_the_call_until_it_is_mended(tmp_path: Path):
    async with opened(tmp_path, "watch") as (one, page):
        await page.until("document.querySelector('#dot.on')")
        hostile = f"$& {HOSTILE}"
        call = one.call(ANN, ev.PartyInfo(name=hostile))
        call.emit(ev.Answered(at=one.at(0)))
        call.emit(ev.CallAttribute(at=one.at(0), name="speech_engine", value="vosk"))
        (track, _) = tracks(one, call)
        for number in range(500):
            track.write(loud(0.02, 8000), arrived=one.at((number + 1) * 0.02))
        call.record(ev.Utterance(at=one.at(3), utterance=0, track=0, start=0, stop=16_000))
        call.record(
            ev.Transcribed(at=one.at(4), utterance=0, engine="vosk", model="m", text="good morning", lag_ms=1540)
        )
        one.time[0] = one.at(40)
        late = "[...document.querySelectorAll('.badge')].map((badge) => badge.textContent).includes('Text after 1.5 s')"
        await page.until(late)
        assert await page.run("return document.querySelector('.card .flags').hidden")
        watched = [(call.state, call.stopped.parties)]
        one.parts.finisher.findings.watch(watched, one.at(40))  # nothing else happens in this call
        await page.until("document.querySelector('.card .flags li')")
        flag = "return document.querySelector('.flags li, .findings li').textContent"
        said = await page.run(flag)
        assert said.startswith(f"{hostile}: no audio came in What to do: audio of the other side arrives, so check")
        left = (  # of a letter of what vcond says: the name before it turns the direction of writing
            "const said = document.querySelector('.flags small').firstChild, range = document.createRange();"
            "const left = (at) => { range.setStart(said, at); range.setEnd(said, at + 1); return range.getBoundingClientRect().left; };"
            "return [left(1), left(3)]"
        )
        first, third = await page.run(left)
        assert first < third
        await picture(page, "flags")
        await go(page, f"calls/{call.uuid}", ".findings li")
        await page.until(late)
        assert await page.run(flag) == said
        assert await page.run("return document.querySelectorAll('.findings li').length") == 1, "it is said once"
        await go(page, "calls", ".card .flags li")
        call.emit(ev.PartyLeft(at=one.at(50), party=1))
        one.parts.finisher.findings.watch(watched, one.at(50))
        await page.until("document.querySelector('.card .flags').hidden")


async def test_who_agreed_to_what_is_on_the_card(tmp_path: Path):
    async with opened(tmp_path, "watch", 'listen = "127.0.0.1:0"\n[[policy]]\nmode = "ask"') as (one, page):
        call = one.call(ANN, BEN)
        said = "[...document.querySelectorAll('.card .party')].map((one) => one.querySelector('.badge')?.textContent).join()"
        await page.until(f"{said} === 'Not kept: consent not known,Not kept: consent not known'")
        call.emit(ev.Consent(at=one.at(1), party=0, state="granted", how="operator"))
        call.emit(ev.Consent(at=one.at(1), party=1, state="denied", how="operator"))
        await page.until(f"{said} === 'Agreed,Not kept: refused'")
        await picture(page, "consent")
        call.emit(ev.Consent(at=one.at(2), party=0, state="withdrawn", how="operator"))
        await page.until(f"{said} === 'Not kept: consent taken back,Not kept: refused'")


@pytest.mark.parametrize(
    ("rule", "words", "shown"),
    [
        ('mode = "ask"', [("asked", "recording")], "Not kept: asked, no answer yet"),
        ('mode = "ask"', [("granted", "recording")], "Agreed; no text is made"),
        ('mode = "ask"\nuntil_granted = "keep"', [("asked", "recording")], "Asked; kept until there is an answer"),
        ('mode = "ask"\npurposes = ["transcription"]', [("denied", "transcription")], "No text is made"),
        ('mode = "announce"', [("asked", "recording"), ("asked", "transcription")], "Told of the recording"),
        ('mode = "record"', [("denied", "recording")], "Refused; kept on another basis"),
        ('mode = "never"', [("granted", "recording")], "Not kept: a rule forbids it"),
    ],
)  # fmt: skip
async def test_the_badge_says_what_was_said_and_whether_audio_and_words_are_kept(tmp_path: Path, rule, words, shown):
    async with opened(tmp_path, "watch", f'listen = "127.0.0.1:0"\n[[policy]]\n{rule}') as (one, page):
        call = one.call(ANN)
        for state, purpose in words:
            call.emit(ev.Consent(at=one.at(1), party=0, state=state, how="operator", purposes=(purpose,)))
        await page.until(f"document.querySelector('.card .party .badge')?.textContent === {shown!r}")


async def test_a_call_that_is_over_offers_its_record_when_there_is_one_and_says_none_when_nothing_was_kept(
    tmp_path: Path,
):
    async with opened(tmp_path) as (one, page):
        over = "document.querySelector('.badge')?.textContent === 'This call is over'"
        await go(page, "calls/019f155a-5131-80ec-832a-000000000001", ".log")
        await page.until(over)
        assert await page.run("return document.querySelector('#recorded')") is None
        await one.vcon("plain", fresh(1))  # whoever published it, and whenever that was told
        await page.until("document.querySelector('#recorded')")
        call = one.call(ANN, BEN)
        await go(page, f"calls/{call.uuid}", ".level")
        forget(one.parts.registry, call.uuid)
        await page.until("document.querySelector('.badge.wrong')")
        call.end(at=one.at(9))
        await page.until(over)
        assert "Nothing of it was kept: it was forgotten" in await page.run("return document.body.textContent")


async def test_a_call_that_hangs_up_becomes_a_record_on_the_page_and_its_words_are_found(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        finishing = [
            asyncio.create_task(job)
            for job in (one.parts.speech.run(), one.parts.finisher.run(), one.parts.outbox.run())
        ]
        call = one.call(ANN, BEN)
        call.emit(ev.Answered(at=one.at(0)))
        ends = tracks(one, call)
        for at in range(150):
            for track in ends:
                track.write(loud(0.02, 8000), arrived=one.at((at + 1) * 0.02))
        one.time[0] = one.at(3)
        await go(page, f"calls/{call.uuid}", ".level")
        call.end(at=one.at(3))
        await page.until("document.querySelector('#recorded')")
        await page.run("document.querySelector('#recorded').click()")
        await page.until(
            "document.querySelectorAll('.wave').length === 2 && document.querySelector('h1').textContent !== 'Record'"
        )
        assert "Ann" in await page.run("return document.querySelector('h1').textContent")
        await page.run("document.querySelector('#play').click()")
        await page.until("document.querySelector('#now').textContent === '00:01'")
        await one.parts.words.follow(rest=0)
        await go(page, "records", "tbody a")
        await page.run("document.getElementById('text').value = 'ann'; document.querySelector('.find button').click()")
        await page.until("document.querySelectorAll('.hits a').length === 1")
        assert call.uuid in await page.run("return document.querySelector('.hits a').href")
        for job in finishing:
            job.cancel()
        await asyncio.gather(*finishing, return_exceptions=True)


async def test_a_dead_letter_is_sent_again_or_given_up_at_the_second_click(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        await one.dead(await one.vcon("plain", fresh(1)), HOSTILE)
        await go(page, "deliveries", ".acts button")
        assert HOSTILE in await page.run("return document.querySelector('tbody').textContent")
        await picture(page, "deliveries")
        await page.run("document.querySelector('.acts button.go').click()")
        await page.until("!document.querySelector('.acts')")
        assert await one.told("/dead-letters", "operate") == []
        await one.dead("")
        await go(page, "system", "dl")
        await go(page, "deliveries", ".acts button")
        await page.run("document.querySelectorAll('.acts button')[1].click()")
        assert len(await one.told("/dead-letters", "operate")) == 1
        await page.run("document.querySelectorAll('.acts button')[1].click()")
        await page.until("!document.querySelector('.acts')")
        (row,) = (await one.told(f"/outbox/{fresh_uuid(1)}", "operate"))["sinks"]
        assert row["reason"] == "discarded"


def speech(load: float, lag: float | None):
    """As ``Speech.status`` has it."""
    told = {
        "engine": "vosk",
        "workers": 2,
        "load": load,
        "lag": lag,
        "waiting": 3,
        "deferred": 1,
        "deferred_seconds": 7.5,
    }
    return lambda: told


async def test_how_speech_keeps_up_is_drawn_and_said_in_words(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        one.parts.speech.status = speech(0.5, None)
        await go(page, "system", ".chart")
        one.parts.speech.status = speech(1.25, 1.54)
        words = "return [...document.querySelectorAll('.chart figcaption')].map((one) => one.textContent)"
        await page.until("document.querySelector('.chart figcaption').textContent.includes('125 %')")
        assert await page.run(words) == [
            "Load: 125 % of what there is time for now, 125 % of what there is time for at most in what is drawn",
            "Text comes: 1.5 s after it was said now",
            "Put off until there is time: 8 s of speech now, 8 s of speech at most in what is drawn",
        ]
        lines = await page.run(
            "return [...document.querySelectorAll('.chart .value')].map((one) => one.getAttribute('d'))"
        )
        assert [line.count("L") for line in lines] == [1, 0, 1]
        assert await page.run("return document.querySelectorAll('.chart .limit').length") == 1
        await picture(page, "system")


async def test_who_only_watches_is_offered_nothing_else(tmp_path: Path):
    async with opened(tmp_path, "watch") as (one, page):
        one.call(ANN)
        await page.until("document.querySelector('.card')")
        assert await page.run("return [...document.querySelectorAll('nav a')].map((one) => one.textContent)") == [
            "Calls",
            "System",
        ]
        assert await page.run("return document.querySelector('.card button')") is None
        assert "5551230" not in await page.run("return document.body.textContent")


async def test_a_page_whose_session_is_over_shows_no_old_calls_and_a_new_one_follows_on(tmp_path: Path):
    async with opened(tmp_path, "watch") as (one, page):
        call = one.call(ANN, BEN)
        await page.until("document.querySelectorAll('.card').length === 1")
        one.parts.api._api.guard._sessions.clear()  # as at a restart
        for watcher in list(one.parts.api._events._watchers):
            watcher.end()
        await page.until("document.querySelector('#token') && !document.querySelector('.card')")
        assert "logged out" in await page.run("return document.getElementById('told').textContent")
        await page.run(
            "document.getElementById('token').value = arguments[0]; document.querySelector('button.go').click()",
            await one.token("watch"),
        )
        await page.until("document.querySelector('#dot.on') && document.querySelectorAll('.card').length === 1")
        call.emit(ev.RecordingPaused(at=one.at(1), by="operator"))
        await page.until("document.querySelector('.badge.pause')")


async def test_a_token_logs_in_and_out_by_keys_alone(tmp_path: Path):
    async with opened(tmp_path) as (one, page):
        await page.run("document.querySelector('.who button').click()")
        await page.until("document.getElementById('token')")
        assert await page.focused() == "token"
        await page.keys(*"wrong", "\ue007")
        await page.until("document.getElementById('told').textContent.includes('no good token')")
        await page.keys(*(await one.token("watch")), "\ue007")
        await page.until("document.querySelector('nav a')")
        assert await page.run("return document.cookie") == "", "no script reads the cookie"
        await page.ask("POST", "se/log", {"type": "browser"})  # of the wrong one


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW)])
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(tmp_path: Path, axe: str, scheme: str, size):
    async with opened(tmp_path) as (one, page):
        await page.run_cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await page.size(size)
        call = one.call(ANN, BEN)
        call.emit(ev.RecordingPaused(at=one.at(1), by="operator"))
        hold, pause = await one.vcon("hold", fresh(1)), await one.vcon("pause", fresh(2))
        loss = await one.vcon("loss", fresh(4))
        await one.dead(hold)
        await one.vcon("plain", fresh(3))
        await page.run(axe)
        one.parts.speech.status = speech(0.5, 1.5)
        for where, there in [
            ("calls", ".card .badge"), (f"calls/{call.uuid}", ".log"), ("records", "tbody a"), ("records", ".hits li"), (f"records/{hold}", ".wave"),
            (f"records/{pause}", ".wave"), (f"records/{loss}", ".losses"), ("deliveries", ".acts"), ("system", "dl"),
        ]:  # fmt: skip
            if there == ".hits li":
                await page.run(
                    "document.getElementById('text').value = 'e'; document.getElementById('parts').checked = true;"
                    "document.querySelector('.find button').click()"
                )
                await page.until("document.querySelector('.hits ~ p').textContent.includes('found')")
            else:
                await go(page, where, there)
            if where == "calls":
                one.parts.bus.publish(CaptionEvent(call.uuid, "partial", "hello", 0, "Ann", 1.0, 1.2))
                await page.until("document.querySelector('.said .partial')")
            found = await page.wait("const done = arguments[0]; axe.run().then((told) => done(told.violations.map((one) => "
                                    "[one.id, one.nodes.map((node) => node.html + ' ' + node.failureSummary)])))")  # fmt: skip
            assert found == [], where
            assert await page.run("return document.documentElement.scrollWidth <= innerWidth"), where
            what = "-one" if "/" in where else "-found" if there == ".hits li" else ""
            await picture(page, f"{where.partition('/')[0]}{what}-{scheme}-{size[0]}")
