"""Encrypted files: their bytes, without a disk. Decision 0027 says why they are as they are.

A file is a row of segments. A segment is a header, twice, and blocks; each opening of a file for writing begins a new one,
under a key of its own (HKDF-SHA256, RFC 5869, of the call's data key and a fresh random salt), so the counters of blocks are
nonces that never come again, whatever a crash left. A block holds content for one place in the file (AES-256-GCM, NIST SP
800-38D); where two are for one place, the later one counts. Nothing is ever written over.

All numbers are big-endian. Offsets called ``at`` are of the encrypted file, others of the content.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC: Final = b"\x89vcond-crypt\r\n\x1a\x01"
"""16 bytes; the last one is the version."""
SYNC: Final = b"\xe5vB\x01"
LARGEST: Final = 1 << 16
"""Bytes of content in one block."""
DATA, LENGTH, END = range(3)
"""What a block is: content; the content's length from now on; the same, and that the file is complete."""
TAG: Final = 16
WINDOW: Final = 1 << 18
_HEAD = struct.Struct(">16s16s8s32sQQ4xI")
"""Magic, id of the data key, its check, salt, ``at``, length of the content so far, CRC-32."""
_BLOCK = struct.Struct(">4sIQQII")
"""Sync, counter, place, length of the content from now on, kind and size (8 and 24 bits), CRC-32."""
HEADER: Final = 2 * _HEAD.size
_CHECKED: Final = _BLOCK.size - 4
"""Bytes of a block's head that its CRC is over."""
_ZEROS: Final = bytes(8)
"""How a nonce begins, before the counter."""

_LIKE_MAGIC: Final = tuple(MAGIC[:count] for count in range(1, 5))
"""Ends of a CRC that may be the beginning of the next segment."""

ReadAt = Callable[[int, int], bytes]
"""``(count, at)``: bytes of the encrypted file, fewer at its end."""


class Key(NamedTuple):
    """The data key of a call."""

    id: bytes
    """16 bytes: its uuid."""
    secret: bytes
    """32 bytes."""

    @property
    def check(self) -> bytes:
        """8 bytes by which files know whether a key is theirs."""
        return hashlib.sha256(b"vcond data key check" + self.secret).digest()[:8]


class Keys(Protocol):
    """Who has the data keys."""

    def get(self, of: bytes) -> bytes | None:
        """The data key of an id (16 bytes); None when it was erased, or never was."""


class Segment:
    """Encrypts and decrypts the blocks of one."""

    __slots__ = ("_bound", "_cipher", "header")

    def __init__(self, header: bytes, secret: bytes, name: bytes) -> None:
        """``name`` is what the file is, and of whom: in the place of another it cannot be read."""
        self.header = header
        salt = _HEAD.unpack(header)[3]
        info = b"vcond segment 1\0" + name
        self._cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret))
        self._bound = hashlib.sha256(header).digest()

    @classmethod
    def new(cls, key: Key, name: bytes, at: int, length: int) -> Segment:
        """One to be written at ``at``, in a file whose content has ``length`` bytes so far."""
        bare = _HEAD.pack(MAGIC, key.id, key.check, os.urandom(32), at, length, 0)[:-4]
        return cls(bare + zlib.crc32(bare).to_bytes(4, "big"), key.secret, name)

    def block(self, kind: int, counter: int, place: int, length: int, data: bytes | memoryview = b"") -> bytes:
        """The bytes of a block with content for ``place``; the content has ``length`` bytes with it."""
        head = _packed(counter, place, length, kind << 24 | len(data))
        return head + self._cipher.encrypt(counter.to_bytes(12, "big"), data, self._bound + head)

    def content(self, raw: bytes, at: int, size: int) -> bytes | None:
        """What is in a block of ``size`` that lies at ``at`` in ``raw``; None when it was changed."""
        data = at + _BLOCK.size
        head = raw[at:data]
        try:
            return self._cipher.decrypt(_ZEROS + head[4:8], raw[data : data + size + TAG], self._bound + head)
        except InvalidTag:
            return None


