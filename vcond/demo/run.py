"""``vcond demo``: a spoken call through a freshly started daemon, and what becomes of it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vcond.base.errors import UnreachableError, VcondError
from vcond.demo import child, settings
from vcond.demo.admin import Admin
from vcond.demo.call import Recording, demo_call
from vcond.demo.demo_paths import DemoPaths, demo_paths
from vcond.demo.errors import DemoError
from vcond.demo.media_stream_player import MediaStreamPlayer, Player
from vcond.demo.pbx import AsteriskPlayer
from vcond.demo.summary import scores, summary
from vcond.demo.terminal import Terminal, clock
from vcond.demo.wav import own_call
from vcond.sdk.contract import CaptionEvent
from vcond.vcon import read, validate

TEXT_LIMIT = 60.0
"""Seconds from the hang-up to the vCon, on top of the length of the call: a slow machine may transcribe as long."""
LOOK_EVERY = 0.05
FOREVER = 30 * 86_400.0
FINDINGS_SHOWN = 10
ENOUGH = 0.5
"""Share of a party's words that the transcript of the demo call must have: less is no working vcond."""
SLOWEST, FASTEST = 0.1, 10
"""Beyond, a moment in which a busy machine does something else is as long as a word of the call."""


@dataclass(frozen=True)
class DemoOptions:
    """The options of ``vcond demo``."""

    wav: Path | None = None
    """A stereo file to play instead of the demo call; left = caller."""
    speed: float = 1.0
    """How many times faster than spoken."""
    out: Path | None = None
    """Folder for configuration, log and vCon; None = a new one among temporary files."""
    pbx: str = ""
    """Empty = as a Twilio stream; ``asterisk`` = through a real Asterisk."""
    view: bool = False
    """Stay up when the call is over, for the page, until Ctrl-C."""


def run_demo(options: DemoOptions) -> int:
    """Play a call and show what becomes of it; the last line printed is ``vCon: <path>``.

    Returns the exit code: 0, 1 with a message when something went wrong, 128 + the signal when it was stopped.
    """
    stop = _Stop()
    try:
        recording = own_call(options.wav) if options.wav is not None else demo_call()
        player = _player(options)
        names = [person.name for person in recording.parties]
        with demo_paths(options.out) as where, Terminal(names, recording.seconds) as terminal:
            try:
                path = asyncio.run(_demo(_Run(recording, player, where, terminal, stop, options.view)))
                _show(path, recording)
            except (VcondError, OSError):
                _show_log(where)
                raise
    except VcondError as why:
        return _failed(str(why))
    except OSError as why:
        return _failed(f"{why.filename or 'vcond demo'}: {why.strerror or type(why).__name__}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 128 + stop.signal
    print(f"\nvCon: {path}", flush=True)
    return 0


def _player(options: DemoOptions) -> Player:
    if not SLOWEST <= options.speed <= FASTEST:
        raise DemoError(f"--speed must be from {SLOWEST} to {FASTEST}")
    if options.pbx == "":
        return MediaStreamPlayer(options.speed)
    if options.pbx == "asterisk":
        if options.speed != 1:
            raise DemoError("--speed must be 1 with --pbx")
        return AsteriskPlayer()
    raise DemoError(f"--pbx {options.pbx}: the only choice is asterisk")


class _Stop:
    """Ctrl-C, SIGTERM and SIGHUP: the first ends the demo in order, the second kills the daemon at once."""

    def __init__(self) -> None:
        self.signal = signal.SIGINT
        self.daemon: child.Child | None = None
        self._asked = False
        self._enough: asyncio.Future[None] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals for the task that enters."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._ask, number, task)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def enough(self) -> asyncio.Future[None]:
        """From now on the first signal is no failure: it is this."""
        self._enough = asyncio.get_running_loop().create_future()
        return self._enough

    def _ask(self, number: signal.Signals, task: asyncio.Task[None]) -> None:
        if self._enough is not None and not self._enough.done():
            self._enough.set_result(None)
        elif not self._asked:
            self._asked, self.signal = True, number
            print("\nstopping; press again to stop at once", file=sys.stderr)
            task.cancel()
        elif self.daemon is not None:
            self.daemon.kill()


@dataclass
class _Run:
    """Everything of one run."""

    recording: Recording
    player: Player
    where: DemoPaths
    terminal: Terminal
    stop: _Stop
    view: bool
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


async def _demo(run: _Run) -> Path:
    """From nothing to a delivered vCon. Raises DemoError, and PeerError of the daemon."""
    with run.stop.watched():
        recording, terminal, where = run.recording, run.terminal, run.where
        names = " and ".join(person.name for person in recording.parties)
        terminal.say(f"{recording.title}: {names}, {clock(recording.seconds)}, {run.player.title}")
        terminal.note(run.player.waiting)
        try:
            adapter = await run.player.start(where.sockets)
            settings.write(where, adapter=adapter, token=run.token)
            return await _through_daemon(run)
        finally:
            await run.player.stop()


async def _through_daemon(run: _Run) -> Path:
    """From a configuration to a delivered vCon."""
    where, terminal = run.where, run.terminal
    terminal.note("starting the daemon")
    before = where.delivered()
    begun = asyncio.get_running_loop().time()
    async with child.daemon(where.config, where.log, where.notify_socket, run.player.daemon) as daemon:
        run.stop.daemon = daemon
        await daemon.ready()
        terminal.say(f"daemon ready after {asyncio.get_running_loop().time() - begun:.1f} s", dim=True)
        async with Admin(where.admin_socket) as admin, admin.live() as captions:
            if link := await admin.page_link():
                terminal.say(f"watch it in a browser: {link}")
            watching = asyncio.create_task(_watch(captions, terminal))
            try:
                await _carried(run, daemon, await admin.listen_url())
                path = await _delivered(run, daemon, before)
                if run.view:
                    await _viewed(run, daemon, admin)
                return path
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)


