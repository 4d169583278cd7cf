"""``vcond speech``: a machine that transcribes for others."""

from __future__ import annotations

import typer

from vcond.cli.options import DEFAULT, ConfigFile, load_all

speech_app = typer.Typer(help="Speech on other machines: transcribe for them.", no_args_is_help=True)


@speech_app.callback()
def speech() -> None:
    """Speech on other machines: transcribe for them."""


@speech_app.command("serve")
def serve(config: ConfigFile = DEFAULT) -> None:
    """Transcribe for other machines, in the foreground, until SIGTERM: needs no PBX, only [speech] and [speech.queue]."""
    import asyncio
    import contextlib
    import signal

    from vcond.base import log
    from vcond.base.errors import ConfigError
    from vcond.base.systemd import Notifier
    from vcond.capture.clock import SteadyClock
    from vcond.speech.queue.messages import cipher
    from vcond.speech.queue.server import SpeechServer

    loaded = load_all(config).config
    log.configure(loaded.vcond.log_level, loaded.vcond.log_format)
    if not loaded.speech.queue.url:
        raise ConfigError("must be set: it is where utterances come from", "speech.queue.url")

    async def until_stopped() -> None:
        key = cipher(loaded.speech.queue.key)
        server = SpeechServer(loaded.speech, clock=SteadyClock(), machine=loaded.vcond.host, cipher=key)
        serving = asyncio.create_task(server.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        ready = asyncio.create_task(server.serving.wait())
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        Notifier().send(READY="1", STATUS="transcribing for other machines")
        ready.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(until_stopped())
