"""``vcond speech``: a machine that transcribes for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_all

if TYPE_CHECKING:
    from vcond.base.systemd import Notifier
    from vcond.server.speech_server import SpeechServerStatus
    from vcond.speech.queue.server import SpeechServer

speech_app = typer.Typer(help="Speech on other machines: transcribe for them.", no_args_is_help=True)
VERDICT = 30.0
"""Seconds after which systemd is told READY, whatever the model and NATS do: they are tried again as long as it takes."""
BEAT = 10.0
"""Seconds between two lines of status, at most; more often when systemd's watchdog wants it."""


@speech_app.callback()
def speech() -> None:
    """Speech on other machines: transcribe for them."""


@speech_app.command("serve")
def serve(config: ConfigFile = DEFAULT) -> None:
    """Transcribe for other machines, in the foreground, until SIGTERM: needs no PBX, only [speech] and [speech.queue]."""
    import asyncio

    from vcond.base import log
    from vcond.base.errors import ConfigError
    from vcond.base.no_core import no_core_files
    from vcond.base.systemd import Notifier
    from vcond.capture.clock import SteadyClock
    from vcond.server.speech_server import SpeechServerStatus
    from vcond.speech.queue.messages import cipher
    from vcond.speech.queue.server import SpeechServer

    loaded = load_all(config).config
    log.configure(loaded.vcond.log_level, loaded.vcond.log_format)
    no_core_files()
    if not loaded.speech.queue.url:
        raise ConfigError("must be set: it is where utterances come from", "speech.queue.url")

    async def until_stopped() -> None:
        key = cipher(loaded.speech.queue.key)
        server = SpeechServer(loaded.speech, clock=SteadyClock(), machine=loaded.vcond.host, cipher=key)
        await _serve(server, SpeechServerStatus(server, loaded), Notifier())

    asyncio.run(until_stopped())


async def _serve(server: SpeechServer, status: SpeechServerStatus, notifier: Notifier) -> None:
    """Serve until SIGTERM or SIGINT; systemd is told of every step, and that the loop turns."""
    import asyncio
    import contextlib
    import signal

    async def serve() -> None:
        async with status.answering():
            telling = asyncio.create_task(_tell(server, notifier))
            try:
                await server.run()
            finally:
                telling.cancel()

    serving = asyncio.create_task(serve())

    def stop() -> None:
        notifier.send(STOPPING="1", STATUS="giving back what it has")
        serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):  # first of all: a stop while sockets are opened is a stop too
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        notifier.close()


async def _tell(server: SpeechServer, notifier: Notifier) -> None:
    """READY when it is known whether the queue can be reached, then how it is, until cancelled."""
    import asyncio
    import contextlib

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.known.wait(), VERDICT)
    notifier.send(READY="1", STATUS=server.line())
    while True:
        await asyncio.sleep(min(notifier.watchdog / 3 or BEAT, BEAT))
        notifier.send(WATCHDOG="1", STATUS=server.line())
