"""What makes redacted vCons, put together from the configuration."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from vcond import __version__
from vcond.publish.finder_apart import finders_apart
from vcond.publish.redactor import Redactor
from vcond.publish.second_look import SecondLook
from vcond.redaction.config import RedactionConfig
from vcond.speech.dispatcher import Speech
from vcond.speech.multi_model import Speeches
from vcond.storage.files import Files


def redactor_of(config: RedactionConfig, speech: Speech | Speeches, files: Files, folder: Path) -> Redactor:
    """What makes redacted vCons, for the sinks that want them. Raises ConfigError, MissingExtraError."""
    made = finders_apart(config)
    made_by = hashlib.sha256(__version__.encode() + msgspec.json.encode(config)).hexdigest()[:12]
    return Redactor(
        made,
        folder=folder,
        files=files,
        tone=config.tone,
        look=None if config.second_look == "off" else SecondLook(speech, made),
        must_look=config.second_look == "must",
        software=f"vcond {__version__}",
        made_by=f".{made_by}",
    )
