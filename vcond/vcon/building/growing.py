"""What of a call that goes on can be compressed by now, so that its end has only the rest to do.

It guesses what ``build`` will want, and nothing depends on it: ``build`` takes a piece by a hash of what it is made of,
and makes what it does not find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from vcond.base.time import SECOND, Instant, samples
from vcond.call.spans import HEARD
from vcond.call.state import Call, Track
from vcond.vcon.building.audio_forms import LEAST, base64_size, exact, flac_size, smaller
from vcond.vcon.building.build import HOPE
from vcond.vcon.building.mix import PartyMix, pauses, view, withheld
from vcond.vcon.building.opus_pieces import FIRST_SAMPLED, SAMPLED, SECONDS, OpusFile, Pieces
from vcond.vcon.building.sound import Sound

SETTLED: Final = 60 * SECOND
"""Audio is left alone for so long: late packets and a pause that is told late (``TAKEN_BACK``) change what is younger."""
_WORD, _UTTERANCE = 130, 700
"""Characters that they take in a vCon, about."""
_AHEAD: Final = 1.05
"""How much longer than it is a call may become before its next form is ready."""
_SURE: Final = 6
"""Pieces that tell how large a file becomes."""
_AGAIN: Final = 60
"""Seconds after which it is asked anew whether FLAC holds the call."""
_Key = tuple[int, int, int]
"""A piece: the number of its step, of its file, and its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """The files of a recording in one form."""

    kbps: int
    """Of Opus, kbit/s a channel."""
    files: tuple[tuple[int, ...], ...]
    """The parties that are the channels of each."""


