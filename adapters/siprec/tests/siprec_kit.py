"""Messages of recording clients from the data of these tests."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / "data"


class Message(NamedTuple):
    headers: list[tuple[str, str]]
    content_type: str
    body: bytes


def message(name: str) -> Message:
    """``shapes/01``, ``opensips/10.5-plain-01``, ``jambonz/default-invite``: the file whose name begins so."""
    (file,) = DATA.glob(f"{name}*")
    return message_of(file.read_bytes(), text=file.suffix != ".sip")


def message_of(raw: bytes, *, text: bool = False) -> Message:
    """What bytes say. ``text``: what jambonz handed to its SIP, with line feeds and something of its own before it."""
    head, _, body = raw.partition(b"\r\n\r\n" if not text else b"\n\n" if b"Content-Type" in raw else b"\n")
    headers = []
    for line in head.decode("latin-1").splitlines()[1:]:
        key, colon, value = line.partition(":")
        if colon:
            headers.append((key.strip().lower(), value.strip()))
    kind = next((value for key, value in headers if key == "content-type"), "application/sdp" if body else "")
    return Message(headers, kind, body)


def shape_names() -> list[str]:
    return sorted(f"shapes/{file.name[:2]}" for file in (DATA / "shapes").iterdir())


def all_names() -> list[str]:
    return sorted(f"{file.parent.name}/{file.stem}" for file in DATA.glob("*/*") if file.suffix in {".sip", ".txt"})
