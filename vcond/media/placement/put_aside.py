"""What a party said before it agreed to be recorded: in memory only, encrypted, bounded, and kept by nobody unless it agrees.

The key is made here and written nowhere. So what a swap area or a core file has of it is of no use once the process is gone,
or once it was dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vcond.media.codecs import Pcm

TOGETHER: Final = 8_000
"""Samples that are given out at once, at least, where they follow one another: a second at 8 kHz."""


MOST: Final = 256 << 20
"""Bytes of all tracks together."""
_OVERHEAD: Final = 300
"""Bytes that a piece takes beside its samples."""


class Room:
    """The memory that all tracks share for it. Where there is no more, nothing that comes is kept."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.used = most, 0

    def full(self) -> None:
        """Something was dropped for want of it."""


class PutAside:
    """Of one track, positions in its samples."""

    def __init__(self, room: Room | None = None) -> None:
        self._room = room or Room()
        self._used = 0
        self._pieces: deque[tuple[int, int, bytes, bytes]] = deque()
        """Position, samples, nonce, ciphertext."""
        self._held = 0
        self._cipher: AESGCM | None = None
        self._numbers = count()

    @property
    def first(self) -> int | None:
        """The position of the first sample that is still there."""
        return self._pieces[0][0] if self._pieces else None

    def put(self, start: int, pcm: Pcm, most: int) -> None:
        """Add samples; of more than ``most``, or than there is room for, the oldest are gone."""
        if self._cipher is None:
            self._cipher = AESGCM(AESGCM.generate_key(256))
        nonce = next(self._numbers).to_bytes(12, "big")
        self._pieces.append((start, len(pcm), nonce, self._cipher.encrypt(nonce, pcm.tobytes(), None)))
        self._held += len(pcm)
        self._take_room(pcm.nbytes + _OVERHEAD)
        while self._held > most or (self._pieces and self._room.used > self._room.most):
            if self._held <= most:
                self._room.full()
            gone = self._pieces.popleft()[1]
            self._held -= gone
            self._take_room(-gone * pcm.itemsize - _OVERHEAD)

    def take(self) -> Iterator[tuple[int, Pcm]]:
        """All of it, in the order of places, neighbours together; nothing is there afterwards."""
        cipher, pieces = self._cipher, sorted(self._pieces)
        self.drop()
        start, parts, samples = 0, list[bytes](), 0
        for at, length, nonce, sealed in pieces:
            assert cipher is not None
            if parts and (at != start + samples or samples >= TOGETHER):
                yield start, np.frombuffer(b"".join(parts), np.int16)
                parts, samples = [], 0
            start = at if not parts else start
            parts.append(cipher.decrypt(nonce, sealed, None))
            samples += length
        if parts:
            yield start, np.frombuffer(b"".join(parts), np.int16)

    def drop(self) -> None:
        """Nothing of it is there any more, nor the key."""
        self._pieces.clear()
        self._held, self._cipher, self._numbers = 0, None, count()
        self._take_room(-self._used)

    def __del__(self) -> None:
        """Whoever forgets one without ``drop`` takes the room of no other. After it nothing is counted: this may run in any thread."""
        if self._used:
            self._take_room(-self._used)

    def _take_room(self, size: int) -> None:
        self._used += size
        self._room.used += size
