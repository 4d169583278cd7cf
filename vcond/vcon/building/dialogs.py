"""The dialogs of a call: its recording or recordings, its transfers, or the attempt that nobody answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vcond.call.causes import disposition
from vcond.call.events import Transferred
from vcond.call.state import Call
from vcond.vcon.building.attributes import Attributes, of_dialog
from vcond.vcon.building.capture_report import Capture
from vcond.vcon.building.mix import View, over
from vcond.vcon.building.party_history import history
from vcond.vcon.dates import date

Layout = Literal["together", "apart"]
"""One file with a channel a party, or a recording-set with a file a party."""


@dataclass(slots=True)
class Dialogs:
    """The dialogs, and which of them want audio: by index the parties whose mixes are its channels."""

    items: list[dict[str, Any]] = field(default_factory=list)
    files: dict[int, list[int]] = field(default_factory=dict)
    main: int = 0
    """The dialog that stands for the whole conversation."""
    notes: list[str] = field(default_factory=list)
    """What could not be said in a dialog."""


def voices(call: Call, taken: Capture) -> list[int]:
    """The parties that get a channel: both of a two-party call, whatever came of them; else those that were heard."""
    everyone = [party.index for party in call.parties]
    return everyone if len(everyone) <= 2 else (taken.audible or everyone[:2])


def layouts(call: Call, taken: Capture) -> tuple[Layout, ...]:
    """How the audio may be laid out, the wanted one first."""
    count = len(voices(call, taken))
    if count > 2:
        return ("apart",)
    return ("together", "apart") if count == 2 else ("together",)


def dialogs(call: Call, taken: Capture, facts: Attributes, layout: Layout) -> Dialogs:
    """All dialogs of the call; the audio is still to be put in."""
    made = Dialogs()
    if taken.unanswered:
        made.items.append(_incomplete(call, facts))
        if taken.audible:
            made.notes.append("audio from before an answer came in and is not in the record")
    elif layout == "together":
        _together(made, call, taken, facts)
    else:
        _apart(made, call, taken, facts)
    for event in call.transfers:
        _transfer(made, call, taken, event)
    return made


def _incomplete(call: Call, facts: Attributes) -> dict[str, Any]:
    parties = [party.index for party in call.parties]
    found: dict[str, Any] = {
        "type": "incomplete",
        "start": date(call.opened),
        "duration": round(max(over(call) - call.opened, 0) / 1e9, 3),
    }
    if parties:
        found["parties"] = parties
    found["disposition"] = (call.disposition or disposition(call.cause)).value
    return _described(found, call, facts, parties)


def _described(found: dict[str, Any], call: Call, facts: Attributes, parties: list[int]) -> dict[str, Any]:
    """A dialog of the whole conversation with all that goes with it."""
    found["application"] = call.adapter
    found |= of_dialog(facts, parties)
    if moments := history(call):
        found["party_history"] = moments
    return found


def _recording(shown: View, parties: list[int]) -> dict[str, Any]:
    """A recording without content. Party 0 is the caller; the originator is said where it does not come first."""
    found: dict[str, Any] = {"type": "recording", "start": date(shown.start), "duration": shown.seconds}
    if parties:
        found["parties"] = parties
        if parties[0] != 0:
            found["originator"] = 0
    return found


def _together(made: Dialogs, call: Call, taken: Capture, facts: Attributes) -> None:
    parties = voices(call, taken)
    made.items.append(_described(_recording(taken.shown, parties), call, facts, parties))
    if parties:
        made.files[0] = parties


def _apart(made: Dialogs, call: Call, taken: Capture, facts: Attributes) -> None:
    everyone = [party.index for party in call.parties]
    heard = voices(call, taken)
    whole = _recording(taken.shown, everyone)
    whole["type"] = "recording-set"
    whole["recordings"] = list(range(1, len(heard) + 1))
    made.items.append(_described(whole, call, facts, everyone))
    for index, party in enumerate(heard, start=1):
        one = _recording(taken.shown, [party])
        one["recording_set"] = 0
        one["application"] = call.adapter
        made.items.append(one)
        made.files[index] = [party]


def _transfer(made: Dialogs, call: Call, taken: Capture, event: Transferred) -> None:
    """A transfer. The whole conversation is one recording, so it is original, consultation and target alike, as far
    as the parties of those legs are heard in it; what is not there is stood in for by a placeholder.
    """
    count = len(call.parties)
    transferee, transferor, target = (
        index if index is not None and 0 <= index < count else None
        for index in (event.transferee, event.transferor, event.target)
    )
    found: dict[str, Any] = {"type": "transfer", "start": date(event.at), "application": call.adapter}
    named = {"transferee": transferee, "transferor": transferor, "transfer_target": target}
    found |= {name: index for name, index in named.items() if index is not None}
    if made.items[made.main]["type"] != "incomplete":
        found["original"] = made.main
    there = target is not None and target in taken.audible and "original" in found
    if event.outcome == "success" and there:
        found["target_dialog"] = made.main
    else:
        found["target_dialog"] = len(made.items)
        made.items.append(_placeholder(event, transferee, target))
    if event.kind == "attended" and there:
        found["consultation"] = made.main
    made.items.append(found)


def _placeholder(event: Transferred, transferee: int | None, target: int | None) -> dict[str, Any]:
    """Stands for the leg to the target: set up but not recorded, or never set up (core-04 section 4.3)."""
    parties = [index for index in (transferee, target) if index is not None]
    success = event.outcome == "success"
    found: dict[str, Any] = {"type": "recording" if success else "incomplete", "start": date(event.at)}
    if parties:
        found["parties"] = parties
    if not success:
        found["disposition"] = "failed"
    return found
