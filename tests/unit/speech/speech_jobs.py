"""Utterances on lines that have no audio, for tests of who does what next."""

from __future__ import annotations

from dataclasses import dataclass

from vcond.speech.scheduler import Job, Scheduler


@dataclass
class Line:
    call: str = "call"
    rate: int = 8000


def job(call: str = "call", *, live: bool = True, stop: int | None = 800, heard: int = 0) -> Job:
    return Job(Line(call), 0, stop, call_id=call, live=live, heard=heard)


def scheduler(*, streaming: bool = False, partials: bool = True, workers: int = 1, streams: int = 8) -> Scheduler:
    return Scheduler(streaming=streaming, partials=partials, workers=workers, streams=streams)
