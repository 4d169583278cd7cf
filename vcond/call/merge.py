"""Two calls that turn out to be one conversation: the second's history in the words of the first.

An attended transfer from a desk phone is the usual case: the consultation was a call of its own until it was joined.
Pure: the journal links the audio files, the core moves the live tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from vcond.base.time import Instant, samples
from vcond.call import events as ev
from vcond.call.state import Call

_LEFT_OUT = (
    ev.CallOpened, ev.Directed, ev.CallEnded, ev.MergedInto, ev.Amending, ev.Published, ev.SpeechState, ev.Unknown,
    ev.AdapterState,
)  # fmt: skip
AGAIN = ".again"
"""Behind the name of a fact of a party that came back: the first leg's stays."""


@dataclass(slots=True)
class Merge:
    """What taking one call into another means."""

    event: ev.Merged
    """To be appended to the journal of the call that stays."""
    parties: Mapping[int, int]
    """Party index there to party index here."""
    tracks: Mapping[int, int]
    utterances: Mapping[int, int]
    files: Mapping[str, str]
    """Audio file there to audio file here."""
    shifts: Mapping[int, int] = field(default_factory=dict)
    """Track index HERE to the samples that a position in its file lies before the position in this call."""


def merge(into: Call, other: Call, history: Iterable[ev.Event], *, at: Instant) -> Merge:
    """Translate ``history`` (all events of ``other``) for ``into``.

    A party that both know by the same key is one party. Positions in tracks move by the distance of the two zeros.
    A fact of the whole other call that this one has otherwise (what was dialled, its id) becomes one of the other's caller;
    one of a party that this one has otherwise (the id of its leg) stands beside it, with ``AGAIN`` behind its name.
    """
    parties: dict[int, int] = {}
    here: dict[int, bool] = {}
    new = len(into.parties)
    for party in other.parties:
        twin = into.party_by_key(party.key)
        parties[party.index] = twin.index if twin else new
        here[parties[party.index]] = twin is not None and twin.here
        new += twin is None
    tracks = {track.index: len(into.tracks) + i for i, track in enumerate(other.tracks)}
    files = {track.file: f"{tracks[track.index]}.pcm" for track in other.tracks}
    moved = {track.index: samples(other.opened - into.opened, track.rate) for track in other.tracks}
    shifts = {tracks[track.index]: track.shift + moved[track.index] for track in other.tracks}
    first = 1 + max(into.speech, default=-1)
    utterances = {old: first + i for i, old in enumerate(other.speech)}
    spoken_in = {old: speech.utterance.track for old, speech in other.speech.items()}
    told = {fact.name: fact.value for fact in into.facts if fact.party is None}
    told_of = {(fact.name, fact.party): fact.value for fact in into.facts if fact.party is not None}

    def translated(event: ev.Event) -> ev.Event | None:
        plain = ev.encode(event)
        if (
            isinstance(event, ev.CallAttribute)
            and event.party is None
            and told.get(event.name, event.value) != event.value
        ):
            if not parties or event.name.startswith("speech_"):
                return None  # nobody to give it to, or about us
            plain["party"] = 0
        if isinstance(event, ev.CallAttribute) and event.party is not None:
            twin = parties.get(event.party, event.party)
            if told_of.get((event.name, twin), event.value) != event.value:
                plain["name"] = event.name + AGAIN
        for name in ("party", "transferor", "transferee", "target", "by"):
            if isinstance(plain.get(name), int):
                plain[name] = parties.get(plain[name], plain[name])
        if isinstance(event, ev.PartyJoined):
            if here.get(plain["party"], False):
                return ev.PartyDescribed(at=event.at, party=plain["party"], who=event.who)
            here[plain["party"]] = True
        elif isinstance(event, ev.PartyLeft):
            if not here.get(plain["party"], False):
                return None
            here[plain["party"]] = False
        if isinstance(event, ev.TrackOpened):
            number = tracks.get(event.track, event.track)
            plain |= {"track": number, "file": f"{number}.pcm", "shift": event.shift + moved.get(event.track, 0)}
        elif isinstance(event, ev.Span | ev.TrackClosed | ev.Utterance):
            by = moved.get(event.track, 0)
            plain["track"] = tracks.get(event.track, event.track)
            plain |= {name: plain[name] + by for name in ("start", "stop", "samples") if name in plain}
        if "utterance" in plain:
            by = moved.get(spoken_in.get(plain["utterance"], -1), 0)
            plain["utterance"] = utterances.get(plain["utterance"], plain["utterance"])
            for word in plain.get("words", ()):
                word["start"], word["stop"] = word["start"] + by, word["stop"] + by
        return ev.decode(plain)

    kept = (translated(event) for event in _unfolded(history) if not isinstance(event, _LEFT_OUT))
    merged = ev.Merged(at=at, call=other.uuid, events=[ev.encode(event) for event in kept if event is not None])
    return Merge(merged, parties, tracks, utterances, files, shifts)


def _unfolded(history: Iterable[ev.Event]) -> Iterator[ev.Event]:
    """The same history with that of calls merged earlier beside their ``Merged``, not inside it, to be translated too."""
    for event in history:
        if isinstance(event, ev.Merged):
            yield msgspec.structs.replace(event, events=[])
            yield from _unfolded(ev.decode(plain) for plain in event.events)
        else:
            yield event
