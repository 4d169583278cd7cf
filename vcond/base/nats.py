"""Connections to NATS: the one place that makes them. Made anew when they are lost, and no secret goes to who speaks no TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vcond.base.errors import ConfigError, OperatorError

if TYPE_CHECKING:
    from nats.aio.client import Client


class NotEncryptedError(OperatorError):
    """TLS is wanted, and the server does not speak it. No secret was sent to it."""


@dataclass(frozen=True)
class Access:
    """A server, and as whom it is used."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    context: ssl.SSLContext | None = None
    """With one TLS is wanted."""

    def __repr__(self) -> str:
        """Without secrets: it may end up in a log line."""
        return f"Access({self.url!r})"


def check_address(url: str, user: str, token: str, at: str) -> bool:
    """Whether TLS is wanted. Raises ConfigError for keys of the section ``at``."""
    parts = urlsplit(url)
    if parts.scheme not in {"nats", "tls"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError("must be nats://host:4222 or tls://host:4222", f"{at}.url")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("must not hold a secret: use `user` and `password`, or `token`", f"{at}.url")
    if token and user:
        raise ConfigError("either `token`, or `user` and `password`", f"{at}.token")
    return parts.scheme == "tls"


async def connect(access: Access, seconds: float, gone: asyncio.Event) -> Client:
    """A connection; ``gone`` is set when it is lost, and it does not come back by itself: nats-py would buffer 2 MiB and say nothing.

    Raises NotEncryptedError, and whatever nats-py raises. A secret is handed over only after a handshake was seen here,
    whatever the server asks for.
    """
    client = await asyncio.to_thread(_client)  # the import reads files
    shaken = [access.context is None]
    if access.context is not None:
        access.context.sslobject_class = _noting(shaken)

    def secret(text: str) -> Callable[[], str]:
        def handed_over() -> str:
            _encrypted(shaken)
            return text

        return handed_over

    who: dict[str, Any] = {"token": secret(access.token)} if access.token else {}
    if access.user:
        who = {"user": access.user, "password": secret(access.password)}

    async def lost() -> None:
        gone.set()

    try:
        await asyncio.wait_for(
            client.connect(
                access.url, tls=access.context, allow_reconnect=False, connect_timeout=max(1, int(seconds)),
                max_reconnect_attempts=1, reconnect_time_wait=0, error_cb=_quiet, closed_cb=lost, disconnected_cb=lost,
                name="vcond", **who,
            ),
            seconds,
        )  # fmt: skip
        _encrypted(shaken)
    except BaseException:
        await close(client, seconds)
        raise
    return client


async def close(client: Client, seconds: float) -> None:
    """Whatever state it is in, it goes."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), seconds)


def _encrypted(shaken: list[bool]) -> None:
    if not all(shaken):
        raise NotEncryptedError("the server does not use TLS, and no secret was sent to it")


def _client() -> Client:
    from nats.aio.client import Client

    return Client()


async def _quiet(_why: Exception) -> None:
    """nats-py logs tracebacks otherwise; what it raises is told by who uses it."""


def _noting(shaken: list[bool]) -> type[ssl.SSLObject]:
    """Connections of a context, which say when their handshake is done."""

    class Noting(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shaken[0] = True

    return Noting
