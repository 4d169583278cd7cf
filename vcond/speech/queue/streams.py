"""The two streams of a queue, and what NATS says of them.

``<stream>_JOBS`` is a work queue: one consumer for all machines that transcribe; a message goes when one has answered it.
``<stream>_TEXTS`` has the answers, a subject for each machine and model that asks. Both refuse what does not fit (``discard new``):
otherwise what waits would go.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vcond.base import nats, tls
from vcond.base.errors import OperatorError
from vcond.speech.queue.config import QueueConfig

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

CONSUMER: Final = "servers"
"""That of all machines that transcribe."""
ROOM: Final = 4096
"""Bytes of a message that are left for its headers, which nats-py does not count."""
WINDOW: Final = 3600.0
"""Seconds for which a stream knows doubles."""
JOB_DAYS, TEXT_DAYS = 2, 7
"""Days after which what nobody took goes."""
TEXTS_MB: Final = 64
"""Megabytes of answers that nobody fetched, at most."""
_FULL: Final = frozenset({10023, 10077, 10047, 10028, 10113})
"""err_code of JetStream: insufficient resources, maximum bytes or messages, insufficient storage, account limits."""


class QueueError(OperatorError):
    """The queue cannot be used now. The text says why, and what to do."""


@dataclass(frozen=True)
class Link:
    """A connection that is there, and what is used of it."""

    config: QueueConfig
    client: Client
    js: JetStreamContext
    gone: asyncio.Event

    async def until_gone(self) -> None:
        """Raises QueueError when it is lost: nats-py would wait for answers all the same."""
        await self.gone.wait()
        raise QueueError(f"the connection to {self.config.url} was lost")


async def cancellable(work: Coroutine[Any, Any, None]) -> None:
    """Do it; when it is to be cancelled it is, as often as it takes: nats-py, and wait_for of Python 3.11, may lose a cancel."""
    task = asyncio.ensure_future(work)
    # one that is told to end may end as it likes; asyncio would log what nobody asks for
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.5)
        raise
    task.result()


def end_if_cancelled() -> None:
    """Raises CancelledError in a task that was cancelled: nats-py, and a TaskGroup whose task fails just then, raise something else."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def jobs(config: QueueConfig) -> str:
    """The stream of jobs."""
    return f"{config.stream}_JOBS"


def texts(config: QueueConfig) -> str:
    """The stream of answers."""
    return f"{config.stream}_TEXTS"


def job_subject(config: QueueConfig) -> str:
    """Of every job."""
    return f"{config.stream}.jobs"


def text_subject(config: QueueConfig, edge: str, number: int) -> str:
    """Of the answers to one machine's jobs of one of its models."""
    return f"{config.stream}.texts.{edge}.{number}"


def label(config: QueueConfig, host: str) -> str:
    """What this machine is called there."""
    return config.machine or re.sub(r"[^A-Za-z0-9_-]", "-", host)[:64] or "vcond"


def access(config: QueueConfig, at: str = "speech.queue") -> nats.Access:
    """How the server is reached. Raises ConfigError."""
    secure = nats.check_address(config.url, config.user, config.token, at)
    context = tls.client(config.ca_file, f"{at}.ca_file") if secure else None
    return nats.Access(config.url, config.user, config.password, config.token, context)


@asynccontextmanager
async def linked(config: QueueConfig, to: nats.Access) -> AsyncIterator[Link]:
    """A connection, for a while. Raises QueueError for what NATS says, inside too."""
    gone, client = asyncio.Event(), None
    try:
        client = await nats.connect(to, config.connect_timeout, gone)
        yield Link(config, client, client.jetstream(timeout=config.connect_timeout), gone)
    except Exception as why:
        told = said(why, config)
        if told is None:
            raise
        raise told from why
    finally:
        if client is not None:
            await nats.close(client, config.connect_timeout)


