"""The sink ``sftp``: each vCon is a file on a machine that is reached by SSH, there completely or not at all.

It is written under a name that begins with a dot, synced where the server can (``fsync@openssh.com``), and renamed. The
server's key must be known beforehand; nothing of the user's ``~/.ssh`` is read.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError, MissingExtraError, how_to_install
from vcond.delivery.sinks.http_answers import AGAIN
from vcond.delivery.sinks.http_client import Name, Seconds, Secret
from vcond.delivery.sinks.places import OF_PATH, Places
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

T = TypeVar("T")

PIECE: Final = 1 << 20
"""Bytes that are written and read at once."""
LARGEST_KEY: Final = 1 << 20
"""Bytes of a file of keys that are read."""

BEGINS: Final = "AAAA"
"""Of every public key in base64: a length below 2^8 in four bytes."""


class SftpConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "sftp"``."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    """Name or address of the machine."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 22
    """Of its SSH server."""
    user: Annotated[str, Meta(min_length=1, max_length=256)]
    """Who may write there."""
    host_key: Annotated[str, Meta(min_length=1, max_length=16_384)]
    """The server's public key, as its ``/etc/ssh/ssh_host_ed25519_key.pub`` has it, with or without its kind before it, or a file of such (also known_hosts)."""
    key: Annotated[str, Meta(max_length=65_536)] = ""
    """The private key of ``user`` without a password: a file, or PEM text by reference: ``${credential:NAME}``."""
    password: Secret = ""
    """Instead of ``key``. By reference."""
    path: Annotated[str, Meta(min_length=1, max_length=900)] = "vcons/{date}/{uuid}.json"
    """Of the file, from where the user arrives, or from / on; ``{date}`` is ``YYYY/MM/DD``. Folders are made."""
    connect_timeout: Seconds = 10
    """Seconds for making the connection."""
    total_timeout: Seconds = 120
    """Seconds for one delivery."""
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 2
    """Deliveries at the same time, over one connection."""
    name: Name = "sftp"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""

    def __repr__(self) -> str:
        """Without secrets: a configuration may end up in a log line."""
        return f"SftpConfig(name={self.name!r}, host={self.host!r}, user={self.user!r})"


