"""The sink ``nats``: each vCon is a message in a JetStream stream, or, when it is too large for one, in an object store.

What nats-server 2.9 and nats-py 2.16 do, as it was measured, decides what is done here:

- nats-py does not count headers when it looks at ``max_payload``; the server does, and closes the connection. So it is counted here.
- A time-out means "not known": the same ``Nats-Msg-Id`` again is taken once within the stream's duplicate window.
- Under ``discard old`` a message larger than ``max_bytes`` is acknowledged, is gone, and takes all others with it.
- Its own reconnecting buffers 2 MiB and says nothing: a connection that is lost is made anew here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Meta

from vcond.base import nats, tls
from vcond.base.errors import MissingExtraError, how_to_install
from vcond.delivery.sinks.http_answers import AGAIN
from vcond.delivery.sinks.http_client import LOCAL, Name, Seconds, Secret
from vcond.delivery.sinks.nats_answers import not_taken, wrong_streams
from vcond.delivery.sinks.places import PROBE, Places
from vcond.sdk.sink import Form, OutgoingVcon, Profile, Receipt, Refused, Retry, Seen

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

log = structlog.get_logger()
T = TypeVar("T")

ROOM: Final = 4096
"""Bytes of a message that are left for its headers."""
FORMS: Final[tuple[Form, ...]] = ("plain", "signed", "encrypted")


class NatsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[[sinks]]`` with ``type = "nats"``."""

    url: Annotated[str, Meta(max_length=2048)]
    """``nats://host:4222``, or ``tls://host:4222``: then nothing is said to a server that does not speak TLS."""
    stream: Name
    """The stream that takes ``subject``; it must be there, and refuse what does not fit (``--discard new``)."""
    subject: Annotated[str, Meta(max_length=200)] = "vcons.{uuid}"
    """Of a message, with ``{uuid}`` in it, so that one can be erased."""
    bucket: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""
    """The object store for vCons that are larger than a message may be; a small message says where. Empty = those wait."""
    user: Annotated[str, Meta(max_length=256)] = ""
    """With ``password``, if the server wants them."""
    password: Secret = ""
    """Of ``user``. By reference: ``${credential:NAME}``."""
    token: Secret = ""
    """Instead of both. By reference."""
    ca_file: str = ""
    """A PEM file of the authority that signed the server's certificate; empty = the system's."""
    connect_timeout: Seconds = 10
    """Seconds for making the connection."""
    total_timeout: Seconds = 120
    """Seconds for one delivery, upload and answer."""
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 2
    """Deliveries that are prepared at the same time; they go over one connection, one after the other."""
    name: Name = "nats"
    """What you call it: in the outbox, in the log, as a label of metrics. It stays the same as long as vCons wait for it."""

    def __repr__(self) -> str:
        """Without secrets: a configuration may end up in a log line."""
        return f"NatsConfig(name={self.name!r}, stream={self.stream!r})"


class Stored(msgspec.Struct):
    """What the message says whose vCon is in the object store."""

    uuid: str
    form: Form
    bucket: str
    object: str
    size: int
    sha512: str
    """Of the object's bytes, in hex."""
    digest: str
    """The store's own: ``SHA-256=`` and base64url."""


