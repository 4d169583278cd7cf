"""A finder of another package, in a process of its own: see ``apart``. ``finder_process`` is the other side."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import structlog

from vcond.publish.apart import Apart, ApartError
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import Conversation, Finder, FinderOptions, Secret
from vcond.redaction.finding import FinderError, finders

log = structlog.get_logger()

LIMIT: Final = 120.0
"""Seconds that it may take for a conversation, its start included."""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A secret, by places in the conversation."""

    kind: str
    words: list[tuple[int, int]]
    """Turn and index."""
    keys: list[int]
    turns: list[int]
    certainty: float


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a process says of one conversation."""

    secrets: list[Said] = []
    error: str = ""
    """Why it found nothing; empty = it looked."""


class ApartFinder:
    """A finder (``vcond.redaction.contract.Finder``). May be asked from any thread, one at a time; ``close`` ends what is being looked at."""

    def __init__(self, target: str, options: FinderOptions, made: Finder, limit: float = LIMIT) -> None:
        """``made``: one of its class, which is asked for nothing but what it is."""
        self.name, self.kinds, self._limit = made.name, made.kinds, limit
        self._apart = Apart("vcond.publish.finder_process", pickle.dumps((target, options)), limit)

    def find(self, conversation: Conversation) -> Iterator[Secret]:
        """What it finds. Raises FinderError."""
        answer = self._asked(pickle.dumps(conversation))
        if answer.error:
            raise FinderError(answer.error)
        for said in answer.secrets:
            yield Secret(
                said.kind,
                tuple(conversation.turns[turn].words[index] for turn, index in said.words),
                tuple(conversation.keys[at] for at in said.keys),
                tuple(said.turns),
                said.certainty,
            )

    def close(self) -> None:
        """Nothing is looked at any more."""
        self._apart.close()

    def _asked(self, asked: bytes) -> Answer:
        """One question and its answer; the process is gone if there is none."""
        try:
            return msgspec.msgpack.decode(self._apart.asked(asked), type=Answer)
        except ApartError as none:
            why = str(none)
            if none.slow:
                log.error(  # noqa: TRY400 - its trace tells nothing
                    "a finder takes too long and was ended: what it was shown is not delivered where its redacted form is to go",
                    finder=self.name, seconds=self._limit, hint="ask its author; or take it out of redaction.finders, then vcond outbox retry",
                )  # fmt: skip
        except (ValueError, RecursionError):
            why = "its process gives no answer that can be read"
            self._apart.end()
        raise FinderError(f"finder {self.name!r} failed: {why}; nothing is taken for redacted")


def close(those: Iterable[Finder]) -> None:
    """Their processes end."""
    for finder in those:
        if isinstance(finder, ApartFinder):
            finder.close()


def finders_apart(config: RedactionConfig) -> list[Finder]:
    """Those of the configuration. Raises ConfigError, MissingExtraError."""
    return finders(config, ApartFinder)