class SftpSink:
    """Writes, syncs, renames. A file that is there already is never replaced by other bytes."""

    Config: ClassVar[type[SftpConfig]] = SftpConfig
    forms: ClassVar[tuple[Form, ...]] = ("plain", "signed", "encrypted")
    profile: ClassVar[Profile] = "core"
    max_bytes: int = 0

    def __init__(self, config: SftpConfig) -> None:
        """Raises ConfigError, MissingExtraError."""
        at = f"sinks.{config.name}"
        if find_spec("asyncssh") is None:
            raise MissingExtraError(f"sink 'sftp' needs asyncssh: {how_to_install('asyncssh')}")
        if bool(config.key) == bool(config.password):
            raise ConfigError("either `key` or `password`", f"{at}.key")
        if config.host_key.startswith(("SHA256:", "MD5:")):
            raise ConfigError(
                f"is a fingerprint: the key itself is what `ssh-keyscan {config.host}` prints", f"{at}.host_key"
            )
        self.name, self.concurrency = config.name, config.concurrency
        self._config = config
        self._places = Places(config.path.lstrip("/"), f"{at}.path", allowed=OF_PATH)
        self._top = "/" if config.path.startswith("/") else ""
        self.address = f"sftp://{config.host}:{config.port}/{config.path}"
        self._connection: SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._connecting = asyncio.Lock()

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Durable when it returns, where the server can sync. Raises Retry or Refused."""
        path = self._top + self._places.of(record.uuid)
        await self._bounded(self._store(path, record.body))
        return Receipt(0, f"{self._config.host}:{path}")

    async def erase(self, uuid: str) -> Receipt:
        """Remove the file, and what an earlier try left beside it. Raises Retry or Refused."""
        path = self._top + self._places.of(uuid)
        await self._bounded(self._remove(path))
        return Receipt(0, f"{self._config.host}:{path}")

    async def look(self) -> list[Seen]:
        """Whether the server lets us in. Raises Retry or Refused."""
        return await self._bounded(self._seen())

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()  # no file is open, or its try was given up
            with contextlib.suppress(Exception):  # whatever state it is in, it goes
                await asyncio.wait_for(connection.wait_closed(), self._config.connect_timeout)

    async def _bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """Whatever goes wrong with the connection ends it. Raises Retry or Refused."""
        try:
            asyncssh = await asyncio.to_thread(_library)  # the import reads files
            try:
                async with asyncio.timeout(self._config.total_timeout):
                    return await work
            except (Retry, Refused):
                raise
            except (asyncssh.Error, OSError, ValueError) as why:  # time-outs are OSErrors
                lost = (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost)
                if not isinstance(why, asyncssh.SFTPError) or isinstance(why, lost):
                    await self.close()
                raise self._told(asyncssh, why) from why
        finally:
            work.close()  # one that was never begun

    async def _connected(self) -> SFTPClient:
        async with self._connecting:
            if self._client is None:
                await self.close()
                config, asyncssh = self._config, _library()
                keys = [] if config.password else [asyncssh.import_private_key(await _text(config.key))]
                known = [line.strip() for line in (await _text(config.host_key)).splitlines()]
                public = [asyncssh.import_public_key(_public(line)) for line in known if line and line[0] != "#"]
                connection = await asyncio.wait_for(
                    asyncssh.connect(
                        config.host, config.port, username=config.user, known_hosts=(public, [], []), client_keys=keys,
                        password=config.password or None, config=None, agent_path=None, client_host_keysign=False,
                        gss_host=None, preferred_auth="publickey" if keys else "password,keyboard-interactive",
                        keepalive_interval=30,
                    ),
                    config.connect_timeout,
                )  # fmt: skip
                self._connection = connection
                self._client = await connection.start_sftp_client()
            return self._client

    async def _store(self, path: str, body: bytes) -> None:
        client, asyncssh = await self._connected(), _library()
        folder, part = _part(path)
        if await self._there(client, path, body):
            return
        if folder:
            await client.makedirs(folder, exist_ok=True)
        try:
            await self._write(client, part, body)
            await client.rename(part, path)  # of SFTP 3: it replaces nothing
        except (asyncssh.SFTPError, Retry):
            with contextlib.suppress(asyncssh.SFTPError):  # half of a vCon takes room, and is of no use
                await client.remove(part)
            raise

    async def _write(self, client: SFTPClient, part: str, body: bytes) -> None:
        asyncssh, host = _library(), self._config.host
        try:
            async with client.open(part, "wb", asyncssh.SFTPAttrs(permissions=0o600)) as file:
                for start in range(0, len(body), PIECE):
                    await file.write(body[start : start + PIECE], start)
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()
        except asyncssh.SFTPFailure as why:  # SFTP 3 has no word for a full disk
            hint = f"most likely its disk or the quota of {self._config.user} is full: make room there; {AGAIN}"
            detail, answer = f"{host} does not take the {len(body)} bytes of a vCon", str(why.reason)[:200]
            raise Retry("not-written", whole_sink=True, answer=answer, detail=detail, hint=hint) from why
        if await client.getsize(part) != len(body):
            raise Retry("short", detail=f"{host} has fewer bytes than were sent", hint="look at its disk")

    async def _there(self, client: SFTPClient, path: str, body: bytes) -> bool:
        """Raises Refused for other bytes."""
        if not await client.exists(path):
            return False
        same = await client.getsize(path) == len(body)
        if same:
            async with client.open(path, "rb") as file:
                for start in range(0, len(body), PIECE):
                    same = same and await file.read(PIECE, start) == body[start : start + PIECE]  # type: ignore[comparison-overlap]  # asyncssh says text, of a file that is read as bytes
        if not same:
            raise Refused("other-bytes-there", hint="compare the two; move the old file away, then retry")
        return True

    async def _remove(self, path: str) -> None:
        client, asyncssh = await self._connected(), _library()
        for each in (path, _part(path)[1]):
            with contextlib.suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                await client.remove(each)

    async def _seen(self) -> list[Seen]:
        client = await self._connected()
        top = self._top or "."
        await client.stat(top)
        return [Seen("ok", f"{self._config.host} lets vcond in; whether it may write there only a delivery shows")]

    def _told(self, asyncssh: Any, why: Exception) -> Retry:
        """What went wrong, and what mends it."""
        config, at = self._config, f"{self._config.host}:{self._config.port}"
        detail, answer, held = f"{at}: {type(why).__name__}", "", True
        if isinstance(why, asyncssh.HostKeyNotVerifiable):
            reason, detail = "host-key", f"the key of {at} is not `host_key`"
            hint = "if the server has a new key, compare its fingerprint there and correct `host_key`; else somebody is between"
        elif isinstance(why, asyncssh.PermissionDenied):
            reason, detail = "refused", f"{at} does not let {config.user} in"
            hint = f"correct `{'password' if config.password else 'key'}` and `user`, or the server's authorized_keys"
        elif isinstance(why, asyncssh.KeyImportError | ValueError):
            reason, detail, hint = (
                "key",
                "`key` or `host_key` cannot be read",
                "a private key in PEM or OpenSSH form without a password; as `host_key` what `ssh-keyscan` prints",
            )
        elif isinstance(why, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
            reason, hint = "permissions", f"let {config.user} write to `path` there"
        elif isinstance(why, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
            reason, hint, held = "full", "make room there", False
        elif isinstance(why, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost):
            reason, hint, held = "connection-lost", "look at the log of its SSH server", False
        elif isinstance(why, asyncssh.SFTPError):
            reason, hint, held = "sftp", "look whether its disk is full, and at the log of its SSH server", False
            answer = str(why.reason)[:200]
        elif isinstance(why, TimeoutError):
            reason, detail, held = "timeout", f"{at} does not answer in time", False
            hint = "check its load and the firewall; `connect_timeout` and `total_timeout` set how long vcond waits"
        elif isinstance(why, asyncssh.Error):
            reason, hint, held = "connection-lost", "check that an SSH server with SFTP is there, and its log", False
        elif isinstance(why, FileNotFoundError | PermissionError):
            reason, detail, hint = "key", "the file of `key` or `host_key` cannot be read", "let vcond's user read it"
        else:
            reason, hint, held = "unreachable", "check that its SSH server runs, `host`, `port` and the firewall", False
        return Retry(reason, whole_sink=True, answer=answer, detail=detail, hint=f"{hint}; {AGAIN}", held=held)


def _library() -> Any:
    import asyncssh

    return asyncssh


def _part(path: str) -> tuple[str, str]:
    """The folder of a file, and what the file is called there while it is written."""
    folder, slash, name = path.rpartition("/")
    return folder, f"{folder}{slash}.{name}.part"


async def _text(value: str) -> str:
    """A key as it is, or of the file that is named. Raises OSError."""
    if value.startswith(("-----BEGIN", BEGINS)) or len(value.split()) > 1:
        return value
    return await asyncio.to_thread(_read, Path(value))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST_KEY).decode()


def _public(line: str) -> str:
    """A public key as it is pasted, or as known_hosts has it: the key itself names its kind (RFC 4253 section 6.6). Raises ValueError."""
    key = next((word for word in line.split() if word.startswith(BEGINS)), "")
    if not key or line.startswith("@"):  # of known_hosts: an authority, or a key that nobody may trust
        raise ValueError
    blob = base64.b64decode(key, validate=True)
    return f"{blob[4 : 4 + int.from_bytes(blob[:4])].decode('ascii')} {key}"
