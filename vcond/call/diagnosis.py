"""What is missing in a call's record, and why: codes, sentences and hints. The one table of them.

``vcond doctor`` shows them, the daemon logs and counts them at a call's end, and the vCon has them in its capture report
and in ``processing_warnings``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vcond.base.time import SECOND, Instant
from vcond.call.events import NO_ENGINE, SpanKind
from vcond.call.spans import HEARD
from vcond.call.state import Call, Track

LONG_HOLD: Final = 60
"""Seconds of a hold until a call's end from which on it is said."""
AT_THE_END: Final = 5
"""Seconds before a call's end in which a party that leaves stays in it to the end."""
PATIENCE: Final = 10
"""Seconds that a party of a call that goes on may be unheard."""
LEAST_LOST: Final = 1.0
"""Seconds of audio of one party that were lost, from which on it is said here: the capture report has all of it."""
OTHER: Final = "other"
"""In metrics, the code of a warning that a plug-in thought of."""

HARMLESS: Final = frozenset({"audio-while-inactive", "clock-stepped", "not-merged", "paused", "vocabulary"})
"""Codes of what is told and took nothing out of the record that should be in it."""
HINTS: Final[Mapping[str, str]] = {
    "audio-lost": "look for loss between the PBX and vcond, and at the load of this machine",
    "audio-missing": "look at free space where the PBX writes its audio",
    "audio-stopped": "look at the PBX's log for this moment, and at the network between it and vcond",
    "audio-while-inactive": "nothing is to be done: who sends it had said that it would not",
    "clock-stepped": "let the PBX's clock be kept by NTP (chrony)",
    "codec": "let the PBX send PCMU or PCMA",
    "comfort-noise": "the phone's microphone is off or its side of the call is muted; try another phone",
    "crash": "journalctl -u vcond says what ended it; what came meanwhile is nowhere",
    "cut-short": "keep vcond running while there are calls; journalctl -u vcond says what stopped it",
    "digital-silence": "the phone or trunk sends silence: look at its microphone, mute and codec",
    "disk": "free space on the disk of vcond.state_dir, or give it a faster one",
    "ended-unseen": "keep vcond running and attached: the end of the call came while it was not",
    "events-lost": "look at the network and the load between the PBX and vcond",
    "hold-not-ended": "when the parties did speak again: let the PBX tell of the end of a hold",
    "interrupted": "journalctl -u vcond says what stopped vcond at that time",
    "joined-late": "start vcond before there are calls",
    "journal-damaged": "look at the disk: its log (dmesg), its S.M.A.R.T. values, its free space",
    "limit": "report it: no call of people is so large",
    "merged-late": "nothing is to be done: the calls were found to be one after they had begun",
    "no-audio": "vcond check looks whether the PBX can reach vcond; then look at firewall and NAT between the two",
    "no-bye": "look at the network to the PBX: its end of the recording did not arrive",
    "no-engine": "set speech.engine and fetch a model: vcond model get",
    "not-delivered": "vcond outbox says why, and sends again",
    "not-merged": "nothing is to be done: the rest of the call is in the other record",
    "not-recorded": "free space on the disk of vcond.state_dir: no new call is recorded below vcond.min_free_mb",
    "not-transcribed": "vcond check says what is wrong with speech; the sound is in the record",
    "one-way-audio": "the other side is heard, so vcond is reached: look at this party's tap, NAT and direct media",
    "paused": "nothing is to be done: it was wanted",
    "stream-lost": "look at the network and the proxy between the platform and vcond",
    "tap-failed": "look at the PBX's log for what it refused, and at the rights of vcond's user there",
    "tap-stalled": "look at the load of the PBX",
    "texts-deferred": "there is more speech than this machine can transcribe: vcond bench speech says how much it can",
    "texts-failed": "journalctl -u vcond says what went wrong with speech",
    "vocabulary": "nothing is to be done: the words were recognised without the vocabulary",
    "wrong-codec": "compare the codec that is set up for the stream with the one that is sent, and its byte order",
}  # fmt: skip
"""By code: what to do when the adapter says nothing better (``hints.toml`` of its package). Also all codes of metrics."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is missing in a record, and its cause."""

    code: str
    text: str
    """A sentence without names, numbers of parties or words spoken."""
    party: int | None = None
    """None = of the whole call."""
    wrong: bool = True
    """False: it explains what is missing, and was wanted."""


def hint(code: str, own: Mapping[str, str] | None = None) -> str:
    """What to do about it. ``own``: what the adapter says."""
    return (own or {}).get(code) or HINTS.get(code, "")