async def _viewed(run: _Run, daemon: child.Child, admin: Admin) -> None:
    """Until somebody has seen enough. Raises DemoError when the daemon ends before."""
    enough = run.stop.enough()
    if link := await admin.page_link():
        run.terminal.say(f"its record in a browser: {link}")
        run.terminal.say("Ctrl-C ends the demo")
        died = asyncio.create_task(daemon.check(patience=FOREVER))
        await asyncio.wait({enough, died}, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
    if not enough.done():
        await daemon.check(patience=1.0)


async def _carried(run: _Run, daemon: child.Child, url: str) -> None:
    run.terminal.note("")
    try:
        await run.player.play(run.recording, url, run.token, run.terminal.progress)
    except UnreachableError:
        await daemon.check(patience=1.0)  # when it died that is the better message
        raise


async def _delivered(run: _Run, daemon: child.Child, before: set[Path]) -> Path:
    """Wait for the vCon in the folder sink."""
    run.terminal.note("hung up; waiting for the last words and the vCon")
    deadline = asyncio.get_running_loop().time() + TEXT_LIMIT + run.recording.seconds
    while not (new := run.where.delivered() - before):
        await daemon.check(patience=LOOK_EVERY)
        if asyncio.get_running_loop().time() > deadline:
            raise DemoError("no vCon was made; see the daemon's log")
    return min(new)


async def _watch(captions: AsyncIterator[CaptionEvent], terminal: Terminal) -> None:
    """Show live text. Without it the demo goes on: it is what people see, not what is delivered."""
    try:
        async for caption in captions:
            terminal.caption(caption)
    except VcondError as why:
        terminal.say(str(why))


def _show(path: Path, recording: Recording) -> None:
    """Read the vCon, check it, and print what is in it.

    Raises DemoError when it is not valid, or when it is known what was said and that is not in it.
    """
    data = path.read_bytes()
    document = read(data)
    findings = validate(document)
    shown = [f"  {one.level}: {one.path}: {one.message}" for one in findings[:FINDINGS_SHOWN]]
    if any(one.level == "error" for one in findings):
        raise DemoError("\n".join([f"{path} is not a valid vCon:", *shown]))
    print("", *summary(document, recording, len(data)), *shown, sep="\n", flush=True)
    if any(one.share < ENOUGH for one in scores(document, recording)):
        raise DemoError(f"a party of this call has no audio or no text; the vCon is {path}")


def _show_log(where: DemoPaths) -> None:
    lines = child.tail(where.log)
    if lines:
        print(f"\nthe last lines of {where.log}:", *lines, sep="\n  ", file=sys.stderr)


def _failed(message: str) -> int:
    print(f"\nvcond demo: {message}", file=sys.stderr)
    return 1
