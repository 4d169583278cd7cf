"""jambonz ``listen`` and ``stream``.

Source: jambonz-feature-server. A first text with ``sampleRate``, ``mixType`` and all of the call, then binary messages of
16-bit little-endian samples; of two channels the first is the caller's. A pause sends nothing. Closing is the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vcond.sdk.contract import ProtocolError
from vcond.sdk.media_stream import Said
from vcond_stream import fields
from vcond_stream.samples import Samples


class Jambonz(Samples):
    """One socket."""

    name: ClassVar[str] = "jambonz"

    def begin(self, said: Mapping[str, Any], rate: int = 0, mix: str = "") -> Said:
        """The first text."""
        if "mixType" not in said and "sampleRate" not in said:
            raise ProtocolError("first message does not describe the audio")
        return super().begin(said, fields.number(said, "sampleRate") or rate, fields.word(said, "mixType") or mix)
