"""What a vCon says was said and pressed, as a conversation for finders, with the way back to where each word stands.

Read are transcriptions of draft-howe-vcon-wtf-extension-02 and transcripts in the flat shape of a Deepgram answer, of
vcond or of anybody else. A transcript beside a transcription of the same sound is not read: it says the same once more.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from vcond.base.time import SECOND, parse_rfc3339
from vcond.call.events import BUTTONS, Button
from vcond.redaction.contract import Conversation, KeyPressed, SpokenWord, Turn
from vcond.vcon.model import WTF, Document
from vcond.vcon.validation.findings import indices, listed

NOBODY: Final = -1
"""The party of words of which nobody says whose they are."""
LONGEST: Final = 48 * 3600.0
"""Seconds: what is said to be later in a dialog has a wrong time."""
_PAUSE: Final = 1.5
"""Seconds without a word after which a transcript that knows no turns begins a new one."""
_SLACK: Final = 2.0
"""Seconds that the times of a word may lie outside of its turn."""
_LONGEST_WORD: Final = 10.0


@dataclass(frozen=True, slots=True)
class Line:
    """A turn, where it stands, and what is known beside it."""

    turn: Turn
    analysis: int
    """Index of the analysis."""
    clock: int
    """Which time its dialog has: ``Dialogs.clock``."""
    origin: float
    """Seconds on that clock at which its dialog begins."""
    segment: Mapping[str, Any]
    """The segment as it was; empty of a transcript."""
    confidences: tuple[float, ...]
    """0 to 1, by word."""
    timed: bool
    """Whether its words have times, and are those of its text."""
    placed: bool
    """Whether it says what was said when. It stands for a whole dialog without a time, and for no sound without a text."""
    place: int = 0
    """Among the turns of its analysis."""


@dataclass(slots=True)
class Dialogs:
    """When each dialog begins."""

    items: list[dict[str, Any]]
    zero: int | None = None
    """The first moment of all, in nanoseconds since the epoch; None = no dialog says when it began."""

    @classmethod
    def of(cls, document: Document) -> Dialogs:
        """Those of a vCon."""
        made = cls([item if isinstance(item, dict) else {} for item in listed(document, "dialog")])
        moments = [at for index in range(len(made.items)) if (at := made._began(index)) is not None]
        made.zero = min(moments, default=None)
        return made

    def clock(self, index: int) -> int:
        """-1 of dialogs that have a date: they lie beside one another. Each of the others has a time of its own."""
        return -1 if self._began(index) is not None else self.whole(index)

    def origin(self, index: int) -> float:
        """Seconds on its clock."""
        at = self._began(index)
        return 0.0 if at is None or self.zero is None else (at - self.zero) / SECOND

    def whole(self, index: int) -> int:
        """The recording-set that a recording belongs to, else the dialog itself."""
        above = self._index(self.items[index].get("recording_set"))
        return index if above is None else above

    def parties(self, index: int) -> list[int]:
        """Indices of parties, if the dialog names them flat."""
        return indices(self.items[index].get("parties"))

    def named(self, item: Mapping[str, Any]) -> int | None:
        """The one dialog that an analysis names."""
        value = item.get("dialog")
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return self._index(value)

    def _index(self, value: object) -> int | None:
        known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.items)
        return value if known and isinstance(value, int) else None

    def _began(self, index: int) -> int | None:
        for one in (index, self.whole(index)):
            try:
                return parse_rfc3339(self.items[one]["start"])
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
        return None


@dataclass(slots=True)
class Reading:
    """What was found in a vCon."""

    dialogs: Dialogs
    conversation: Conversation = field(default_factory=Conversation)
    lines: list[Line] = field(default_factory=list)
    """By ``Turn.number``."""
    sources: dict[int, int] = field(default_factory=dict)
    """Analyses that were read, with the dialog of each."""
    copies: dict[int, int] = field(default_factory=dict)
    """Transcripts that repeat what was read in another analysis, with the dialog of each."""
    moments: dict[tuple[int, int], tuple[int, float, float | None]] = field(default_factory=dict)
    """By party and place of a key: its dialog, and when it went down and up, in seconds on the common clock (-1 = not known)."""
    pressed: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """By dialog and place in its party history: party and place of the key that goes down or up."""


def read(document: Document) -> Reading:
    """Read a vCon of today's form (``upgrade``)."""
    made = Reading(Dialogs.of(document))
    analyses = [item if isinstance(item, dict) else {} for item in listed(document, "analysis")]
    lines: list[Line] = []
    for at, item in enumerate(analyses):
        dialog = made.dialogs.named(item)
        if item.get("type") == WTF and dialog is not None and _is_wtf(item.get("body")):
            made.sources[at] = dialog
            lines += _of_wtf(item["body"], at, dialog, made.dialogs)
    for at, item in enumerate(analyses):
        dialog = made.dialogs.named(item)
        if item.get("type") != "transcript" or dialog is None or not _is_flat(item.get("body")):
            continue
        if {dialog, made.dialogs.whole(dialog)} & {made.sources[one] for one in made.sources}:
            made.copies[at] = dialog
        elif item["body"]["words"] or not item["body"]["transcript"]:
            made.sources[at] = dialog
            lines += _of_flat(item["body"], at, dialog, made.dialogs)
    counts: Counter[int] = Counter()
    for at, line in enumerate(lines):
        lines[at] = replace(line, place=counts[line.analysis])
        counts[line.analysis] += 1
    lines.sort(key=lambda line: line.turn.start)
    made.lines = [_numbered(line, number) for number, line in enumerate(lines)]
    made.conversation = Conversation(tuple(line.turn for line in made.lines), tuple(_keys(made)))
    return made


