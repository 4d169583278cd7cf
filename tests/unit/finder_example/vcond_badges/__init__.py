"""An example of a finder: badges of a made-up company are a colour and what is said after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.redaction.contract import Conversation, FinderOptions, Secret


class BadgeSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[redaction.settings.badges]``."""

    colours: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)] = ("red", "blue")


class BadgeFinder:
    """See the module."""

    name: ClassVar[str] = "badges"
    kinds = ("badge",)

    def __init__(self, options: FinderOptions) -> None:
        try:
            settings = msgspec.convert(options.settings, BadgeSettings)
        except msgspec.ValidationError as why:
            raise ConfigError(str(why), "redaction.settings.badges") from None
        self._colours = frozenset(settings.colours)

    def find(self, conversation: Conversation) -> Iterable[Secret]:
        """A colour and the word after it."""
        for turn in conversation.turns:
            for at, word in enumerate(turn.words):
                if word.text.lower().strip(".,?!") in self._colours:
                    yield Secret("badge", turn.words[at : at + 2])
