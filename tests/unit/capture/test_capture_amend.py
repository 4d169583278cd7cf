"""A vCon that left without all texts is followed by an amended one, exactly once, whatever comes in between."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from capture_kit import FRAME, Shelf, finishing, idle

from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.delivery import Entry
from vcond.publish.amender import AT_ONCE, Amender
from vcond.publish.revisions import Revision, revisions
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.testing.time import run_virtual, until
from vcond.vcon import validate


def spoken(house, *, said: int = 2):
    """A call that has ended, of whose utterances the first has a text and the others wait."""
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0), who=ev.PartyInfo(name="A", validation="none"))
    call.party("b", at=house.at(0))
    track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    for i in range(150):
        track.write(FRAME, arrived=house.now((i + 1) * 0.02))
    call.emit(ev.Answered(at=house.at(0)))
    source = house.speech.listeners[0].source
    for number in range(said):
        start = number * 8000
        source.emit(ev.Utterance(at=house.at(number + 1), utterance=number, track=0, start=start, stop=start + 6000))
    source.emit(text(house, 0, "hello"))
    call.end(at=house.now(3))
    return house.finished[-1]


def text(house, number: int, words: str) -> ev.Transcribed:
    return ev.Transcribed(
        at=house.clock.now(), utterance=number, engine="e", model="m", text=words, language="en", deferred=number > 0
    )


def transcribes(house, words: str = "goodbye") -> None:
    """Whatever is asked for later gets this text."""

    def answer(source, utterances) -> None:
        house.now(100)
        for one in utterances:
            source.emit(text(house, one.utterance, words))
        house.speech.in_time = True

    house.speech.on_late = answer


async def amended(finisher) -> None:
    while len(finisher.amender):  # noqa: ASYNC110 - two tasks in turn, and nobody who tells
        await asyncio.sleep(0.01)


def transcript(document) -> str:
    bodies = [one["body"] for one in document["analysis"] if one["type"] == "transcript"]
    return bodies[0]["transcript"]


def wtf(document):
    return next(one["body"] for one in document["analysis"] if one["type"] == "wtf_transcription")


async def restarted(house):
    """A new run of the daemon: its one journal and the state it tells."""
    before = house.speech
    await house.store.close()
    house.open()
    house.speech.in_time, house.speech.on_late = before.in_time, before.on_late
    found = house.store.recover()
    return found[0] if found else None


async def test_the_missing_texts_follow_in_an_amended_vcon(house, tmp_path: Path):
    shelf, house.speech.in_time = Shelf(), False
    transcribes(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
        assert len(shelf.taken) == 2
        first = json.loads(shelf.taken.pop(call.uuid))
        ((uuid, body),) = shelf.taken.items()
        second = json.loads(body)
        for document in (first, second):
            assert [finding for finding in validate(document) if finding.level == "error"] == []
        assert transcript(first) == "hello"
        assert "amended" not in first
        (_, note) = wtf(first)["quality"]["processing_warnings"][-2:]
        assert note == f"an amended vCon {uuid} follows if the missing texts are there by 2026-11-23T09:27:45Z"
        assert transcript(second) == "hello goodbye"
        assert (second["uuid"], second["amended"]) == (uuid, {"uuid": call.uuid})
        assert second["created_at"] > first["created_at"]
        warned = wtf(second)["quality"]["processing_warnings"]
        assert [one for one in warned if "not transcribed" in one or "amended" in one] == []
        assert any(one.startswith("1 utterances (0.8 s) transcribed later") for one in warned)
        same = ("parties", "dialog", "subject")
        assert {name: first[name] for name in same} == {name: second[name] for name in same}
        finisher.delivered(call.uuid)
        assert journal.folder.exists()
        finisher.delivered(uuid)
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_restart_in_between_changes_nothing(house, tmp_path: Path, delivered: bool):
    shelf, house.speech.in_time = Shelf(), False
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house)
        finisher.amender.add = lambda *_: None  # killed before it comes to it
        finisher.submit(call, journal)
        await idle(finisher)
    journal = await restarted(house)
    state = fold(journal.events)
    assert state.amending is not None
    assert not state.amended
    transcribes(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher.await_sinks(state)
        finisher.expect(journal, state, revisions(state))
        if delivered:
            finisher.delivered(state.uuid)
        await amended(finisher)
    assert sorted(shelf.taken) == sorted([state.uuid, state.amending.vcon])
    bodies = dict(shelf.taken)
    journal = await restarted(house)
    state = fold(journal.events)
    assert state.amended
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher.await_sinks(state)
        finisher.expect(journal, state, revisions(state))
        assert len(finisher.amender) == 0
    assert shelf.taken == bodies


async def test_killed_after_it_was_published_and_before_that_was_written_down(house, tmp_path: Path):
    """The same bytes again: the outbox knows them."""
    shelf, house.speech.in_time = Shelf(), False
    transcribes(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
    bodies = dict(shelf.taken)
    journal = await restarted(house)
    last = journal.events.pop()
    assert isinstance(last, ev.Published)
    assert last.vcon in bodies
    state = fold(journal.events)
    shelf.taken.clear()
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher._awaited.add(state.uuid, revisions(state))
        call = house.registry.recovery.take_to_amend(journal)
        assert house.speech.late == []
        assert await finisher._amend(call, journal, revisions(state)[1])
    assert shelf.taken == {last.vcon: bodies[last.vcon]}


async def test_a_vcon_that_the_outbox_lost_is_made_as_it_was(house, tmp_path: Path):
    shelf, house.speech.in_time = Shelf(), False
    transcribes(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
    bodies = dict(shelf.taken)
    shelf.taken.clear()
    journal = await restarted(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        house.registry.recovery.take_to_finish(journal)
        finisher.submit(*house.finished[-1])
        await idle(finisher)
        await amended(finisher)
    assert shelf.taken == bodies


async def test_an_amended_vcon_that_every_sink_has_is_not_waited_for_when_the_outbox_lost_the_original(
    house, tmp_path: Path
):
    class Lost(Shelf):
        async def get(self, uuid: str) -> Entry | None:
            return Entry(uuid, "ab" * 64, 9, 1, 2, "gone", {}, ()) if uuid in before else None

    shelf, before, house.speech.in_time = Lost(), set(), False
    transcribes(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
    original = shelf.taken.pop(call.uuid)
    before |= set(shelf.taken)
    shelf.taken.clear()
    journal = await restarted(house)
    async with finishing(house, shelf, tmp_path) as finisher:
        house.registry.recovery.take_to_finish(journal)
        finisher.submit(*house.finished[-1])
        await idle(finisher)
        await amended(finisher)
        assert shelf.taken == {call.uuid: original}
        assert journal.folder.exists()
        finisher.delivered(call.uuid)
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


async def test_when_no_text_comes_there_is_no_amended_vcon_and_the_journal_goes(house, tmp_path: Path):
    shelf, house.speech.in_time = Shelf(), False
    async with finishing(house, shelf, tmp_path, amend_deadline=60) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
        finisher.delivered(call.uuid)
        assert list(shelf.taken) == [call.uuid]
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


async def test_some_of_the_texts_are_better_than_none(house, tmp_path: Path):
    """When its time is over the amended vCon leaves with what is there, and says what is not."""
    shelf, house.speech.in_time = Shelf(), False

    def first_only(source, utterances) -> None:
        source.emit(text(house, utterances[0].utterance, "goodbye"))

    house.speech.on_late = first_only
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house, said=3)
        finisher.submit(call, journal)
        await idle(finisher)
        await amended(finisher)
    shelf.taken.pop(call.uuid)
    ((_, body),) = shelf.taken.items()
    assert transcript(json.loads(body)) == "hello goodbye"
    assert "1 utterances not transcribed: deadline" in wtf(json.loads(body))["quality"]["processing_warnings"]


async def test_a_disk_that_is_full_needs_the_room_more(house, tmp_path: Path):
    """Journals that only wait for texts must not keep new calls from being recorded."""
    shelf, house.speech.in_time = Shelf(), False

    async def never(call: str, timeout: float) -> bool:  # noqa: ASYNC109 - the protocol
        assert call not in shelf.taken, "nothing is waited for"
        return False

    house.speech.settled = never
    async with finishing(house, shelf, tmp_path) as finisher:
        finisher.amender._disk_low = lambda: True
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        finisher.delivered(call.uuid)
        await amended(finisher)
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


async def test_an_operator_may_not_want_amended_vcons(house, tmp_path: Path):
    shelf, house.speech.in_time = Shelf(), False
    transcribes(house)
    async with finishing(house, shelf, tmp_path, amend_deadline=0) as finisher:
        call, journal = spoken(house)
        finisher.submit(call, journal)
        await idle(finisher)
        assert len(finisher.amender) == 0
        assert list(shelf.taken) == [call.uuid]
        assert b"amended" not in shelf.taken[call.uuid]
        finisher.delivered(call.uuid)
        await house.store.close()
        assert not journal.folder.exists()
        house.open()


async def test_the_deadline_counts_from_when_there_is_an_engine(house, tmp_path: Path):
    """A model that takes its time to load must not cost recovered calls their texts."""
    shelf = Shelf()
    house.speech.ready.clear()
    async with finishing(house, shelf, tmp_path) as finisher:
        call, journal = spoken(house, said=1)
        finisher.submit(call, journal)
        for _ in range(50):
            await asyncio.sleep(0)
        assert finisher.busy == 1
        house.speech.ready.set()
        await idle(finisher)
    assert list(shelf.taken) == [call.uuid]


async def test_only_some_calls_are_in_memory_for_it(house, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vcond.publish.amender.AT_ONCE", 4)
    shelf, house.speech.in_time = Shelf(), False
    asked: list[str] = []

    async def never(call: str, timeout: float) -> bool:  # noqa: ASYNC109 - the protocol
        if call in shelf.taken:
            asked.append(call)
            await asyncio.Event().wait()
        return False

    house.speech.settled = never
    async with finishing(house, shelf, tmp_path) as finisher:
        for _ in range(9):
            finisher.submit(*spoken(house))
            house.speech.listeners.clear()
        await idle(finisher)
        while len(asked) < 4:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        assert len(finisher.amender) == 9
        assert len(house.store._journals) == 4


LONG = 4 * 3600
"""Seconds that the missing texts have time to come."""


class Slow:
    """Speech, journals and the outbox for calls of which some never get a text; hours of virtual time."""

    def __init__(self, stuck: set[str], texts: int = 1) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.stuck, self.texts, self.done, self.open, self.most = stuck, texts, {}, {}, 0
        self.until = LONG * SECOND

    def now(self):
        return Instant(round(asyncio.get_running_loop().time() * SECOND))

    async def settled(self, call: str, timeout: float) -> bool:  # noqa: ASYNC109 - the protocol
        state = self.open[call].state
        if call in self.stuck or state.added < self.texts - 1:
            await asyncio.sleep(timeout)
            state.added += call not in self.stuck
            return False
        state.added = self.texts
        return True

    def forget(self, call: str) -> int:
        return 0

    async def reopen(self, uuid: str):
        self.most = max(self.most, len(self.open) + 1)

        async def flush() -> None:
            pass

        return SimpleNamespace(uuid=uuid, flush=flush, close=lambda: self.open.pop(uuid))

    def take(self, journal):
        self.open[journal.uuid] = SimpleNamespace(uuid=journal.uuid, state=SimpleNamespace(added=0), sealed=False)
        return self.open[journal.uuid]

    async def publish(self, call, *_) -> bool:
        self.done[call.uuid] = asyncio.get_running_loop().time() - self.began
        return True

    async def all(self, calls: list[str]) -> None:
        self.began, self.until = asyncio.get_running_loop().time(), self.now() + LONG * SECOND
        amender = Amender(
            speech=self, store=self, take=self.take, publish=self.publish, disk_low=lambda: False, now=self.now,
            give_up=lambda vcon: self.done.update({vcon: asyncio.get_running_loop().time() - self.began}),
            wait=asyncio.sleep,
        )  # fmt: skip
        for call in calls:
            amender.add(call, Revision("amended", f"v-{call}", until=Instant(self.until)))
        running = asyncio.create_task(amender.run())
        await until(lambda: not len(amender), within=2 * LONG, every=60)
        running.cancel()


@pytest.mark.parametrize("stuck", [4, 40])
def test_calls_that_get_no_text_do_not_keep_others_from_theirs(stuck: int):
    never = [f"never{number}" for number in range(stuck)]
    world = Slow(set(never), texts=9)
    run_virtual(world.all([*never, "good1", "good2"]))
    assert max(world.done["good1"], world.done["good2"]) < 4000
    assert all(LONG - 400 < world.done[f"v-{call}"] < LONG + 600 for call in never), "and they wait as long as they may"
    assert world.most <= AT_ONCE


def test_an_amended_vcon_lies_within_its_limit(house):
    state = fold([
        ev.CallOpened(at=house.at(0), call="u", adapter="t", key="k"),
        ev.Amending(at=house.at(1), vcon="v", until=house.at(1 + 86_400)),
        ev.Amending(at=house.at(2), vcon="w", until=house.at(3)),
        ev.Published(at=house.at(3), sha512="aa"),
        ev.Published(at=house.at(4), sha512="bb", vcon="w"),
    ])  # fmt: skip
    assert state.amending is not None
    assert (state.amending.vcon, state.odd, state.published) == ("v", 2, "aa")
    assert state.amending.until - state.amending.at == 86_400 * SECOND
