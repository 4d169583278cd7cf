"""Receipts of what was forgotten: JSON that says of each place how far it is, signed with the key that signs vCons.

The form is that of a signed vCon (RFC 7515 section 7.2.1, general JWS JSON): who distrusts us checks it with the certificate
alone; docs/privacy.md has the script. Without ``[seal]`` a receipt is not signed, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import Instant, rfc3339
from vcond.records.forgetting import Forgetting, row
from vcond.storage.names import is_uuid
from vcond.storage.whole_files import WholeFiles

log = structlog.get_logger()

LARGEST: Final = 64 << 20
"""Bytes."""


def readable(body: bytes) -> bool:
    """Whether it is one of ours, as far as that shows without its signature."""
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (ValueError, RecursionError):
        return False


class Receipts:
    """In a folder, by the id of what was asked for."""

    def __init__(
        self, folder: Path, files: WholeFiles, *, issuer: str, software: str,
        sign: Callable[[bytes], bytes] | None, now: Callable[[], Instant],
    ) -> None:  # fmt: skip
        """``sign`` makes a JWS of the bytes of a receipt. Raises ConfigError when it cannot; None = no key is configured."""
        self._folder, self._files, self._sign, self._now = folder, files, sign, now
        self._issuer, self._software = issuer, software

    def text(self, one: Forgetting) -> bytes:
        """The receipt as things are now."""
        bare: dict[str, Any] = {
            "uuid": one.id,
            "type": "vcond-erasure-receipt",
            "issuer": self._issuer,
            "software": self._software,
            "issued_at": rfc3339(self._now()),
            **row(one),
        }
        unsigned = "no signing key is configured ([seal] key and certificates)"
        if self._sign is not None:
            try:
                return self._sign(msgspec.json.encode(bare))
            except ConfigError as why:
                log.error("receipt not signed", error=str(why), hint="renew [seal] certificates")  # noqa: TRY400 - it says it all
                unsigned = str(why)
        return msgspec.json.encode(bare | {"not_signed": unsigned})

    async def keep(self, one: Forgetting) -> None:
        """Durable when it returns. Raises StorageError."""
        await asyncio.to_thread(self._keep, one)

    async def read(self, name: str) -> bytes | None:
        """The receipt that was kept; None when there is none of that id. Raises StorageError."""
        if not is_uuid(name):
            return None
        path = self._folder / f"{name}.json"
        try:
            body = await asyncio.to_thread(self._files.read, path, LARGEST)
        except FileNotFoundError:
            return None
        except OSError as why:
            raise StorageError(f"cannot read the receipt: {why.strerror}") from None
        if not readable(body):
            raise StorageError(f"the receipt {path} is damaged: restore it from a backup")
        return body

    def _keep(self, one: Forgetting) -> None:
        try:
            self._files.make_folder(self._folder)
            self._files.publish(self._folder / f"{one.id}.json", self.text(one))
        except OSError as why:
            raise StorageError(f"cannot keep the receipt: {why.strerror}") from None