class NatsSink:
    """Publishes with ``Nats-Msg-Id`` = uuid and form, and believes an acknowledgement of its stream only."""

    Config: ClassVar[type[NatsConfig]] = NatsConfig
    forms: ClassVar[tuple[Form, ...]] = FORMS
    profile: ClassVar[Profile] = "core"
    max_bytes: int = 0

    def __init__(self, config: NatsConfig) -> None:
        """Raises ConfigError, MissingExtraError."""
        at = f"sinks.{config.name}"
        if find_spec("nats") is None:
            raise MissingExtraError(f"sink 'nats' needs nats-py: {how_to_install('nats-py')}")
        self.name, self.concurrency = config.name, config.concurrency
        self._config = config
        self._secure = _address(config, at)
        self._subjects = Places(config.subject, f"{at}.subject", allowed="A-Za-z0-9_.-")
        self._context = tls.client(config.ca_file, f"{at}.ca_file") if self._secure else None
        self.address = f"{config.url.rstrip('/')}/{config.stream}/{config.subject}"
        self._client: Client | None = None
        self._turn = asyncio.Lock()
        self._gone = asyncio.Event()

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Publish it. Raises Retry or Refused."""
        return await self._bounded(lambda client, stream: self._publish(client, stream, record))

    async def erase(self, uuid: str) -> Receipt:
        """Purge its subject and delete its objects; then neither may be there. Raises Retry or Refused."""
        subject = self._subjects.of(uuid)
        return await self._bounded(lambda _, stream: self._purge(stream, subject, uuid))

    async def look(self) -> list[Seen]:
        """Whether stream and bucket are there, and lose nothing. Raises Retry or Refused."""
        return await self._bounded(self._seen)

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await nats.close(client, self._config.connect_timeout)

    async def _bounded(self, work: Callable[[Client, JetStreamContext], Coroutine[Any, Any, T]]) -> T:
        """One at a time, over a connection that is there. Whatever goes wrong with it ends it."""
        try:
            async with self._turn, asyncio.timeout(self._config.total_timeout):
                client = await self._connected()
                return await self._while_connected(work(client, client.jetstream(timeout=self._config.total_timeout)))
        except (Retry, Refused):
            raise
        except asyncio.CancelledError:
            await self.close()  # what it had sent in part must not be in the way of the next
            raise
        except Exception as why:
            told = not_taken(why, self._config.url, self._config.stream, "token" if self._config.token else "password")
            if told is None:
                raise
            if told.whole_sink:
                await self.close()
            raise told from why

    async def _while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """nats-py waits for an answer although the connection is gone: not longer than that here."""
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            raise ConnectionResetError
        finally:
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self.close()
        self._gone, config = asyncio.Event(), self._config
        access = nats.Access(config.url, config.user, config.password, config.token, self._context)
        try:
            client = await nats.connect(access, config.connect_timeout, self._gone)
        except nats.NotEncryptedError as why:
            raise _not_encrypted() from why
        self._client = client
        await self._refuse_what_loses(client.jetstream(timeout=config.connect_timeout))
        return client

    async def _refuse_what_loses(self, stream: JetStreamContext) -> None:
        for one in wrong_streams(await stream.stream_info(self._config.stream), self._config.stream, ""):
            if one.level == "error":
                raise Retry("stream-loses", detail=one.text, hint=f"{one.fix}; {AGAIN}", held=True)

    async def _publish(self, client: Client, stream: JetStreamContext, record: OutgoingVcon) -> Receipt:
        config, subject = self._config, self._subjects.of(record.uuid)
        body = record.body
        if len(body) + ROOM > client.max_payload:
            if not config.bucket:
                raise Retry(
                    "too-large",
                    detail=f"max_payload of the server is {client.max_payload} bytes",
                    hint=f"set `bucket`, or raise max_payload (to 32MB, its most is 64MB) in nats-server.conf; {AGAIN}",
                    too_large=True,
                )
            body = await self._stored(stream, record)
        ack = await stream.publish(
            subject, body, timeout=config.total_timeout, stream=config.stream, headers={"Nats-Msg-Id": record.key}
        )
        if ack.stream != config.stream or not ack.seq:
            raise Retry("no-ack", detail="the answer is not that of the stream", held=True, hint="correct `stream`")
        return Receipt(0, f"{config.stream}/{ack.seq}", "duplicate" if ack.duplicate else "")

    async def _stored(self, stream: JetStreamContext, record: OutgoingVcon) -> bytes:
        """Put it into the object store; the message that says so."""
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(record.body).digest())
        digest = f"SHA-256={base64.urlsafe_b64encode(sha256).decode()}"
        store = await stream.object_store(self._config.bucket)
        info = await store.put(record.key, record.body)
        if info.digest != digest or info.size != len(record.body):
            raise Retry("digest", detail="the object store has other bytes than were sent", hint="look at its disk")
        told = Stored(
            record.uuid, record.form, self._config.bucket, record.key, len(record.body), record.sha512, digest
        )
        return msgspec.json.encode(told)

    async def _purge(self, stream: JetStreamContext, subject: str, uuid: str) -> Receipt:
        from nats.js.errors import NotFoundError

        await stream.purge_stream(self._config.stream, subject=subject)
        with contextlib.suppress(NotFoundError):
            await stream.get_last_msg(self._config.stream, subject)
            raise Retry("still-there", hint="the stream keeps what it was told to purge: look at its settings")
        if self._config.bucket:
            store = await stream.object_store(self._config.bucket)
            for form in FORMS:
                with contextlib.suppress(NotFoundError):
                    await store.delete(f"{uuid}.{form}")
        return Receipt(0, f"{self._config.stream}/{subject}")

    async def _seen(self, client: Client, stream: JetStreamContext) -> list[Seen]:
        config = self._config
        found = wrong_streams(await stream.stream_info(config.stream), config.stream, self._subjects.of(PROBE))
        if config.bucket:
            await stream.object_store(config.bucket)
            return [Seen("ok", f"stream {config.stream} and object store {config.bucket} are there"), *found]
        fix = "set `bucket`, or raise max_payload to 32MB in nats-server.conf: a minute of a call is more than 1 MB"
        if client.max_payload < 16 << 20:
            found.append(Seen("warning", f"a message may have {client.max_payload} bytes; larger vCons wait", fix))
        return [Seen("ok", f"stream {config.stream} is there"), *found]


def _not_encrypted() -> Retry:
    return Retry(
        "tls:plain",
        detail="the server does not use TLS, and no secret was sent to it",
        hint=f"set tls in nats-server.conf, or use nats:// in `url` on this machine; {AGAIN}",
        held=True,
    )


def _address(config: NatsConfig, at: str) -> bool:
    """Whether TLS is wanted. Raises ConfigError."""
    secure = nats.check_address(config.url, config.user, config.token, at)
    if not secure and urlsplit(config.url).hostname not in LOCAL:
        log.warning("vCons are sent to this sink without TLS", sink=config.name, hint="use tls://")
    return secure
