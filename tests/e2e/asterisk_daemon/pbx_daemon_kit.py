"""A real vcond beside a real Asterisk, phones that call through it, and a vCon as a judge sees it. Loaded by path."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from daemon_kit import House as Installation
from daemon_kit import Running
from heard import likeness
from pbx_modules import house

from vcond.testing.sounds import find, voice
from vcond.vcon.building.wav import read_wav

OWN, OTHER, SECONDS = house.OWN, house.OTHER, house.SECONDS
RATE = 8000
PHRASE = 2.0
"""Seconds of one phrase of somebody who talks on."""
FIRST = 0.22
"""A track is opened when its first frame comes; that begins 20 ms before, and may be late by 200 ms of jitter."""
KEPT = 1.0
"""Most seconds of audio that a crash may cost."""
LATE = 0.3
"""Most seconds between what a phone plays and its place in the recording: two PBXes, jitter buffers, a busy machine."""


class Site(house.House):
    """Phones and PBX of a ``House``, without its adapter: ``vcond`` is the installation that listens instead."""

    def __init__(self, bed: Any, peer: ModuleType, farm: ModuleType, folder: Path) -> None:
        super().__init__(bed, peer, farm)
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in self.config.items()]
        self.vcond = Installation(folder, extra="\n".join(["[adapters.asterisk]", *lines]), grace=20)

    async def start(self, host: None = None) -> None:
        """Nothing: tests start vcond themselves."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """vcond, READY and attached to the PBX."""
        async with self.vcond.running() as vcond:
            try:
                await vcond.until("status", lambda s: s["adapters"].get("asterisk", {}).get("attached"))
                yield vcond
            except BaseException:
                print(self.vcond.log)
                raise

    async def talking(
        self, vcond: Running, extension: str = "200", who: str = "agent", number: str = ""
    ) -> tuple[Any, Any, str]:
        """Caller, agent and uuid of a call that was answered and whose two parties are both listened to."""
        number = number or self.number
        caller = await self.farm.dial(extension, number)
        agent = await self.farm.ringing(who, number)
        await agent.answer()
        await caller.up()
        rows = await vcond.until("calls", lambda rows: any(row["parties"][0]["tel"] == number for row in rows))
        uuid = next(row["call"] for row in rows if row["parties"][0]["tel"] == number)
        await self.tapped(vcond, uuid, 2)
        return caller, agent, uuid

    async def tapped(self, vcond: Running, uuid: str, tracks: int) -> None:
        """Wait until a call has so many tracks."""
        await vcond.until("call", lambda call: len(call["tracks"]) >= tracks, call=uuid)

    async def moment(self, vcond: Running, uuid: str, party: int, event: str, button: str = "") -> None:
        """Wait for an event of the call's history."""
        wanted = (party, event, button)
        await vcond.until(
            "call", lambda call: wanted in [(m["party"], m["event"], m["button"]) for m in call["history"]], call=uuid
        )

    def played(self, seed: int) -> float:
        """When, by the clock that both PBXes and vcond share, a phone began with a voice. POSIX seconds."""
        return self._playback("PlaybackStarted", seed)

    def _playback(self, kind: str, seed: int) -> float:
        sound = f"sound:test/{self.number}-{seed}"
        return next(
            moment(event["timestamp"])
            for event in self.farm.ari.events
            if event["type"] == kind and event["playback"]["media_uri"] == sound
        )

    def slowness(self, seeds: list[int]) -> float:
        """By how many seconds the phones took longer for a phrase than it is long, at most."""
        taken = [self._playback("PlaybackFinished", seed) - self.played(seed) - PHRASE for seed in seeds]
        return max(0.0, *taken)

    def talked(self, phone: Any) -> float:
        """How long a caller's phone says that its call was answered, seconds."""
        times = {
            event["type"]: moment(event["timestamp"])
            for event in self.farm.ari.events
            if event["type"] in {"StasisStart", "ChannelDestroyed"} and event["channel"]["id"] == phone.channel
        }
        return times["ChannelDestroyed"] - times["StasisStart"]

    def talk_on(self, phone: Any, seed: int) -> Talk:
        """Somebody says phrase after phrase: voices ``seed``, ``seed + 2``, ..."""
        return Talk(self, phone, seed)

    async def nothing_of_ours_left(self) -> None:
        """No snoop, media channel or bridge of vcond is on the PBX; calls may be."""
        await super().nothing_left()

    async def nothing_left(self) -> None:
        """The PBX has no channel and no bridge in use: no helper of anybody, no call that hangs."""
        await self.nothing_of_ours_left()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(house.WITHIN):
                while await self.pbx.ask("GET", "/channels"):  # noqa: ASYNC110 - the PBX can only be asked
                    await asyncio.sleep(0.05)
        channels, bridges = await self.pbx.ask("GET", "/channels"), await self.pbx.ask("GET", "/bridges")
        assert [one["name"] for one in channels] == []
        # Asterisk keeps an empty bridge of a finished transfer for some seconds
        assert [one["id"] for one in bridges if one["channels"]] == []