class _Block(NamedTuple):
    """Of a block that lies in a file, what stands before its content."""

    counter: int
    place: int
    length: int
    kind: int
    size: int

    @property
    def whole(self) -> int:
        """Bytes in the encrypted file."""
        return stored(self.size)


class Index:
    """Where in an encrypted file which content is; grows with the file.

    ``length``: of the content; ``complete``: an end was written; ``damage``: stretches ``(start, stop)`` of the encrypted
    file that are neither blocks nor what a crash leaves at the end of a segment. Not for two threads at once.
    """

    def __init__(self, name: bytes, keys: Keys) -> None:
        self.length = 0
        self.complete = False
        self.damage: list[tuple[int, int]] = []
        self.lost_key = False
        """Whether there are segments whose key is not there."""
        self.at = 0
        """How far the file was looked at."""
        self._name, self._keys = name, keys
        self._segments: list[Segment | None] = []
        self._begins: list[int] = []
        self._expected = 0
        self._places, self._ats, self._sizes = array("Q"), array("Q"), array("I")
        self._cut: dict[int, int] = {}
        """What counts of the content of blocks that were cut, by ``at``."""
        self._over: list[tuple[int, int, int]] = []
        """Blocks for places that had content already: place, at, size, in the order of writing."""
        self._stop = 0
        """Where the content of the blocks in ``_places`` ends."""

    def grow(self, read: ReadAt, size: int) -> None:
        """Look at what came since; ``size`` is that of the encrypted file."""
        window, begin = b"", self.at
        while self.at < size:
            if self.at + HEADER > begin + len(window):
                window, begin = read(min(WINDOW, size - self.at), self.at), self.at
            here = self.at - begin
            step = self._run(window, here, size - begin) or self._step(window, here, read, size)
            if step == 0:  # it is being written, or a crash came in between
                return
            self.at += step

    def blocks(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Place, ``at`` and size of blocks with content of ``[start, stop)``, to be applied in this order."""
        first = max(0, bisect_right(self._places, start) - 1)
        last = bisect_left(self._places, stop, first)
        if first < last and self._places[first] + self._sizes[first] <= start:
            first += 1  # they lie in order, none over another: of the others each ends behind ``start``
        there = zip(self._places[first:last], self._ats[first:last], self._sizes[first:last], strict=True)
        return [*there, *(one for one in self._over if one[0] < stop and one[0] + one[2] > start)]

    def contents(self, blocks: list[tuple[int, int, int]], raw: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Place and what counts of blocks that lie one behind another, of which ``raw`` is the bytes.

        None for one that was changed, or whose key is not there.
        """
        segment, ends, begin = None, 0, blocks[0][1]
        for place, at, size in blocks:
            if at >= ends:
                after = bisect_right(self._begins, at)
                segment = self._segments[after - 1]
                ends = self._begins[after] if after < len(self._begins) else sys.maxsize
            content = None if segment is None else segment.content(raw, at - begin, size)
            yield place, content if content is None or at not in self._cut else content[: self._cut[at]]

    # Inside.

    def _run(self, window: bytes, here: int, ends: int) -> int:
        """How many bytes blocks of content take that lie as they were written: in order, each with another behind it, or the end.

        ``ends``: of the encrypted file, counted from the first byte of ``window``.
        """
        begin, last, expected, longest = here, len(window) - _BLOCK.size, self._expected, self.length
        while self._segments and here <= last:
            sync, counter, place, length, size, crc = _BLOCK.unpack_from(window, here)
            good = sync == SYNC and crc == zlib.crc32(window[here : here + _CHECKED]) and counter == expected
            stop = here + stored(size)
            if not good or size > LARGEST or not (window.startswith(SYNC, stop) or stop == ends):
                break  # of another kind ``size`` is larger
            expected += 1
            self._keep(place, self.at + here - begin, size)
            longest = max(longest, length)
            here = stop
        if here > begin:
            self._expected, self.length, self.complete = expected, max(longest, self._stop), False
        return here - begin

    def _step(self, window: bytes, here: int, read: ReadAt, size: int) -> int:
        """How many bytes what lies next takes; 0 when it is not all there."""
        if not window.startswith(SYNC, here) and (header := _header(window[here : here + HEADER], self.at)):
            second = window[here + _HEAD.size : here + HEADER]
            torn = second != header or second.endswith(_LIKE_MAGIC)  # what it lacks may be how the next one begins
            if torn and (after := _next(read, self.at + 1, self.at + HEADER)) < self.at + HEADER:
                return after - self.at  # cut short by a crash, and another follows
            if size - self.at < HEADER:
                return 0
            self._begin(header)
            return HEADER
        block = _block(window, here)
        if block is None or block.counter < self._expected or not self._segments:
            return self._skip(window[here : here + HEADER], read, size)
        whole = block.whole
        stop = self.at + whole
        if not (
            window.startswith(SYNC, here + whole)
            or self._follows(window[here + whole : here + whole + HEADER], read, stop, size)
        ):
            after = _next(read, self.at + _BLOCK.size, min(stop, size))
            if after < min(stop, size):  # cut short by a crash: another segment begins in the midst of it
                return after - self.at
            if stop > size:
                return 0
        if block.counter > self._expected:
            self.damage.append((self.at, self.at))  # blocks are missing here
        self._expected = block.counter + 1
        if block.kind == DATA:
            self._keep(block.place, self.at, block.size)
            self.length = max(self.length, self._stop, block.length)
            self.complete = False
        else:
            self._measure(block, window[here : here + whole], read)
        return whole

    @staticmethod
    def _follows(mark: bytes, read: ReadAt, at: int, size: int) -> bool:
        """Whether behind a block is what may be there: another, a segment, the end."""
        if at >= size:
            return at == size
        mark = mark if len(mark) == HEADER else read(HEADER, at)
        return mark.startswith(SYNC) or _header(mark, at) is not None

    def _measure(self, block: _Block, raw: bytes, read: ReadAt) -> None:
        """A block that says how long the content is."""
        segment = self._segments[-1]
        raw = raw if len(raw) == block.whole else read(block.whole, self.at)
        if segment is not None and segment.content(raw, 0, block.size) is None:
            self.damage.append((self.at, self.at + block.whole))
            return
        self._shorten(block.length)
        self.complete = block.kind == END

    def _begin(self, header: bytes) -> None:
        _, of, check, _, _, length, _ = _HEAD.unpack(header)
        secret = self._keys.get(of)
        mine = secret is not None and Key(of, secret).check == check
        self.lost_key |= not mine
        self._segments.append(Segment(header, secret, self._name) if mine and secret is not None else None)
        self._begins.append(self.at)
        self._expected = 0
        self.length = max(self.length, length)
        self.complete = False

    def _keep(self, place: int, at: int, size: int) -> None:
        if place >= self._stop:
            self._places.append(place)
            self._ats.append(at)
            self._sizes.append(size)
            self._stop = place + size
        else:
            self._over.append((place, at, size))
            self._stop = max(self._stop, place + size)

    def _shorten(self, length: int) -> None:
        """The content has another length: what was behind it is gone."""
        kept = [one for one in self.blocks(0, max(self._stop, 1)) if one[0] < length]
        if length < self._stop:
            self._places, self._ats, self._sizes, self._over, self._stop = array("Q"), array("Q"), array("I"), [], 0
            for place, at, size in kept:
                self._keep(place, at, size)
                self._cut[at] = min(length - place, self._cut.get(at, size))
            self._stop = min(self._stop, length)
        self.length = length

    def _skip(self, first: bytes, read: ReadAt, size: int) -> int:
        """To the next block or segment; 0 when there is none, and it is what a crash leaves, or is just being written."""
        after = _next(read, self.at + 1, size)
        first = first[: after - self.at]
        if len(first) >= _BLOCK.size and any(first) and not (MAGIC.startswith(first[:16]) and len(first) < HEADER):
            self.damage.append((self.at, after))
        elif after == size:
            return 0
        return after - self.at


def tail(read: ReadAt, size: int) -> int:
    """How long the content is, by the last block or header of a file. Reads little of it."""
    back = 1 << 13
    while True:
        begin = max(0, size - back)
        found = max(_ends(read(size - begin, begin), begin, size), default=None)
        if found is not None or begin == 0:
            return found[1] if found else 0
        back = max(4 * LARGEST, 2 * back)


def _ends(window: bytes, begin: int, size: int) -> Iterator[tuple[int, int]]:
    """The last block and the last header in a window: where, and the length of the content then."""
    here = len(window)
    while (here := window.rfind(SYNC, 0, here)) >= 0:
        block = _block(window, here)
        if block is not None and begin + here + block.whole <= size:
            yield begin + here, block.length
            if begin + here + block.whole == size:
                return  # nothing is behind it
            break
    here = len(window)
    while (here := window.rfind(MAGIC, 0, here)) >= 0:
        if (header := _header(window[here : here + HEADER], begin + here)) is not None:
            yield begin + here, _HEAD.unpack(header)[5]
            break


def stored(size: int) -> int:
    """Bytes that a block with so much content takes."""
    return _BLOCK.size + size + TAG


def is_encrypted(first: bytes) -> bool:
    """Whether a file is, by its first ``HEADER`` bytes; one bit of them may be wrong."""
    return (
        first[:16] == MAGIC
        or first[_HEAD.size : _HEAD.size + 16] == MAGIC
        or (0 < len(first) < 16 and MAGIC.startswith(first))
    )


def key_of(first: bytes) -> bytes | None:
    """The id of the key that a file began with."""
    header = _header(first, 0)
    return None if header is None else _HEAD.unpack(header)[1]


def _packed(counter: int, place: int, length: int, kind_size: int) -> bytes:
    bare = _BLOCK.pack(SYNC, counter, place, length, kind_size, 0)[:-4]
    return bare + zlib.crc32(bare).to_bytes(4, "big")


def _block(raw: bytes, here: int) -> _Block | None:
    """The one whose head lies there in ``raw``; None when there is none, or not all of the head."""
    if len(raw) - here < _BLOCK.size:
        return None
    sync, counter, place, length, kind_size, crc = _BLOCK.unpack_from(raw, here)
    kind, size = kind_size >> 24, kind_size & 0xFFFFFF
    if sync != SYNC or crc != zlib.crc32(raw[here : here + _BLOCK.size - 4]) or kind > END or size > LARGEST:
        return None
    return _Block(counter, place, length, kind, size)


def _header(raw: bytes, at: int) -> bytes | None:
    """The one of two copies that is whole, and for this place; of a copy that a crash cut short the first."""
    for copy in (raw[: _HEAD.size], raw[_HEAD.size : HEADER]):
        if len(copy) == _HEAD.size and copy.startswith(MAGIC):
            found = _HEAD.unpack(copy)
            if found[4] == at and found[6] == zlib.crc32(copy[:-4]):
                return copy
    return None


def _next(read: ReadAt, at: int, limit: int) -> int:
    """Where from ``at`` on the next block or segment begins; ``limit`` when there is none before."""
    while at < limit:
        found = min(_begins(read(WINDOW + HEADER, at), at), default=limit)
        if found < min(limit, at + WINDOW):
            return found
        at += WINDOW
    return limit


def _begins(window: bytes, at: int) -> Iterator[int]:
    """The first block and the first header in a window."""
    here = -1
    while (here := window.find(SYNC, here + 1)) >= 0:
        if _block(window, here) is not None:
            yield at + here
            break
    for mark, before in ((MAGIC, 0), (MAGIC, _HEAD.size)):
        here = before - 1
        while (here := window.find(mark, here + 1)) >= 0:
            if _header(window[here - before : here - before + HEADER], at + here - before) is not None:
                yield at + here - before
                break
