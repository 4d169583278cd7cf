"""``vcond bench``: what this machine can do."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcond.cli.output import Json, show

if TYPE_CHECKING:
    from vcond.speech.config import SpeechConfig
    from vcond.speech.engine import Pcm
    from vcond.speech.load.capacity_bench import Level, Report

bench_app = typer.Typer(help="Measure what this machine can do.", no_args_is_help=True)

NICE = 10
"""How far the bench stands back when a daemon runs here."""
DEFAULT = Path("/etc/vcond/vcond.toml")
HEAD = f"{'CALLS':>5}  {'P50 s':>6} {'P95 s':>6} {'WORDS P95 s':>12} {'MISSING':>8} {'CPU/CALL':>9}"


@bench_app.callback()
def bench() -> None:
    """A group of one command, so far."""


@bench_app.command("speech")
def bench_speech(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", envvar="VCOND_CONFIG", help=r"The configuration whose \[speech] is measured."),
    ] = DEFAULT,
    audio: Annotated[
        Path | None, typer.Option(help="Stereo recording of a call like yours, left = caller. Default: the demo call.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=5, max=3600, help="Time limit, not counting the loading of models.")
    ] = 180,
    level: Annotated[float, typer.Option(min=5, max=600, help="Seconds for each number of calls.")] = 20,
    calls: Annotated[int, typer.Option(min=0, max=256, help="Measure only this number of calls.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure how many live calls this machine can transcribe: text delay and CPU for more and more calls.

    Two-party calls in real time through the real speech service and its workers, without PBX and network. A level
    holds when 95 % of the texts come within a second, and the words that are shown too. Exit 1 when not even one does.
    """
    import asyncio

    from vcond.base import log
    from vcond.speech.load import capacity_bench

    log.configure("error", "text")
    options = _speech(config)
    if _daemon_runs(config):
        print("a vcond is running here: it has priority, and the result is what it leaves free", file=sys.stderr)
        os.nice(NICE)
    parties = _parties(audio)
    if not as_json:
        print(HEAD)
    report = asyncio.run(
        capacity_bench.measure(
            options, parties, seconds=seconds, level_seconds=level, only=calls,
            told=(lambda _: None) if as_json else lambda one: print(row(one), flush=True),
        )
    )  # fmt: skip
    show(_builtins(report), as_json, verdict(report))
    raise typer.Exit(0 if report.capacity else 1)


def row(level: Level) -> str:
    """One line of the table."""
    none = "never" if level.missing else "-"
    cells = [_seconds(lag) if lag is not None else none for lag in (level.lag_p50, level.lag_p95)]
    missing = f"{level.missing}/{level.utterances}"
    mark = "" if level.holds else "  does not hold"
    return (
        f"{level.calls:>5}  {cells[0]:>6} {cells[1]:>6} {_seconds(level.words_p95):>12} {missing:>8} "
        f"{level.cpu:>9.3f}{mark}"
    )


def verdict(report: Report) -> list[str]:
    """What it comes to."""
    more = " or more" if report.limited and report.capacity else ""
    machine = f"{report.workers} workers on {report.cpus} CPUs"
    return [
        f"{report.capacity}{more} live calls with {report.engine} {report.model}: {machine}",
        "P50, P95: time from the end of speech to its text. CPU/CALL: CPU seconds per second of a call.",
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _builtins(report: Report) -> Any:
    import msgspec

    return msgspec.to_builtins(report)


def _speech(path: Path) -> SpeechConfig:
    """``[speech]`` of the configuration; what a machine without one would do, and other machines do not help. Raises ConfigError."""
    import msgspec

    from vcond.config import load
    from vcond.speech.config import SpeechConfig

    if path == DEFAULT and not path.exists():
        return SpeechConfig()
    found = load(path, os.environ).config.speech
    routes = [msgspec.structs.replace(route, where=None) for route in found.routes]
    return msgspec.structs.replace(found, where="here", routes=routes)


def _daemon_runs(path: Path) -> bool:
    """Whether one runs here, with this configuration or the usual one."""
    from vcond.base.errors import VcondError
    from vcond.config import load
    from vcond.config.schema import DaemonConfig

    address = DaemonConfig().admin_socket
    with contextlib.suppress(VcondError):
        address = load(path, os.environ).config.vcond.admin_socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(1)
            asked.connect(address)
    except OSError:
        return False
    return True


def _parties(audio: Path | None) -> list[Pcm]:
    """8 kHz audio of caller and agent. Raises DemoError."""
    from vcond.demo.call import demo_call
    from vcond.demo.wav import own_call
    from vcond.media.codecs import Codec, decode

    recording = own_call(audio, "--audio") if audio else demo_call()
    return [decode(Codec.PCMU, track) for track in recording.tracks]