@dataclass
class Talk:
    """One phone talks until ``enough`` is called; it finishes its phrase then."""

    site: Site
    phone: Any
    seed: int
    seeds: list[int] = field(default_factory=list)
    """What was said so far, the phrase of this moment last."""

    def __post_init__(self) -> None:
        self._enough = False
        self._task = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        while not self._enough:
            seed = self.seed + 2 * len(self.seeds)
            name = self.site.farm.voice(f"{self.site.number}-{seed}", voice(seed, PHRASE))
            self.seeds.append(seed)
            await self.phone.say(name)

    async def enough(self) -> None:
        """Let it finish the phrase."""
        self._enough = True
        await self._task


def moment(date: str) -> float:
    """POSIX seconds of a date of Asterisk or of a vCon."""
    return datetime.fromisoformat(date).timestamp()


class Judged:
    """A vCon: its call dialog, report, and what each party said."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.call = document["dialog"][0]
        self.start = moment(self.call["start"])
        self.audio: dict[int, np.ndarray] = {}
        for dialog in document["dialog"]:
            if "body" in dialog:
                body = dialog["body"]
                rate, frames = read_wav(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
                assert rate == RATE
                parties = dialog["parties"]
                self.audio |= {party: frames[:, channel] for channel, party in enumerate(parties)}
        self.report = self.attachment("vcond-capture-report")

    def attachment(self, purpose: str) -> Any:
        """Body of the attachment of that purpose."""
        return next(a["body"] for a in self.document["attachments"] if a["purpose"] == purpose)

    def fact(self, name: str) -> list[str]:
        """Values of a fact that stands in no field of its own."""
        return [fact["value"] for fact in self.attachment("vcond-facts") if fact["name"] == name]

    def check_whole(self, most: float = house.SLIP) -> float:
        """Nothing is lost but ``most`` seconds of a party, which the record says; how much it is."""
        lacks = [party["seconds"]["lost"] for party in self.report["parties"]]
        assert self.report["complete"] is not any(lacks), self.report["notes"]
        assert self.report["warnings"] == []
        assert max(lacks) <= most, self.report["notes"]
        return max(lacks)

    def check_lengths(self) -> None:
        """Every party's audio is as long as the recording says (in whole milliseconds)."""
        lengths = {len(audio) for audio in self.audio.values()}
        assert len(lengths) == 1
        assert abs(lengths.pop() - self.call["duration"] * RATE) <= RATE / 1000

    @property
    def moments(self) -> list[tuple[int, str]]:
        """(party, event) of the party history, digits as ``keydown5``."""
        return [(m["party"], m["event"] + m.get("button", "")) for m in self.call["party_history"]]

    def check_voices(self, said: dict[int, list[int]], seconds: float = SECONDS) -> tuple[float, float]:
        """Each party said its seeds and nobody else's; the worst figures."""
        everything = {seed for seeds in said.values() for seed in seeds}
        own = [likeness(voice(s, seconds), self.audio[p], house.SLIP) for p, seeds in said.items() for s in seeds]
        other = [
            likeness(voice(seed, seconds), self.audio[party])
            for party, seeds in said.items()
            for seed in everything - set(seeds)
        ]
        worst = min(own, default=1.0), max(other, default=0.0)
        print(f"correlation with the own voice at least {worst[0]:.3f}, with another one at most {worst[1]:.3f}")
        assert worst[0] >= OWN
        assert worst[1] <= OTHER
        return worst

    def check_places(self, site: Site, party: int, talk: Talk, gap: tuple[float, float], other: Talk) -> None:
        """Phrases of a party stand where it said them; of what the ``gap`` cut, what is left does.

        All are equally late: what came after the gap was not moved by it. Nothing of the other one is there. Phones or
        a PBX that were late themselves are allowed that much.
        """
        slow = site.late + site.slowness(talk.seeds)
        late, sides, scores, audio = [], set(), [], self.audio[party]
        for seed in talk.seeds:
            began, said = site.played(seed), voice(seed, PHRASE)
            for a, b, side in ((began, min(began + PHRASE, gap[0]), 0), (max(began, gap[1]), began + PHRASE, 1)):
                first, last = round((a - began) * RATE), round((b - began) * RATE)
                if last - first < RATE:
                    continue  # too little of it is left to be found
                place = round((a - self.start) * RATE)
                around = slice(max(0, place - RATE), place + last - first + RATE)
                score = likeness(said[first:last], audio[around], house.SLIP)
                lag = find(said[first:last], audio[around])[1]
                assert score >= OWN, (party, seed, side, score)
                late.append((around.start + lag - place) / RATE)
                scores.append(score)
                sides.add(side)
        foreign = max(likeness(voice(seed, PHRASE), audio) for seed in other.seeds)
        print(
            f"party {party}: {len(late)} phrases or parts with at least {min(scores):.3f}, {min(late):.3f} to"
            f" {max(late):.3f} s late, the phones up to {slow:.3f} s; of the other one at most {foreign:.3f}"
        )
        assert foreign <= OTHER
        assert sides == {0, 1}
        assert all(abs(one) <= LATE + slow for one in late), late
        assert max(late) - min(late) <= 0.1 + slow, late

    def check_gap(self, reason: str, stopped: float, slow: float) -> tuple[float, float]:
        """The one interruption: named, tagged, and silent in every channel. Its ends, POSIX seconds.

        ``stopped``: when vcond was told to end. What it had captured until then is kept but for a moment, and for the
        ``slow`` seconds by which the machine was behind.
        """
        (window,) = self.report["interruptions"]
        assert window["reason"] == reason
        assert "vcond_gap:true" in self.attachment("tags")
        assert any("capture interrupted" in note for note in self.report["notes"])
        tracks = [party["tracks"] for party in self.report["parties"][:2]]
        assert [len(one) for one in tracks] == [2, 2]
        closed, opened = ([moment(one[i][name]) for one in tracks] for i, name in enumerate(("closed", "opened")))
        assert max(closed) < min(opened)
        assert min(closed) > stopped - KEPT - slow
        first, last = (round((at - self.start) * RATE) for at in (max(closed) + 0.001, min(opened) - FIRST))
        assert all(not audio[first:last].any() for audio in self.audio.values())
        spent = moment(window["stop"]) - moment(window["start"])
        print(
            f"kept until {(min(closed) - stopped) * 1000:+.0f} ms from the {reason}, not attached for {spent:.2f} s,"
            f" without audio for {max(opened) - min(closed):.2f} s"
        )
        return min(closed), max(opened)
