"""What a page is shown of its call, and pausing the recording from a page."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from vcond.call.events import RecordingPaused, RecordingResumed
from vcond.sdk.contract import PartyInfo, PartyLeft
from vcond.testing.host import MemoryHost
from vcond_webrtc import captions


class Watch:
    """A page's EventSource."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last = ""

    async def event(self) -> tuple[str, dict]:
        """The next event that is no comment."""
        fields: dict[str, str] = {}
        while True:
            line = (await self.answer.content.readline()).decode()
            assert line, "the stream ended"
            if line == "\n" and "event" in fields:
                self.last = fields.get("id", self.last)
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value

    async def reason(self) -> str:
        """Why it ends, once it does."""
        while (event := await self.event())[0] != "end":
            pass
        assert await self.answer.content.read() == b""
        return event[1]["why"]


@asynccontextmanager
async def watching(person, last: str = ""):
    """Its session's captions, without a token."""
    async with aiohttp.ClientSession() as http:
        url = person.http._build_url(f"{person.location}/captions")
        async with http.get(url, headers={"Last-Event-ID": last} if last else {}) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            yield Watch(answer)


async def switch(person, what: str, *, on: bool) -> int:
    async with person.http.request("PUT" if on else "DELETE", f"{person.location}/{what}") as told:
        return told.status


async def joined(host, person, party: str, **words) -> None:
    await person.publish(call="c", party=party, **words)
    await host.until(lambda: any(one.key == party and one.here for one in host.by_key("c").state.parties))