async def make_streams(link: Link) -> None:
    """Those that are not there. Raises what nats-py raises."""
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
    from nats.js.errors import NotFoundError

    config, day = link.config, 86_400
    for name, subject, most, days in (
        (jobs(config), job_subject(config), config.max_mb, JOB_DAYS),
        (texts(config), f"{config.stream}.texts.*.*", TEXTS_MB, TEXT_DAYS),
    ):
        try:
            await link.js.stream_info(name)
        except NotFoundError:
            await link.js.add_stream(
                StreamConfig(
                    name=name, subjects=[subject], retention=RetentionPolicy.WORK_QUEUE, discard=DiscardPolicy.NEW,
                    storage=StorageType.FILE, max_bytes=most << 20, max_age=days * day, duplicate_window=WINDOW,
                )
            )  # fmt: skip


async def awaited(link: Link) -> bool:
    """Whether a machine waits for a job; False as well where NATS does not say it."""
    try:
        servers = await link.js.consumer_info(jobs(link.config), CONSUMER)
    except Exception as why:
        if said(why, link.config) is None:
            raise
        return False
    return bool(servers.num_waiting)


async def withdraw(link: Link, places: Sequence[int]) -> None:
    """Nobody needs these jobs any more. Where they cannot be taken out, they go at their deadline."""
    from nats.js.errors import NotFoundError

    try:
        async with asyncio.timeout(link.config.connect_timeout):
            for seq in places:
                with contextlib.suppress(NotFoundError):
                    await link.js.delete_msg(jobs(link.config), seq)
    except Exception as why:
        if said(why, link.config) is None:
            raise


async def check_streams(link: Link) -> None:
    """Raises QueueError for streams that would lose something, and what nats-py raises for those that are not there."""
    for name in (jobs(link.config), texts(link.config)):
        found = (await link.js.stream_info(name)).config
        if found.retention != "workqueue":
            raise QueueError(f"stream {name} is no work queue: delete it, and vcond speech serve makes it anew")
        if found.discard != "new":
            raise QueueError(
                f"stream {name} drops the oldest when it is full, jobs would be lost: nats stream edit {name} --discard new"
            )


def said(why: BaseException, config: QueueConfig, *, answers: bool = False) -> QueueError | None:
    """What NATS says, and what mends it. None: it is not of NATS, and a bug. ``answers``: it was said of one of those."""
    from nats import errors
    from nats.js import errors as js

    if isinstance(why, QueueError):
        return why
    if isinstance(why, BaseExceptionGroup):
        found = [said(one, config, answers=answers) for one in why.exceptions]
        return None if None in found else found[0]
    at = config.url
    if isinstance(why, nats.NotEncryptedError):
        return QueueError(f"{at}: {why}; set tls in nats-server.conf, or use nats:// on this machine")
    if isinstance(why, js.NotFoundError | js.NoStreamResponseError):
        return QueueError(
            f"streams {jobs(config)} and {texts(config)} are not there: vcond speech serve makes them; or correct speech.queue.stream"
        )
    if isinstance(why, js.APIError):
        return _api(why, config, answers=answers)
    if isinstance(why, errors.NoRespondersError):
        return QueueError(f"{at} has no JetStream: set jetstream {{ store_dir: ... }} in nats-server.conf")
    if isinstance(why, errors.AuthorizationError) or "authoriz" in str(why).lower() or "authentic" in str(why).lower():
        return QueueError(
            f"{at} refuses this machine: correct speech.queue.password (and user), or the user's permissions"
        )
    if isinstance(why, ssl.SSLError):
        return QueueError(f"{at}: no TLS connection ({why.reason or type(why).__name__}); see speech.queue.ca_file")
    if isinstance(why, errors.Error | OSError | TimeoutError):
        return QueueError(f"{at} does not answer: check that nats-server runs, speech.queue.url and the firewall")
    return None


def _api(why: Any, config: QueueConfig, *, answers: bool) -> QueueError:
    if (number := why.err_code or 0) in _FULL and answers:
        return QueueError(
            f"there is no room for answers (JetStream {number}): look for a machine that fetches none, or raise max_bytes of"
            f" stream {texts(config)}"
        )
    if number in _FULL:
        return QueueError(
            f"the queue is full (JetStream {number}): start more machines, or raise max_bytes of stream {jobs(config)}"
        )
    return QueueError(f"JetStream answers {number}: look at streams {jobs(config)} and {texts(config)}")
