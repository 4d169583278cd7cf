"""Fetching one large file: goes on where it stopped, is bounded, and says what to do when it cannot.

Resuming (RFC 9110 sections 13.1.5 and 14): ``Range`` from what is there, ``If-Range`` with the strong entity tag or the
date that came with it, so that two versions of a file are never joined. A server that answers 200 instead of 206 sends
all of it, and all of it is taken.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from vcond.base.errors import ProtocolError, RefusedError, StorageError, UnreachableError

CONNECT_SECONDS = 30.0
SILENCE_SECONDS = 60.0
TRIES = 5
"""Breaks in a row without a byte in between."""
BLOCK = 1 << 18
SPARE = 64 << 20
"""Bytes that stay free on the disk."""
RANGE = re.compile(r"^bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)$")
PROXY_HINT = "set HTTPS_PROXY for a proxy; without internet, download the file elsewhere and use --from FILE"

Progress = Callable[[int, int], None]
"""Called with bytes that are there and bytes in all (0 = not known)."""


class Origin(msgspec.Struct):
    """Of what file a part is, kept beside it."""

    url: str
    validator: str = ""
    """What the server called this version: a strong entity tag, or its date. Empty = nothing."""


class Download:
    """A file that is being fetched to ``path``. What there is of it stays for the next time when this fails."""

    def __init__(self, url: str, path: Path, *, most: int, progress: Progress, pause: float = 1.0) -> None:
        """``most``: bytes it may have. ``pause``: seconds before the second try; doubles."""
        self.url, self.path, self.most = url, path, most
        self._progress = progress
        self._pause = pause
        self._beside = path.with_name(path.name + ".from")
        self._validator = ""

    async def run(self) -> None:
        """Fetch all of it. Raises UnreachableError, RefusedError, ProtocolError and StorageError."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        headers = {"Accept-Encoding": "identity"}
        breaks, had = 0, -1
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=True) as session:
            while True:
                try:
                    await self._once(session)
                except (aiohttp.ClientError, TimeoutError, UnreachableError) as why:
                    size = self._size()
                    breaks = breaks + 1 if size <= had else 1
                    had = size
                    if breaks >= TRIES:
                        raise UnreachableError(
                            f"{_host(self.url)} cannot be reached ({_why(why)}); {PROXY_HINT}"
                        ) from why
                    await asyncio.sleep(self._pause * 2 ** (breaks - 1))
                except OSError as why:
                    raise StorageError(f"cannot write {self.path}: {why.strerror or type(why).__name__}") from why
                else:
                    self._beside.unlink(missing_ok=True)
                    return

    async def _once(self, session: aiohttp.ClientSession) -> None:
        start = self._begin()
        headers = {"Range": f"bytes={start}-", "If-Range": self._validator} if start else {}
        async with session.get(self.url, headers=headers) as answer:
            if answer.status == 416 and start:
                if answer.headers.get("Content-Range") == f"bytes */{start}":
                    return  # all of it was here already
                self._forget()
                raise UnreachableError("the file changed during the download")
            if answer.status >= 500 or answer.status in {408, 429}:
                raise UnreachableError(f"HTTP {answer.status}")
            if answer.status not in {200, 206}:
                raise RefusedError(f"{_host(self.url)} answers HTTP {answer.status} to {self.url}")
            if answer.status == 200:
                start = 0
            total = self._total(answer, start)
            self._validator = _validator(answer)
            await asyncio.to_thread(self._note, total - start)
            await self._take(answer, start, total)

    async def _take(self, answer: aiohttp.ClientResponse, start: int, total: int) -> None:
        with self.path.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            at = start
            async for block in answer.content.iter_chunked(BLOCK):
                at += len(block)
                if at > self.most or (total and at > total):
                    raise ProtocolError(f"{_host(self.url)} sends more than the expected {self.most} bytes")
                await asyncio.to_thread(file.write, block)
                self._progress(at, total)
            if at < total:
                raise UnreachableError("the connection was lost")
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())

    def _begin(self) -> int:
        """Bytes that are here and can be kept."""
        try:
            origin = msgspec.json.decode(self._beside.read_bytes(), type=Origin)
        except (OSError, ValueError, RecursionError):
            return 0
        self._validator = origin.validator
        return self._size() if origin.url == self.url and origin.validator else 0

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def _forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)

    def _note(self, missing: int) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if missing + SPARE > free:
            raise StorageError(
                f"no space: {missing >> 20} MB more are needed in {self.path.parent}, {free >> 20} MB are free; --to chooses another"
            )
        self._beside.write_bytes(msgspec.json.encode(Origin(self.url, self._validator)))

    def _total(self, answer: aiohttp.ClientResponse, start: int) -> int:
        """Bytes of the whole file; 0 = the server does not say. Raises ProtocolError."""
        total = (answer.content_length or 0) + start
        if answer.status == 206:
            found = RANGE.match(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != start:
                self._forget()
                raise UnreachableError("the server sent another part than requested")
            total = total if found[3] == "*" else int(found[3])
        if total > self.most:
            raise ProtocolError(f"{_host(self.url)} announces {total} bytes; the limit is {self.most}")
        return total


def _validator(answer: aiohttp.ClientResponse) -> str:
    tag = answer.headers.get("ETag", "")
    strong = tag if tag.startswith('"') else ""
    return (strong or answer.headers.get("Last-Modified", ""))[:512]


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _why(why: Exception) -> str:
    return str(why) if isinstance(why, UnreachableError) else type(why).__name__