async def test_a_page_sees_what_both_say_and_who_is_there(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await joined(host, ann, "ann", name="Ann", tel="+15550100")
        call = host.by_key("c")
        async with watching(ann) as page:
            assert await page.event() == (
                "state",
                {"you": 0, "parties": [{"name": "Ann", "here": True}], "paused": [], "resumable": False},
            )
            await joined(host, ben, "ben", tel="+15550199")
            kind, state = await page.event()
            assert (kind, state["parties"]) == ("state", [{"name": "Ann", "here": True}, {"name": "", "here": True}])
            call.say(0, "good", kind="partial", start=0.5, stop=1.0)
            call.say(1, "hello", start=0.7, stop=1.4)
            call.say(0, "good morning\nall", start=0.5, stop=1.5)
            seen = [await page.event() for _ in range(3)]
            assert seen == [
                ("partial", {"party": 0, "start": 0.5, "stop": 1.0, "text": "good"}),
                ("final", {"party": 1, "start": 0.7, "stop": 1.4, "text": "hello"}),
                ("final", {"party": 0, "start": 0.5, "stop": 1.5, "text": "good morning\nall"}),
            ]
            call.say(1, "gr\u00fc\u00df \ud800")
            assert (await page.event())[1]["text"] == "gr\u00fc\u00df \ud800"
            await ben.hang_up()
            assert (await page.event())[1]["parties"][1]["here"] is False
            await ann.hang_up()
            assert (await page.event())[0] in {"state", "end"}


async def test_who_was_cut_off_goes_on_where_it_was_and_nobody_sees_more(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await joined(host, ann, "ann")
        call = host.by_key("c")
        async with watching(ann) as page:
            await page.event()
            for number in range(3):
                call.say(0, f"line {number}")
            assert (await page.event())[1]["text"] == "line 0"
            last = page.last
        call.say(0, "line 3")
        await joined(host, ben, "ben")
        async with watching(ann, last) as page:
            assert (await page.event())[0] == "state"
            assert [(await page.event())[1]["text"] for _ in range(3)] == ["line 1", "line 2", "line 3"]
        # who comes later sees what is said from then on
        first = f"{last.partition('-')[0]}-0"
        for made_up in ("", "x-0", first, last.partition("-")[0], f"{last}9999999999999", "-", "\u00b2-\u00b2"):
            async with watching(ben, made_up) as page:
                assert (await page.event())[0] == "state"
                call.say(1, "now")
                assert (await page.event())[1]["text"] == "now"


async def test_captions_end_with_the_session_and_with_the_call(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await joined(host, ann, "ann")
        await joined(host, ben, "ben")
        async with watching(ann) as hers, watching(ben) as his:
            await ann.hang_up()
            assert await hers.reason() == "hung-up"
            host.by_key("c").end(at=host.clock.now())
            assert await his.reason() == "call"
        async with ann.http.get(f"{ann.location}/captions") as told:
            assert told.status in {404, 409}


async def test_a_page_is_told_that_the_same_party_is_elsewhere_now(serving):
    async with serving() as (host, person):
        first, second = person(), person()
        await joined(host, first, "ann")
        async with watching(first) as page:
            await second.publish(call="c", party="ann")
            assert await page.reason() == "superseded"
        async with watching(second) as page:
            assert (await page.event())[1]["you"] == 0


async def test_watchers_are_bounded_and_a_session_in_no_call_shows_nothing(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await joined(host, ann, "ann")
        async with ann.http.get("/whip/nobodys/captions") as told:
            assert told.status == 404
        for method, status in (("OPTIONS", 200), ("POST", 405), ("PUT", 405)):
            async with ann.http.request(method, f"{ann.location}/captions") as told:
                assert (told.status, told.headers["Allow"].replace(" ", "")) in {
                    (status, "GET,OPTIONS"), (status, "OPTIONS,GET"),
                }  # fmt: skip
        answer = await ben.post(await ben.offer(), call="c")
        ben.location = answer.headers["Location"]
        async with ben.http.get(f"{ben.location}/captions") as told:
            assert told.status == 409
        one_more = ann.http.get(f"{ann.location}/captions")
        async with watching(ann), watching(ann), watching(ann), watching(ann), one_more as told:
            assert told.status == 429
            assert told.headers["Retry-After"]


async def test_a_page_of_another_origin_may_watch_when_it_may_publish(serving):
    ours = "https://app.example.com"
    async with serving(origins=(ours,)) as (host, person):
        ann = person()
        await joined(host, ann, "ann")
        async with ann.http.get(f"{ann.location}/captions", headers={"Origin": ours}) as told:
            assert told.headers["Access-Control-Allow-Origin"] == ours
        async with ann.http.options(f"{ann.location}/pause", headers={"Origin": ours}) as told:
            assert "PUT" in told.headers["Access-Control-Allow-Methods"]


async def test_a_silent_stream_is_kept_alive(serving, monkeypatch):
    monkeypatch.setattr(captions, "KEEPALIVE", 0.05)
    async with serving() as (host, person):
        ann = person()
        await joined(host, ann, "ann")
        async with watching(ann) as page:
            await page.event()
            assert await page.answer.content.readline() == b":\n"


async def test_a_reader_that_takes_nothing_is_cut_off(serving, monkeypatch):
    monkeypatch.setattr(captions, "STALLED", 0.3)
    async with serving() as (host, person):
        ann = person()
        await joined(host, ann, "ann")
        url = ann.http._build_url(f"{ann.location}/captions")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((url.host, url.port))
            deaf.sendall(f"GET {url.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert await asyncio.to_thread(deaf.recv, 12) == b"HTTP/1.1 200"
            for _ in range(captions.MOST_LINES):
                host.by_key("c").say(0, "x" * 100_000)
            await host.until(lambda: host.drops["caption", "stalled"] == 1)


async def test_a_slow_page_loses_the_oldest_lines():
    host = MemoryHost("webrtc")
    call = host.call("c", at=host.clock.now())
    call.party("ann", at=host.clock.now(), who=PartyInfo(name="Ann"))
    of_call = captions.CallCaptions(call)
    async with asyncio.TaskGroup() as group:
        group.create_task(of_call.run())
        await of_call.begun.wait()
        start = of_call.place("", 0)
        for number in range(captions.MOST_LINES + 50):
            call.say(0, str(number))
        call.end(at=host.clock.now())
    first, lines = await of_call.after(start, 0)
    assert (first, len(lines), lines[0].text) == (start + 50, captions.MOST_LINES, "50")
    assert of_call.over
    assert await of_call.after(first + len(lines), 0) == (first + len(lines), [])


async def test_a_party_pauses_for_all_and_who_paused_lets_it_go_on(serving):
    async with serving() as (host, person):
        ann, ben = person(), person()
        await joined(host, ann, "ann")
        await joined(host, ben, "ben")
        call = host.by_key("c")
        async with watching(ben) as page:
            await page.event()
            assert await switch(ann, "pause", on=True) == 204
            assert await switch(ann, "pause", on=True) == 204
            assert (await page.event())[1] | {"parties": 0} == {
                "you": 1, "parties": 0, "paused": [0], "resumable": False,
            }  # fmt: skip
            assert await switch(ben, "pause", on=False) == 409
            assert call.state.paused
            assert await switch(ann, "pause", on=False) == 204
            assert await switch(ann, "pause", on=False) == 204
            assert (await page.event())[1]["paused"] == []
            # the operator's pause is the operator's
            call.pause(host.clock.now())
            assert await switch(ann, "pause", on=True) == 204
            assert await switch(ann, "pause", on=False) == 409
            assert call.state.paused
            call.pause(host.clock.now(), on=False)
            # whoever is left may end the pause of one who has left
            assert await switch(ann, "pause", on=True) == 204
            await ann.hang_up()
            state = {}
            while state.get("parties", [{}])[0].get("here", True):
                _, state = await page.event()
            assert (state["paused"], state["resumable"]) == ([0], True)
            assert await switch(ben, "pause", on=False) == 204
            assert not call.state.paused
        told = [(type(e), e.by, e.party) for e in call.events if isinstance(e, RecordingPaused | RecordingResumed)]
        assert told == [
            (RecordingPaused, "party", 0), (RecordingResumed, "party", 0), (RecordingPaused, "operator", None), (RecordingPaused, "party", 0),
            (RecordingResumed, "party", 0), (RecordingResumed, "operator", None), (RecordingPaused, "party", 0), (RecordingResumed, "party", 1),
        ]  # fmt: skip


async def test_who_comes_back_paused_is_paused_before_anything_is_kept(serving):
    async with serving() as (host, person):
        ann = person()
        assert (await ann.post(await ann.offer(), call="c", paused="yes")).status == 400
        ann = person()
        await joined(host, ann, "ann", paused="1")  # its call was over when the connection was back: this is a new one
        call = host.by_key("c")
        await host.until(lambda: call.state.tracks)
        assert [type(event).__name__ for event in call.events[:3]] == ["CallOpened", "PartyJoined", "RecordingPaused"]
        assert [(pause.by, pause.party, pause.stop) for pause in call.state.pauses] == [("party", 0, None)]
        async with watching(ann) as page:
            assert (await page.event())[1]["paused"] == [0]
        assert await switch(ann, "pause", on=False) == 204
        assert not call.state.paused


@pytest.mark.usefixtures("one_moment")
async def test_pausing_needs_the_token_and_a_call_and_resuming_has_a_pace(serving):
    async with serving() as (host, person):
        ann = person()
        await joined(host, ann, "ann")
        async with aiohttp.ClientSession() as http:
            for method in ("PUT", "DELETE"):
                async with http.request(method, ann.http._build_url(f"{ann.location}/pause")) as told:
                    assert told.status == 401
        statuses = []
        while 429 not in statuses and len(statuses) < 40:
            assert await switch(ann, "pause", on=True) == 204
            statuses.append(await switch(ann, "pause", on=False))
        assert set(statuses) == {204, 429}
        assert host.by_key("c").state.paused, "when in doubt it is paused"
        host.by_key("c").emit(PartyLeft(at=host.clock.now(), party=0))
        host.by_key("c").end(at=host.clock.now())
        assert await switch(ann, "pause", on=False) in {409, 429}


@pytest.mark.parametrize("last", ["", "-", "a-b", "0-0"])
def test_an_event_id_that_is_none_of_ours_begins_now(last):
    of_call = captions.CallCaptions(None)
    of_call._next = 5
    assert of_call.place(last, 0) == 5