@dataclass(frozen=True, slots=True)
class Growing:
    """What is settled of a call's recording, at one moment: does not change with the call's state."""

    rate: int
    total: int
    """Frames, with those that are not settled."""
    room: int
    """Characters that the audio may take."""
    steps: tuple[Step, ...]
    """What ``build`` tries, one after another."""
    mixes: dict[int, PartyMix]
    """By party."""
    origins: dict[int, tuple[object, ...]]
    """By party, what its mix is made of."""

    def file(self, step: int, number: int) -> OpusFile:
        """A file, as far as it is settled."""
        one = self.steps[step]
        return OpusFile([self.mixes[party] for party in one.files[number]], self.rate, one.kbps)

    def made_of(self, key: _Key) -> tuple[object, ...]:
        """All that decides how a piece is made, but for the samples of settled audio. Empty: there is no such piece."""
        step, number, piece = key
        if step >= len(self.steps) or number >= len(self.steps[step].files):
            return ()
        one, (start, stop) = self.steps[step], self.file(step, number).needs(piece)
        silences = [tuple(self.mixes[party].silent(start, stop)) for party in one.files[number]]
        return (self.rate, one.kbps, *(self.origins[party] for party in one.files[number]), *silences)

    def too_large(self, step: int, size: float) -> bool:
        """Whether the form does not hold the call, when a piece of a file has so many bytes on average."""
        pieces = self.total / (SECONDS * self.rate) * len(self.steps[step].files)
        return base64_size(int(size * pieces)) > self.room

    def fits_as_flac(self) -> bool:
        """Whether it needs no Opus, as it looks now."""
        files = [self.file(0, number).channels for number in range(len(self.steps[0].files))]
        sizes = [flac_size(channels, self.rate) * self.total // channels[0].frames for channels in files]
        return sum(map(base64_size, sizes)) <= self.room


def growing(call: Call, now: Instant, sound: Callable[[Track, int], Sound], limit: int | None) -> Growing | None:
    """What can be compressed of a call; ``sound`` reads the samples of a track, from the call's zero to a position.

    None when there is nothing to do: nobody answered, all still fits into ``limit`` bytes as it is, or the tracks
    differ in rate, which is rare and left for the end.
    """
    if limit is None or call.answered is None or not call.tracks:
        return None
    shown = view(call, call.tracks)
    rate, total = shown.rate, samples(max(now - shown.start, 0), shown.rate)
    files = _files(call)
    whole = sum(base64_size(exact(call.tracks, rate).least(len(parties), rate, total)) for parties in files)
    frames = samples(now - SETTLED - shown.start, rate)
    if whole <= limit or frames <= 0 or any(track.rate != rate for track in call.tracks):
        return None
    shown = replace(shown, stop=Instant(now - SETTLED), frames=frames)
    silences = pauses(call, shown)
    mixes, origins = {}, {}
    for party in {party for parties in files for party in parties}:
        tracks = [track for track in call.tracks if track.party == party]
        sources = [(-shown.origin, sound(track, shown.origin + frames)) for track in tracks]
        mixes[party] = PartyMix(shown, sources, silences + withheld(call, shown, party))
        origins[party] = (shown.origin, *((track.file, track.shift) for track in tracks))
    return Growing(rate, total, limit - _texts(call), tuple(_steps(files, rate)), mixes, origins)


class Squeezed:
    """The pieces of one call that are made, and what comes next."""

    def __init__(self) -> None:
        self._made: dict[_Key, tuple[tuple[object, ...], str, int]] = {}
        """What each was made of, its name, its size."""
        self._steps: tuple[Step, ...] = ()
        self._step = 0
        self._asked_at = 0

    @property
    def names(self) -> set[str]:
        """Of the pieces that are the call's, as far as it was looked at."""
        return {name for _, name, _ in self._made.values()}

    def drop(self, now: Growing) -> bool:
        """Take the call as it is now; whether some pieces are of a call that it was: a merge, a pause that was told late."""
        if now.steps != self._steps:
            self._steps, self._step = now.steps, 0
        old = [key for key, (made_of, _, _) in self._made.items() if made_of != now.made_of(key)]
        for key in old:
            del self._made[key]
        return bool(old)

    def make(self, now: Growing, kept: Pieces) -> bool:
        """Make one piece, unless it is kept. False: there is nothing to do by now."""
        if not self._made and now.total >= self._asked_at:
            self._asked_at = now.total + _AGAIN * now.rate if now.fits_as_flac() else 0
        if self._asked_at:
            return False
        while self._step < len(now.steps) - 1 and self._is_too_large(now, self._step, _AHEAD):
            self._step += 1
        key = next((key for key in self._wanted(now) if key not in self._made), None)
        if key is None:
            return False
        named = _Named(kept)
        body = now.file(*key[:2]).piece(key[2], named)
        self._made[key] = (now.made_of(key), named.name, len(body))
        return True

    def _wanted(self, now: Growing) -> Iterator[_Key]:
        """All pieces of the form that is to be, and of those before it what tells ``build`` that they do not fit."""
        for step in range(self._step, -1, -1):
            over = step < self._step and (
                base64_size(sum(self._sizes(step))) > now.room or self._is_too_large(now, step, HOPE)
            )
            settled = now.file(step, 0).settled
            for piece in range(FIRST_SAMPLED, settled, SAMPLED) if over else range(settled):
                yield from ((step, number, piece) for number in range(len(now.steps[step].files)))

    def _sizes(self, of: int) -> list[int]:
        return [size for (step, _, _), (_, _, size) in self._made.items() if step == of]

    def _is_too_large(self, now: Growing, step: int, hope: float) -> bool:
        sizes = self._sizes(step)
        return len(sizes) >= _SURE and now.too_large(step, hope * sum(sizes) / len(sizes))


class _Named:
    """Notes the name of the one piece that is asked for."""

    def __init__(self, kept: Pieces) -> None:
        self._kept, self.name, self.put = kept, "", kept.put

    def get(self, name: str) -> bytes | None:
        """See ``Pieces``."""
        self.name = name
        return self._kept.get(name)


def _files(call: Call) -> list[tuple[int, ...]]:
    """As ``dialogs`` lays the recording out, by what came in until now."""
    everyone = tuple(party.index for party in call.parties)
    if len(everyone) <= 2:
        return [everyone] if everyone else []
    heard = {track.party for track in call.tracks if any(kind in HEARD for _, _, kind in track.spans)}
    voices = sorted(heard) or everyone[:2]
    return [(party,) for party in voices] if len(voices) > 2 else [tuple(voices)]


def _steps(files: list[tuple[int, ...]], rate: int) -> Iterator[Step]:
    apart = len(files) > 1
    for recipe in smaller(rate, apart=apart):
        if recipe.kbps:
            yield Step(recipe.kbps, tuple(files))
    if not apart and len(files[0]) == 2:
        for recipe in LEAST:
            yield Step(recipe.kbps, tuple((party,) for party in files[0]))


def _texts(call: Call) -> int:
    """Characters that the texts take in the vCon, about."""
    words = sum(len(said.transcript.words) for said in call.speech.values() if said.transcript is not None)
    return words * _WORD + len(call.speech) * _UTTERANCE + 8192
