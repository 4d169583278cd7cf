"""What was said in a vCon, as text, WebVTT (W3C, section 4) and SubRip. Names and words are from outside: nothing of them is markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec

from vcond.vcon import Document
from vcond.vcon.glance import TYPE, Spoken

TextForm = Literal["text", "vtt", "srt"]
MEDIA: Final[dict[TextForm, str]] = {"text": "text/plain", "vtt": "text/vtt", "srt": "application/x-subrip"}
_MIN: Final = 0.001
"""Seconds that a cue lasts at least: players show none that is shorter."""


def transcript(document: Document, form: TextForm) -> str:
    """All segments, one after another, with who spoke. Empty when there is no transcript."""
    return _FORMS[form](_spoken(document))


def _spoken(document: Document) -> list[tuple[float, float, str, str]]:
    """Start, end, name and text."""
    bodies = []
    for analysis in _list(document.get("analysis")):
        if isinstance(analysis, dict) and analysis.get("type") == TYPE:
            with suppress(msgspec.ValidationError):  # not ours: the findings of the vCon say so
                bodies.append(msgspec.convert(analysis.get("body"), Spoken))
    return lines(_list(document.get("parties")), bodies)


def lines(parties: list[Any], bodies: Iterable[Spoken]) -> list[tuple[float, float, str, str]]:
    """Start, end, name and text of all that was said, in order. Texts are one line each."""
    names = [_name(party, at) for at, party in enumerate(parties)]
    found = []
    for body in bodies:
        for one in body.segments:
            speaker = one.speaker
            name = names[speaker] if isinstance(speaker, int) and 0 <= speaker < len(names) else str(speaker or "")
            start = min(max(one.start, 0.0), 360_000.0)
            end = min(max(one.end, start + _MIN), 360_001.0)
            found.append((start, end, _line(name), _line(one.text)))
    return sorted(found)


def _name(party: Any, at: int) -> str:
    given = party if isinstance(party, dict) else {}
    return next(
        (text for key in ("name", "tel", "sip") if isinstance(text := given.get(key), str) and text), f"party {at}"
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _clock(seconds: float, point: str) -> str:
    whole, milli = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milli:03d}"


def _vtt(spoken: list[tuple[float, float, str, str]]) -> str:
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n<v {_escaped(name)}>{_escaped(text)}\n"
        for start, end, name, text in spoken
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _srt(spoken: list[tuple[float, float, str, str]]) -> str:
    return "\n".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_plain(f'{name}: {text}')}\n"
        for number, (start, end, name, text) in enumerate(spoken, 1)
    )


def _text(spoken: list[tuple[float, float, str, str]]) -> str:
    return "".join(f"{_clock(start, '.')}  {name}: {text}\n" for start, _, name, text in spoken)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    """Players of SubRip take what is in angle brackets and braces for markup, and nothing escapes it."""
    return text.translate(str.maketrans("<>{}", "()()"))


_FORMS: Final[dict[TextForm, Callable[[list[tuple[float, float, str, str]]], str]]] = {
    "text": _text, "vtt": _vtt, "srt": _srt,
}  # fmt: skip
