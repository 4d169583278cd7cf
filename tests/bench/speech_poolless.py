"""The vosk engine without its pool: every utterance gets a recognizer that is new. For the bench only."""

from __future__ import annotations

import msgspec

from vcond.speech.engine import EngineOptions
from vcond.speech.engines.vosk import VoskEngine


class PoollessEngine(VoskEngine):
    """Keeps no recognizer."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(msgspec.structs.replace(options, streams=0))
