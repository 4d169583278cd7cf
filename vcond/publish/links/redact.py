"""``redact``: the redacted form of a vCon, as ``[redaction]`` says. Decision 0032 tells what is taken out, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vcond import __version__
from vcond.base.errors import ConfigError
from vcond.redaction.config import RedactionConfig
from vcond.redaction.finding import finders
from vcond.redaction.redact import redact
from vcond.sdk.link import LinkedVcon, LinkOptions


class RedactLink:
    """Sound that no text tells of is left out: nobody has looked at it. There is no second look, as a hub has no speech workers."""

    def __init__(self, options: LinkOptions) -> None:
        """Raises ConfigError, MissingExtraError."""
        if options.settings:
            raise ConfigError(
                "the link redact has no settings of its own: what it takes out is in [redaction]", "settings"
            )
        self._config = msgspec.convert(options.redaction, RedactionConfig)
        self._finders = finders(self._config)

    def work(self, vcon: dict[str, Any]) -> Iterator[LinkedVcon]:
        """One. Raises FinderError, ProtocolError for what is sealed."""
        made = redact(vcon, self._finders, tone=self._config.tone, software=f"vcond {__version__}")
        made.report["second_look"] = "not done"
        yield LinkedVcon(made.document, "redacted")
