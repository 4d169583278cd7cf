"""What is missing in a call's record, and why: codes, sentences and hints. The one table of them.

``vcond doctor`` shows them, the daemon logs and counts them at a call's end, and the vCon has them in its capture report
and in ``processing_warnings``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vcond.base.time import SECOND, Instant
from vcond.call.events import NO_CONSENT, NO_ENGINE, SpanKind
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

HARMLESS: Final = frozenset(
    {"audio-while-inactive", "clock-stepped", "no-consent", "not-merged", "paused", "vocabulary"}
)
"""Codes of what is told and took nothing out of the record that should be in it."""
HINTS: Final[Mapping[str, str]] = {
    "audio-lost": "check for packet loss between the PBX and vcond, and the load of this machine",
    "audio-missing": "check the free space where the PBX writes its audio",
    "audio-stopped": "check the PBX's log at this time, and the network between it and vcond",
    "audio-while-inactive": "nothing to do: the sender had announced that it would not send",
    "clock-stepped": "synchronize the PBX's clock with NTP (chrony)",
    "codec": "let the PBX send PCMU or PCMA",
    "comfort-noise": "the phone's microphone is off or its side is muted; try another phone",
    "consent-unclear": "vcond_consent must be asked, granted, denied or withdrawn, and its party one of the call: docs/operations.md",
    "crash": "journalctl -u vcond shows why it stopped; what arrived meanwhile is lost",
    "cut-short": "keep vcond running during calls; journalctl -u vcond shows why it stopped",
    "digital-silence": "the phone or trunk sends silence: check its microphone, mute and codec",
    "disk": "free space on the disk of vcond.state_dir, or give it a faster one",
    "ended-unseen": "keep vcond running and attached: it was not when the call ended",
    "events-lost": "check the network between the PBX and vcond, and the load of both",
    "hold-not-ended": "if the parties spoke again: let the PBX signal the end of a hold",
    "interrupted": "journalctl -u vcond shows why vcond stopped then",
    "continued": "for one record: grace (after a lost connection) or stop_grace (after a stop) of the adapter above the gap; the fact continues names the record before",
    "joined-late": "start vcond before calls begin",
    "journal-damaged": "check the disk: dmesg, S.M.A.R.T. values, free space",
    "limit": "please report it: no normal call is so large",
    "merged-late": "nothing to do: the calls were found to be one after they had begun",
    "no-audio": "vcond check tests whether the PBX reaches vcond; then check firewall and NAT between the two",
    "no-bye": "check the network to the PBX: its end of the recording did not arrive",
    "no-consent": "nothing to do: what was not agreed to is not kept; [[policy]] and the announcement decide that",
    "no-engine": "set speech.engine and install a model: vcond model get",
    "not-delivered": "vcond outbox shows why; vcond outbox retry sends again",
    "not-merged": "nothing to do: the rest of the call is in the other record",
    "not-recorded": "free what was short at that time: disk space, memory, LimitNOFILE of the service, or raise vcond.max_calls",
    "not-transcribed": "vcond check shows what is wrong with speech; the audio is in the record",
    "one-way-audio": "audio of the other side arrives, so check this party's tap, NAT and direct media",
    "paused": "nothing to do: the recording was paused",
    "stream-lost": "check the network and the proxy between the platform and vcond",
    "tap-failed": "check the PBX's log for what it refused, and the rights of vcond's user there",
    "tap-stalled": "check the load of the PBX",
    "texts-deferred": "more speech than this machine can transcribe; vcond bench speech measures how much it can",
    "texts-failed": "journalctl -u vcond shows the error of speech",
    "vocabulary": "vcond check lists the words that the model does not have; the audio is in the record",
    "wrong-codec": "compare codec and byte order that are configured for the stream with those that are sent",
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
    found += [*_texts(call), *_pauses(call), *_withheld(call)]
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
        if party.index not in audible and call.consents.withheld(party.index, "recording"):
            continue  # it may have spoken
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
    failed.pop(NO_CONSENT, 0)
    if count := failed.pop(NO_ENGINE, 0):
        yield Diagnosis("no-engine", f"{count} utterances have no text: there was no engine")
    if failed:
        yield Diagnosis("texts-failed", f"{sum(failed.values())} utterances have no text: {', '.join(sorted(failed))}")


def _pauses(call: Call) -> Iterator[Diagnosis]:
    if call.pauses:
        yield Diagnosis("paused", "recording was paused for a part of it", wrong=False)


def _withheld(call: Call) -> Iterator[Diagnosis]:
    for party in call.parties:
        if call.consents.withheld(party.index, "recording"):
            text = f"party {party.index}: not all of it is kept, for want of consent"
            yield Diagnosis("no-consent", text, party.index, wrong=False)


def _seconds(track: Track, kind: SpanKind) -> float:
    return track.spans.total(kind) / track.rate