def diagnose(call: Call, sounds: Mapping[int, str] | None = None, now: Instant | None = None) -> list[Diagnosis]:
    """All that is known to be missing, likely causes first.

    ``sounds``: by track what ``vcond.media.detect.sound_kind`` makes of it. ``now``: of a call that goes on.
    """
    found = [Diagnosis(one.code, one.text or one.code, wrong=one.code not in HARMLESS) for one in call.warnings]
    found += list(_interruptions(call))
    found += diagnose_audio(call, sounds, now)
    for party in call.parties:
        lost = sum(_seconds(track, SpanKind.LOST) for track in call.tracks if track.party == party.index)
        if lost >= LEAST_LOST:
            found.append(Diagnosis("audio-lost", f"party {party.index}: {lost:.1f} s of audio lost", party.index))
    found += [*_texts(call), *_pauses(call)]
    return list(dict.fromkeys(found))


def diagnose_audio(call: Call, sounds: Mapping[int, str] | None = None, now: Instant | None = None) -> list[Diagnosis]:
    """What is wrong with what came in of each party. A party without a track is missed when it is one of two."""
    sounds = sounds or {}
    found = []
    audible = {track.party for track in call.tracks if _audible(track, sounds)}
    since = call.answered if call.answered is not None else call.opened
    early = call.ended is None and (now if now is not None else call.last) < since + PATIENCE * SECOND
    unanswered = call.answered is None and (call.disposition is not None or not audible)
    for party in call.parties:
        tracks = [track for track in call.tracks if track.party == party.index]
        if party.index not in audible:
            if (tracks or len(call.parties) <= 2) and not unanswered and not early:
                code = "one-way-audio" if audible else "no-audio"
                found.append(Diagnosis(code, f"party {party.index}: no audio came in", party.index))
        elif told := _kind(tracks, sounds):
            found.append(Diagnosis(told[0], f"party {party.index}: {told[1]}", party.index))
    return [*found, *_holds(call, now)]


def _audible(track: Track, sounds: Mapping[int, str]) -> bool:
    return any(kind in HEARD for _, _, kind in track.spans) or sounds.get(track.index, "silence") != "silence"


def _kind(tracks: Sequence[Track], sounds: Mapping[int, str]) -> tuple[str, str] | None:
    kinds = {sounds[track.index] for track in tracks if track.index in sounds} - {"silence"}
    received = sum(track.spans.total(SpanKind.RECEIVED) for track in tracks)
    if not kinds and not received and any(track.spans.total(SpanKind.SILENT) for track in tracks):
        return "digital-silence", "only digital silence came in"
    if kinds == {"comfort-noise"}:
        return "comfort-noise", "only comfort noise came in, no voice"
    if kinds == {"noise"}:
        return "wrong-codec", "only loud noise came in, as of another codec or byte order"
    return None


def _holds(call: Call, now: Instant | None) -> Iterator[Diagnosis]:
    held: dict[int, Instant] = {}
    for moment in call.history:
        if moment.event == "hold":
            held.setdefault(moment.party, moment.at)
        elif moment.event in {"unhold", "drop"}:
            since = held.pop(moment.party, None)
            last = call.ended is not None and moment.at > call.ended - AT_THE_END * SECOND  # else it was a transfer
            if moment.event == "drop" and since is not None and last:
                yield from _hold(moment.party, since, moment.at)
    for party, since in held.items():
        yield from _hold(party, since, call.ended or now or call.last)


def _hold(party: int, since: Instant, until: Instant) -> Iterator[Diagnosis]:
    seconds = (until - since) // SECOND
    if seconds >= LONG_HOLD:
        yield Diagnosis("hold-not-ended", f"party {party}: a hold did not end, for {seconds} s", party)


def _interruptions(call: Call) -> Iterator[Diagnosis]:
    for window in call.interruptions:
        until = window.stop if window.stop is not None else call.ended or call.last
        text = f"capture interrupted for {max(until - window.start, 0) / SECOND:.1f} s ({window.reason or 'unknown'})"
        yield Diagnosis("crash" if window.reason == "crash" else "interrupted", text)


def _texts(call: Call) -> Iterator[Diagnosis]:
    waiting = len(call.untranscribed())
    failed: dict[str, int] = {}
    for one in call.speech.values():
        if one.failed:
            failed[one.failed] = failed.get(one.failed, 0) + 1
    late = waiting + failed.pop("deadline", 0)
    if late and (call.ended is not None or (call.speech_states and call.speech_states[-1].state == "deferred")):
        yield Diagnosis("texts-deferred", f"{late} utterances have no text yet")
    if count := failed.pop(NO_ENGINE, 0):
        yield Diagnosis("no-engine", f"{count} utterances have no text: there was no engine")
    if failed:
        yield Diagnosis("texts-failed", f"{sum(failed.values())} utterances have no text: {', '.join(sorted(failed))}")


def _pauses(call: Call) -> Iterator[Diagnosis]:
    if call.pauses:
        yield Diagnosis("paused", "recording was paused for a part of it", wrong=False)


def _seconds(track: Track, kind: SpanKind) -> float:
    return track.spans.total(kind) / track.rate
