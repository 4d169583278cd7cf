"""``[[retention]]`` of a configuration: under which rule a vCon is, and how things go here. Decision 0034."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vcond.app.forgetting import clear_named
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import Instant, parse_rfc3339, rfc3339
from vcond.call.matching import matches
from vcond.call.state import Call
from vcond.capture.clock import SteadyClock
from vcond.config import Config
from vcond.config.schema import RetentionRule
from vcond.delivery import Outbox
from vcond.journal import Store
from vcond.journal.erasing import erase as erase_journal
from vcond.records.holds import Holds
from vcond.records.ledger_made import bases_of
from vcond.records.ledger_service import Records
from vcond.records.retention import Retention
from vcond.records.word_service import WordService
from vcond.sdk.link import PREFIX
from vcond.storage.names import is_uuid
from vcond.vcon import Document


class Parts(Protocol):
    """What is asked of a daemon."""

    config: Config
    clock: SteadyClock
    outbox: Outbox
    store: Store
    holds: Holds
    records: Records
    words: WordService

    async def forget(self, call: str) -> None:
        """A whole conversation, for good. Raises HeldError, StorageError."""


def check(config: Config) -> None:
    """Raises ConfigError for rules that cannot be followed."""
    names = [rule.name for rule in config.retention]
    sinks = {str(section.get("name", section.get("type"))) for section in config.sinks}
    for i, rule in enumerate(config.retention):
        at = f"retention[{i}]"
        if names.index(rule.name) < i:
            raise ConfigError(f"two rules are named {rule.name!r}; give each its own name", f"{at}.name")
        if (edge := rule.keep.edge) is not None and edge > config.delivery.keep_days:
            why = f"is more than delivery.keep_days ({config.delivery.keep_days:g}), after which it goes in any case: make that longer"
            raise ConfigError(why, f"{at}.keep.edge")
        for name in rule.keep.sinks.keys() - sinks:
            raise ConfigError(f"there is no sink {name!r}; there are: {', '.join(sorted(sinks))}", f"{at}.keep.sinks")
        if rule.keep.media is not None and not config.record.media_dir:
            raise ConfigError("record.media_dir is not set: no recording is there", f"{at}.keep.media")


def facts(rules: Sequence[RetentionRule], call: Call, document: Document) -> dict[str, str]:
    """What the outbox keeps of a vCon for it: the first rule that its call matches, and when its first lawful basis ends."""
    rule = next((one.name for one in rules if matches(one.match, call)), "")
    ends = [one for basis in bases_of(document) if (one := _moment(basis.expiration)) is not None]
    expires = min(ends, default=None)
    found = {"keep": rule, "expires": "" if expires is None else rfc3339(expires)}
    return {name: value for name, value in found.items() if value}


def _moment(text: str | None) -> Instant | None:
    """A date that cannot be read ends nothing."""
    with suppress(ValueError):
        return None if text is None else parse_rfc3339(text)
    return None


def retention(daemon: Parts) -> Retention:
    """Of a daemon."""
    media = daemon.config.record.media_dir
    return Retention(
        {rule.name: rule.keep for rule in daemon.config.retention},
        Here(daemon, Path(media) if media else None),
        tell=daemon.outbox.tell,
        names=lambda: (_uuids(Path(media)) if media else set(), _uuids(daemon.store.root)),
        sinks=[one.sink for one in daemon.outbox.sinks() if not one.sink.startswith(PREFIX)],
        held=lambda call: daemon.holds.on(call) is not None,
        now=daemon.clock.now,
    )


@dataclass
class Here:
    """See ``vcond.records.retention.Doing``."""

    daemon: Parts
    folder: Path | None

    async def edge(self, uuid: str) -> None:
        """The kept file of a vCon."""
        await self.daemon.outbox.eraser.here(uuid)
        if not await self.daemon.words.remove(uuid):
            raise StorageError("the index of words is being read")

    async def media(self, uuid: str) -> None:
        """Its recordings outside."""
        if self.folder is not None:
            try:
                await asyncio.to_thread(clear_named, self.folder, uuid)
            except OSError as why:
                raise StorageError(f"cannot delete in {self.folder}: {why.strerror}") from None

    async def journal(self, uuid: str) -> None:
        """The journal of a call."""
        await erase_journal(self.daemon.store, uuid)

    async def at_sink(self, sink: str, uuid: str) -> str:
        """What a sink has; why it is still there, or ""."""
        why = await self.daemon.outbox.eraser.at(sink, uuid)
        if not why:
            await self.daemon.records.tell("vcon_deleted", vcon=uuid, sink=sink)
        return why

    async def everywhere(self, call: str) -> None:
        """The whole conversation, for good."""
        await self.daemon.forget(call)


def _uuids(folder: Path) -> set[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return {name for name in os.listdir(folder) if is_uuid(name)}  # noqa: PTH208 - a hundred thousand, and only names
    return set()