def of_text(text: str, *, dialog: int = 0, party: int = NOBODY) -> Conversation:
    """A text that was written, as a turn of which no times are known."""
    words = tuple(SpokenWord(dialog, party, 0, at, word) for at, word in enumerate(text.split()))
    return Conversation((Turn(0, dialog, party, 0.0, 0.0, words),))


def plain(text: str) -> str:
    """Letters and digits alone, to compare texts by."""
    return " ".join(re.findall(r"\w+", text.lower()))


def seconds(value: object) -> float | None:
    """A time within a dialog, or None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= LONGEST else None


def share(value: object) -> float:
    """A confidence, 0 where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0.0
    return min(max(float(value), 0.0), 1.0)


def _is_wtf(body: object) -> bool:
    return (
        isinstance(body, dict)
        and isinstance(body.get("transcript"), dict)
        and isinstance(body.get("segments"), list)
        and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in body["segments"])
    )


def _is_flat(body: object) -> bool:
    return (
        isinstance(body, dict)
        and isinstance(body.get("transcript"), str)
        and isinstance(body.get("words"), list)
        and all(isinstance(one, dict) and isinstance(one.get("word"), str) for one in body["words"])
    )


def _party(value: object, dialogs: Dialogs, dialog: int) -> int:
    """Whose a segment is: the index that vcond writes, or the only party of the dialog."""
    known = dialogs.parties(dialog)
    if isinstance(value, int) and not isinstance(value, bool) and value in known:
        return value
    return known[0] if len(known) == 1 else NOBODY


def _of_wtf(body: dict[str, Any], analysis: int, dialog: int, dialogs: Dialogs) -> Iterator[Line]:
    told = [one for one in listed(body, "words") if isinstance(one, dict) and isinstance(one.get("text"), str)]
    by_id = {one["id"]: one for one in told if isinstance(one.get("id"), (int, str))}
    language = body["transcript"].get("language")
    for segment in body["segments"]:
        own = [by_id[one] for one in listed(segment, "words") if isinstance(one, (int, str)) and one in by_id]
        start, end = seconds(segment.get("start")), seconds(segment.get("end"))
        if not own and start is not None and end is not None:
            own = [
                one for one in told
                if (began := seconds(one.get("start"))) is not None and start <= began < end
                and one.get("speaker") == segment.get("speaker")
            ]  # fmt: skip
        party = _party(segment.get("speaker"), dialogs, dialog)
        yield _line(
            own, segment["text"], (start, end), party, analysis, dialog, dialogs, segment,
            language if isinstance(language, str) and language != "und" else "",
        )  # fmt: skip


