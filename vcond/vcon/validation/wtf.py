"""Rules of the body of a ``wtf_transcription`` (draft-howe-vcon-wtf-extension-02)."""

from __future__ import annotations

from typing import Any

from vcond.vcon.validation.findings import Notes


def wtf(body: dict[str, Any], path: str, notes: Notes) -> None:
    """The three required parts, and words, speakers and quality where they are."""
    transcript = _part(body, "transcript", path, notes)
    if transcript is not None:
        where = f"{path}.transcript"
        for name in ("text", "language"):
            if notes.required(transcript, name, where):
                notes.string(transcript, name, where)
        if notes.required(transcript, "duration", where):
            notes.number(transcript, "duration", where)
        _confidence(transcript, where, notes)
    words = _timed(body, "words", path, notes)
    known = {word["id"] for word in words if isinstance(word.get("id"), int)}
    if notes.required(body, "segments", path):
        for index, segment in enumerate(_timed(body, "segments", path, notes)):
            _segment(segment, f"{path}.segments[{index}]", notes, known)
    metadata = _part(body, "metadata", path, notes)
    if metadata is not None:
        _metadata(metadata, f"{path}.metadata", notes)
    quality = body.get("quality")
    if "quality" in body:
        if not isinstance(quality, dict):
            notes.error(f"{path}.quality", "type", "quality must be an object")
        elif "processing_warnings" in quality:
            notes.strings(quality, "processing_warnings", f"{path}.quality")
    if "speakers" in body and not isinstance(body["speakers"], dict):
        notes.error(f"{path}.speakers", "type", "speakers must be an object")


def _part(body: dict[str, Any], name: str, path: str, notes: Notes) -> dict[str, Any] | None:
    if not notes.required(body, name, path):
        return None
    value = body[name]
    if not isinstance(value, dict):
        notes.error(f"{path}.{name}", "type", f"{name} must be an object")
        return None
    return value


def _confidence(item: dict[str, Any], path: str, notes: Notes) -> None:
    if notes.required(item, "confidence", path):
        value = notes.number(item, "confidence", path)
        if value is not None and value > 1:
            notes.error(f"{path}.confidence", "confidence", "must be between 0 and 1")


def _timed(body: dict[str, Any], name: str, path: str, notes: Notes) -> list[dict[str, Any]]:
    """Segments or words: ids that differ, an end after the start, a text and a confidence."""
    found, ids = [], set()
    for index, item in notes.objects(body, name, path):
        where = f"{path}.{name}[{index}]"
        value = item.get("id")
        if isinstance(value, bool) or not isinstance(value, int):
            notes.error(f"{where}.id", "wtf-id", "id must be an integer")
        elif value in ids:
            notes.error(f"{where}.id", "wtf-id", "an id is there twice")
        else:
            ids.add(value)
        for part in ("start", "end", "text"):
            notes.required(item, part, where)
        start, end = notes.number(item, "start", where), notes.number(item, "end", where)
        if start is not None and end is not None and (end < start or (name == "segments" and end == start)):
            notes.error(f"{where}.end", "wtf-times", "end must be after start")
        text = notes.string(item, "text", where)
        if text is not None and text != text.strip():
            notes.warning(f"{where}.text", "wtf-trim", "text should have no white space around it")
        _confidence(item, where, notes)
        if isinstance(item.get("speaker", 0), bool) or not isinstance(item.get("speaker", 0), (int, str)):
            notes.error(f"{where}.speaker", "type", "speaker must be an integer or a String")
        found.append(item)
    return found


def _segment(segment: dict[str, Any], path: str, notes: Notes, known: set[int]) -> None:
    if "words" not in segment:
        return
    words = segment["words"]
    if not isinstance(words, list):
        notes.error(f"{path}.words", "type", "words must be an array of word ids")
        return
    for at, word in enumerate(words):
        if isinstance(word, bool) or not isinstance(word, int) or word not in known:
            notes.error(f"{path}.words[{at}]", "wtf-word", "is no id of a word")


def _metadata(metadata: dict[str, Any], path: str, notes: Notes) -> None:
    for name in ("created_at", "processed_at"):
        if notes.required(metadata, name, path):
            notes.date(metadata, name, path)
    for name in ("provider", "model"):
        if notes.required(metadata, name, path):
            notes.string(metadata, name, path, filled=True)
    provider = metadata.get("provider")
    if isinstance(provider, str) and provider != provider.lower():
        notes.warning(f"{path}.provider", "wtf-provider", "provider should be lower case")
    audio = metadata.get("audio")
    if notes.required(metadata, "audio", path):
        if not isinstance(audio, dict):
            notes.error(f"{path}.audio", "type", "audio must be an object")
        elif notes.required(audio, "duration", f"{path}.audio"):
            notes.number(audio, "duration", f"{path}.audio")
    if "options" in metadata and not isinstance(metadata["options"], dict):
        notes.error(f"{path}.options", "type", "options must be an object")
