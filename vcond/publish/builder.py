"""Builds a call's vCons from its journal, checked, a few at a time in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vcond.base.errors import ConfigError
from vcond.base.time import EPOCH
from vcond.call import events as ev
from vcond.call.causes import Disposition
from vcond.call.diagnosis import Diagnosis, diagnose
from vcond.call.ids import uuid8
from vcond.call.state import Call, Track, as_published, fold
from vcond.config.schema import RecordConfig
from vcond.journal import CallJournal
from vcond.media.codecs import Pcm
from vcond.media.detect.sound_kind import sound_kind
from vcond.publish.media_files import publish
from vcond.publish.retrying import until_stored
from vcond.publish.revisions import Revision
from vcond.publish.squeezer import stand_back
from vcond.publish.stored_audio import StoredAudio
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import BuildOptions, Document, Finding, build, build_with_media, serialize, validate
from vcond.vcon.building.opus_pieces import InMemory

LONGEST_READ = 10 * 3600 * 48_000
"""Samples; what a track of a merged call has beyond stays at the edge."""
AT_ONCE = 2
"""vCons built at the same time: each takes some 50 to 100 MB of memory."""


class Samples(Protocol):
    """Where audio is read from."""

    def read(self, track_file: str, start: int, stop: int, /) -> Pcm:
        """Samples of a file; zeros where nothing is."""


def read_track(journal: Samples, track: Track) -> Pcm:
    """All samples of a track, the first at the call's zero."""
    start = max(0, -track.shift)
    stop = min(max(start, track.samples - track.shift), start + LONGEST_READ)
    pcm = journal.read(track.file, start, stop)
    return np.concatenate([np.zeros(track.shift, np.int16), pcm]) if track.shift > 0 else pcm


def build_options(config: RecordConfig, *, amended: bool = False) -> BuildOptions:
    """What the operator decided about records."""
    return BuildOptions(
        amended=amended,
        inline_limit=config.inline_limit,
        sip_domain=config.sip_domain,
        org=config.org,
        lawful_basis=config.lawful_basis or None,
    )


def check_record(config: RecordConfig) -> None:
    """Find out now, not with the first call, that what the operator adds to every vCon is wrong. Raises ConfigError."""
    opened = ev.CallOpened(
        at=EPOCH, call=str(uuid8(0, 0, "example.com")), adapter="check", key="check", recorder="check"
    )
    call = fold(
        [opened, ev.PartyJoined(at=EPOCH, party=0, key="a"), ev.CallEnded(at=EPOCH, disposition=Disposition.BUSY)]
    )
    for finding in validate(build(call, {}, build_options(config))):
        if finding.level == "error":
            raise ConfigError(f"{finding.path}: {finding.message}", "record")


@dataclass(frozen=True, slots=True)
class Built:
    """A vCon, what is wrong with it, and what is missing in it."""

    document: Document
    findings: list[Finding]
    body: bytes
    diagnoses: list[Diagnosis]
    """What is missing in it."""

    @property
    def valid(self) -> bool:
        """Whether it may leave."""
        return not any(finding.level == "error" for finding in self.findings)

    @property
    def without_recording(self) -> bool:
        """Whether the call's recording is in it neither as such nor by a URL."""
        tags = [item.get("body", []) for item in self.document.get("attachments", []) if item.get("purpose") == "tags"]
        return any("vcond_audio:edge" in body for body in tags)


class Builder:
    """Owns the threads that build."""

    def __init__(self, config: RecordConfig, wait: Callable[[float], Awaitable[None]], files: WholeFiles) -> None:
        """``wait`` is how long a disk is left alone that takes no recording."""
        self._config, self._wait, self._files = config, wait, files
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="vcon", initializer=stand_back)

    async def built(self, state: Call, journal: CallJournal, revision: Revision) -> Built:
        """One vCon of a call; recordings that it names are on the disk."""

        async def once() -> Built:
            async with self._slots:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._build, state, journal, revision)

        return await until_stored(once, state.uuid, "recording not stored yet", self._wait)

    def close(self) -> None:
        """Nothing more is built."""
        self._threads.shutdown(wait=False)

    def _build(self, state: Call, journal: CallJournal, revision: Revision) -> Built:
        amended = revision.kind == "amended"
        if revision.kind == "original" and state.published:
            state = as_published(journal.events)
        audio = {track.index: StoredAudio(journal, track) for track in state.tracks}
        where = self._config.media_url if self._config.media_dir else ""
        sounds = {track.index: sound_kind(audio[track.index], track.rate) for track in state.tracks}
        options = build_options(self._config, amended=amended)
        pieces = InMemory(journal.pieces.get)
        built = build_with_media(state, audio, options, media_url=where, sounds=sounds, kept=pieces)
        for media in built.media:
            publish(media, Path(self._config.media_dir), self._files)
        diagnoses = diagnose(state, sounds)
        made = Built(built.document, validate(built.document), serialize(built.document), diagnoses)
        # nothing of audio that is the call's no longer stays, nor anything where the journal does
        with contextlib.suppress(OSError):  # the disk's trouble is told where it is written
            journal.pieces.keep_only(() if made.without_recording else pieces.asked)
        return made