def _of_flat(body: dict[str, Any], analysis: int, dialog: int, dialogs: Dialogs) -> Iterator[Line]:
    language = body.get("detected_language")
    groups: list[list[dict[str, Any]]] = []
    until, who = 0.0, None
    for word in body["words"]:
        start, end = seconds(word.get("start")), seconds(word.get("end"))
        if not groups or word.get("speaker") != who or (start is not None and start > until + _PAUSE):
            groups.append([])
        groups[-1].append({**word, "text": str(word.get("punctuated_word") or word["word"])})
        until, who = until if end is None else end, word.get("speaker")
    for own in groups:
        times = [seconds(one.get(name)) for one in own for name in ("start", "end")]
        known = [one for one in times if one is not None]
        span = (min(known), max(known)) if len(known) == len(times) else (None, None)
        party = _party(own[0].get("speaker"), dialogs, dialog)
        text = " ".join(one["text"] for one in own)
        yield _line(
            own, text, span, party, analysis, dialog, dialogs, {"speaker": own[0].get("speaker")},
            language if isinstance(language, str) and language != "und" else "",
        )  # fmt: skip


def _line(
    own: list[dict[str, Any]],
    text: str,
    span: tuple[float | None, float | None],
    party: int,
    analysis: int,
    dialog: int,
    dialogs: Dialogs,
    segment: Mapping[str, Any],
    language: str,
) -> Line:  # fmt: skip
    """Words that are not those of the text have no times: what the text has beside them would be missed."""
    origin = dialogs.origin(dialog)
    start, end = span
    placed = start is not None and end is not None and end >= start
    if start is None or end is None or end < start:
        start, end = 0.0, LONGEST  # somewhere in the dialog
    placed = placed and plain(text) != ""
    timed = bool(own) and plain(" ".join(one["text"] for one in own)) == plain(text)
    texts = [one["text"] for one in own] if timed else text.split()
    times = [_times(one, start, end) for one in own] if timed else [(None, None)] * len(texts)
    words = tuple(SpokenWord(dialog, party, 0, at, word, *times[at]) for at, word in enumerate(texts))
    turn = Turn(0, dialog, party, origin + start, origin + end, words, language)
    sure = tuple(share(one.get("confidence")) for one in own) if timed else (0.0,) * len(words)
    return Line(turn, analysis, dialogs.clock(dialog), origin, segment, sure, timed, placed)


def _times(word: dict[str, Any], start: float, end: float) -> tuple[float | None, float | None]:
    """When a word was said, unless that cannot be."""
    begin, stop = seconds(word.get("start")), seconds(word.get("end"))
    if begin is None or stop is None or not 0 <= stop - begin <= _LONGEST_WORD:
        return None, None
    return (begin, stop) if start - _SLACK <= begin and stop <= end + _SLACK else (None, None)


def _numbered(line: Line, number: int) -> Line:
    old = line.turn
    words = tuple(
        SpokenWord(word.dialog, word.party, number, word.index, word.text, word.start, word.end) for word in old.words
    )
    turn = Turn(number, old.dialog, old.party, old.start, old.end, words, old.language)
    return replace(line, turn=turn)


def _keys(made: Reading) -> Iterator[KeyPressed]:
    """Every key that a party history has, by time; of one whose time cannot be read the time is not known."""
    found: list[_Key] = []
    for dialog, item in enumerate(made.dialogs.items):
        down: dict[int, _Key] = {}
        for place, moment in enumerate(listed(item, "party_history")):
            if not isinstance(moment, dict) or not isinstance(party := moment.get("party"), int):
                continue
            at = _moment(moment, made.dialogs)
            button = BUTTONS.get(str(moment.get("button")))
            if moment.get("event") == "keydown" and button is not None:
                down[party] = _Key(dialog, party, button, at, [place])
                found.append(down[party])
            elif moment.get("event") == "keyup" and party in down:
                key = down.pop(party)
                key.up = at
                key.places.append(place)
    counts: Counter[int] = Counter()
    for key in sorted(found, key=lambda one: one.at):
        index = counts[key.party]
        counts[key.party] += 1
        made.moments[key.party, index] = (key.dialog, key.at, key.up)
        made.pressed |= {(key.dialog, place): (key.party, index) for place in key.places}
        yield KeyPressed(key.party, index, key.at, key.digit)


@dataclass(slots=True)
class _Key:
    dialog: int
    party: int
    digit: Button
    at: float
    places: list[int]
    up: float | None = None


def _moment(moment: dict[str, Any], dialogs: Dialogs) -> float:
    try:
        at = parse_rfc3339(moment["time"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return -1.0
    return -1.0 if dialogs.zero is None else (at - dialogs.zero) / SECOND
