"""A long call is compressed while it goes on: the same vCon, its end is short, and nothing stays that was taken back."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from vcond.base.time import EPOCH
from vcond.call import events as ev
from vcond.call.state import fold
from vcond.config import RecordConfig
from vcond.publish import squeezer as module
from vcond.publish.builder import Builder
from vcond.publish.revisions import revisions
from vcond.publish.squeezer import Squeezer
from vcond.publish.stored_audio import StoredAudio
from vcond.sdk.contract import ArrivalClock, Codec
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import BuildOptions, build_with_media, serialize
from vcond.vcon.building import growing, opus_pieces

LIMIT = 130_000
"""Bytes of a vCon: some 7 s as WAV, a minute and a half as Opus."""
SECONDS = 2


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    for where in (opus_pieces, growing):
        monkeypatch.setattr(where, "SECONDS", SECONDS)
    monkeypatch.setattr(opus_pieces, "PACKETS", 50 * SECONDS)
    monkeypatch.setattr(module, "stand_back", lambda: None)  # it is waited for


@dataclass
class Live:
    """A call whose parties hum."""

    house: Any
    call: Any
    squeezer: Squeezer
    second: float = 0.0
    noise: Any = field(default_factory=lambda: np.random.default_rng(1))

    def party(self, key: str) -> None:
        party = self.call.party(key, at=self.house.at(self.second))
        self.call.track(party, at=self.house.at(self.second), codec=Codec.L16, rate=8000, clock=ArrivalClock())

    def speak(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            at = (np.arange(160) + self.second * 8000) / 8000
            self.second = round(self.second + 0.02, 2)
            now = self.house.now(self.second)
            for number, track in enumerate(self.call.tracks):
                hum = (
                    np.sin(at * (600 + 77 * number)) * 6000 * (1 + np.sin(at * 5))
                    + self.noise.standard_normal(160) * 300
                )
                track.write(hum.astype("<i2").tobytes(), arrived=now)

    def look(self) -> None:
        """Have it squeezed as far as it goes."""
        before = None
        while before != self.files:
            before = self.files
            for known in self.squeezer._calls.values():
                known.looked = EPOCH
            self.squeezer.look([self.call])
            if self.squeezer.job is not None:
                self.squeezer.job.result()

    @property
    def files(self) -> set[str]:
        folder = self.call.journal.folder / "pieces"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture
async def live(house, monkeypatch):
    monkeypatch.setattr(growing, "SETTLED", 0)
    call = house.host.call("k", at=house.now(0))
    made = Live(house, call, Squeezer(LIMIT, now=house.clock.now, disk_low=lambda: False))
    made.party("a")
    made.party("b")
    call.emit(ev.Answered(at=house.at(0)))
    yield made
    made.squeezer.close()


async def finished(live: Live, count: list[int], limit: int = LIMIT) -> bytes:
    """The vCon, as the builder makes it; ``count`` gets how many pieces were made for it."""
    call, journal = live.call, live.call.journal
    if not call.over:
        call.end(at=live.house.now(live.second))
    await journal.flush()
    builder = Builder(RecordConfig(inline_limit=limit), asyncio.sleep, WholeFiles(Files()))
    made, before = opus_pieces.OpusFile._made, len(count)

    def counted(self, number, sound):
        count.append(number)
        return made(self, number, sound)

    opus_pieces.OpusFile._made = counted
    try:
        built = await builder.built(call.state, journal, revisions(call.state)[0])
    finally:
        opus_pieces.OpusFile._made = made
        builder.close()
    assert before == 0
    return built.body


def from_scratch(live: Live, limit: int = LIMIT) -> bytes:
    journal = live.call.journal
    state = fold(journal.events)
    audio = {track.index: StoredAudio(journal, track) for track in state.tracks}
    return serialize(build_with_media(state, audio, BuildOptions(inline_limit=limit)).document)


async def test_one_call_that_cannot_be_looked_at_keeps_no_other_from_being_squeezed(live, monkeypatch):
    live.speak(20)
    other = live.house.host.call("bad", at=live.house.at(0))
    right, asked = module.growing, []

    def strange(state, *rest):
        if state.uuid == other.uuid:
            asked.append(1)
            raise ZeroDivisionError
        return right(state, *rest)

    monkeypatch.setattr(module, "growing", strange)
    for _ in range(2):
        for known in live.squeezer._calls.values():
            known.looked = EPOCH
        live.squeezer.look([other, live.call])
        if live.squeezer.job is not None:
            live.squeezer.job.result()
    assert live.files
    assert asked == [1]


async def test_the_end_of_a_call_has_only_its_tail_to_do_and_the_vcon_is_the_same(live):
    live.speak(5)
    live.look()
    assert live.files == set()  # it still fits as it is
    live.speak(15.3)
    live.look()
    assert len(live.files) == 10
    made: list[int] = []
    body = await finished(live, made)
    assert made == [10]
    assert b'"audio":"opus-16"' in body
    assert from_scratch(live) == body


async def test_what_is_young_is_left_alone(live, monkeypatch):
    monkeypatch.setattr(growing, "SETTLED", 5_000_000_000)
    live.speak(20.3)
    live.look()
    assert len(live.files) == 7


async def test_a_pause_that_is_told_late_leaves_nothing_of_its_audio_in_a_piece(live):
    live.speak(20.3)
    live.look()
    before = live.files
    live.call.emit(ev.RecordingPaused(at=live.house.at(8.5), by="operator"))
    live.look()
    gone = before - live.files
    assert len(gone) == 6  # from 8 s on
    assert len(live.files) == 10
    made: list[int] = []
    body = await finished(live, made)
    assert from_scratch(live) == body
    assert len(made) <= 2


async def test_what_a_late_packet_changed_is_made_again_at_the_end_and_the_old_one_is_deleted(live):
    live.speak(20.3)
    live.look()
    before = live.files
    live.call.journal.write("0.pcm", 3 * 8000, np.full(160, 77, np.int16))
    made: list[int] = []
    body = await finished(live, made)
    assert made == [1, 10]
    assert from_scratch(live) == body
    assert len(before - live.files) == 1


async def test_a_merge_makes_anew_what_it_touches(live):
    live.squeezer._limit = limit = 230_000
    live.speak(10)
    other = live.house.host.call("k2", at=live.house.now(10))
    party = other.party("c", at=live.house.at(10))
    track = other.track(party, at=live.house.at(10), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    live.speak(5)
    live.look()
    before = live.files
    track.write((np.ones(1600) * 500).astype("<i2").tobytes(), arrived=live.house.now(live.second))
    assert live.call.merge(other)
    live.speak(5.3)
    live.look()
    assert not before & live.files  # it is a file a party now
    assert len(live.files) == 30
    made: list[int] = []
    body = await finished(live, made, limit)
    assert set(made) == {10}
    assert len(made) == 3
    assert from_scratch(live, limit) == body


async def test_after_a_crash_the_pieces_that_are_whole_are_used_and_the_rest_is_made(live):
    live.speak(20.3)
    live.look()
    folder = live.call.journal.folder / "pieces"
    first, second, *_ = sorted(live.files)
    (folder / first).write_bytes((folder / first).read_bytes()[:-3])
    os.truncate(folder / second, 0)
    (folder / f".{first}.tmp").write_bytes(b"half")
    made: list[int] = []
    body = await finished(live, made)
    assert len(made) == 3
    assert from_scratch(live) == body
    assert f".{first}.tmp" not in live.files


async def test_a_call_that_outgrows_its_form_goes_on_in_the_next_and_ends_as_soon(live):
    limit = 90_000
    live.squeezer._limit = limit
    live.speak(22.3)
    live.look()
    steps = {key[0] for key in live.squeezer._calls[live.call.uuid].squeezed._made}
    made: list[int] = []
    body = await finished(live, made, limit)
    kbps = (16, 12, 8)[max(steps)]
    assert kbps < 16
    assert f'"audio":"opus-{kbps}"'.encode() in body
    assert len(made) <= 8  # the tails of the files in all forms, and where the first ones are given up
    assert from_scratch(live, limit) == body


async def test_while_the_disk_is_low_no_room_is_taken_and_what_was_taken_back_goes(live):
    live.speak(20.3)
    live.look()
    before = live.files
    live.squeezer._disk_low = lambda: True
    live.call.emit(ev.RecordingPaused(at=live.house.at(8.5), by="operator"))
    live.look()
    assert len(live.files) == 4
    assert live.files < before


async def test_a_disk_that_takes_no_piece_is_told_once_and_the_call_goes_on(live, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda text, **_: told.append(text), raising=False)
    monkeypatch.setattr(type(live.call.journal.pieces), "put", full)
    live.speak(20.3)
    live.look()
    assert len(told) == 1
    made: list[int] = []
    assert await finished(live, made) == from_scratch(live)


async def test_a_call_that_ended_is_let_go(live):
    live.speak(20.3)
    live.look()
    known = live.squeezer._calls[live.call.uuid]
    live.squeezer.look([])
    assert known.over
    assert not live.squeezer._calls


async def test_who_waited_longest_comes_first(live, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 1)
    other = live.house.host.call("k2", at=live.house.now(0))
    asked = []
    monkeypatch.setattr(module, "growing", lambda state, *_: asked.append(state.uuid))
    for _ in range(4):
        live.house.time[0] += module.EVERY
        live.squeezer.look([live.call, other])
    assert asked == [live.call.uuid, other.uuid] * 2


async def test_calls_that_need_none_are_left_alone(live):
    state, now = live.call.state, live.house.at(60)
    live.speak(20)

    def looked(limit: int | None = LIMIT):
        return growing.growing(state, now, lambda *_: np.zeros(0, np.int16), limit)

    assert looked() is not None
    assert looked(None) is None
    assert looked(100_000_000) is None
    live.call.track(0, at=live.house.at(20), codec=Codec.L16, rate=16000, clock=ArrivalClock())
    assert looked() is None
    state.answered = None
    assert looked() is None
