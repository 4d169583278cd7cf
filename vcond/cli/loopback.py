"""``vcond check --loopback``: a call from its beginning to its vCon, through a daemon of its own.

That daemon has the configured adapter, a folder that is removed again, a port of loopback, no speech and no sink but that
folder: the daemon that runs, its calls and its sinks are not touched, and nobody is dialled.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import structlog.testing

from vcond.app.daemon import Daemon
from vcond.base.errors import ConfigError, PeerError, RefusedError, VcondError
from vcond.config import Config, Loaded
from vcond.config.schema import KeysConfig, OpsConfig, RecordConfig, SealConfig, WebConfig
from vcond.demo import player
from vcond.demo.call import RATE, Person, Recording
from vcond.media.codecs import Codec, encode
from vcond.sdk.contract import Finding
from vcond.speech.config import SpeechConfig
from vcond.vcon import read, validate
from vcond_asterisk import loopback as asterisk
from vcond_freeswitch import loopback as freeswitch
from vcond_siprec import loopback as siprec

PATH: Final = "/loopback"
SECONDS: Final = 2
ENOUGH: Final = 0.9
"""The part of what was sent that must be in the record."""
READY_LIMIT, CALL_LIMIT, VCON_LIMIT = 30.0, 30.0, 30.0
BY_HAND: Final = "place a call by hand and check it with vcond doctor"
LOOK_EVERY: Final = 0.05
REMOVALS: Final = 100
"""Tries to remove the folder, a tenth of a second apart."""


@dataclass(frozen=True)
class At:
    """Where a call is placed."""

    url: str
    """Of the daemon's port, with its ``token`` for who connects to that."""
    token: str
    section: Mapping[str, Any]
    """Of the daemon's adapter."""
    attached: str
    """What that said when it was attached."""


Place = Callable[[At], Awaitable[Any]]
"""Carries a whole call, from its beginning to its hang-up. Raises PeerError or ConfigError when it is refused."""


@dataclass(frozen=True)
class Loop:
    """How a call is placed through one kind of adapter."""

    section: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """What the adapter of its own daemon has, by what the configuration has."""
    place: Place
    means: str
    impossible: Callable[[Mapping[str, Any]], str] = lambda _: ""
    """Why none can be placed with what the configuration has; empty when one can."""
    tidy: Callable[[Mapping[str, Any]], None] = lambda _: None
    """Removes what ``section`` made outside of the daemon's folder."""
    may_refuse: bool = False
    """Whether the system may forbid it and be right: then it is a warning."""


class _FailedError(Exception):
    """A stage that did not come; what is told of it."""

    def __init__(self, stage: str, why: str, fix: str, *, allowed: bool = False) -> None:
        """``allowed``: the system is right to say no."""
        super().__init__(why)
        self.stage, self.why, self.fix, self.allowed = stage, why, fix, allowed


def recording() -> Recording:
    """Two parties with a tone each, one lower than the other."""
    at = np.arange(RATE * SECONDS) / RATE
    caller, agent = (encode(Codec.PCMU, (8000 * np.sin(2 * np.pi * tone * at)).astype(np.int16)) for tone in (300, 500))
    people = Person("caller", "vcond check"), Person("agent", "vcond check")
    return Recording("vcond check --loopback", people, (caller, agent))


def _but(without: tuple[str, ...], **otherwise: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """The configured section with other values, and without some."""
    return lambda configured: {key: value for key, value in configured.items() if key not in without} | otherwise


def _stream(path: str) -> Place:
    async def place(at: At) -> None:
        url = at.url.replace("http", "ws", 1).rstrip("/") + f"{path}/{at.token}"
        await player.play(url, recording(), speed=1, progress=lambda _: None)

    return place


async def _published(at: At) -> None:
    from vcond.cli.whip_publisher import publish  # aiortc is an extra

    await publish(f"{at.url.rstrip('/')}{PATH}", at.token, SECONDS)


async def _in_a_room(at: At) -> None:
    from vcond.cli.janus_publisher import publish  # likewise

    await publish(at.section, SECONDS)


def _of_a_room(configured: Mapping[str, Any]) -> Mapping[str, Any]:
    from vcond.cli.janus_publisher import section

    return section(configured)


LOOPS: Final[Mapping[str, Loop]] = {
    "asterisk": Loop(
        asterisk.section, lambda at: asterisk.place(at.section, SECONDS), "two channels in a bridge of Asterisk"
    ),
    "freeswitch": Loop(
        freeswitch.section,
        lambda at: freeswitch.place(at.section, SECONDS),
        "a pair of loopback channels",
        impossible=freeswitch.impossible,
        tidy=freeswitch.tidy,
        may_refuse=True,
    ),
    "janus": Loop(_of_a_room, _in_a_room, "two publishers in a room of their own"),
    "siprec": Loop(siprec.section, lambda at: siprec.place(at.attached, SECONDS), "a recording session"),
    "twilio": Loop(
        _but(
            ("auth_tokens", "public_url", "account_sid", "api_key", "api_secret", "start_streams", "stop_on_pause"),
            path=PATH, grace=0,
        ),
        _stream(PATH),
        "a stream as Twilio's",
    ),
    "stream": Loop(
        _but(("secrets", "public_url"), path=PATH, grace=0), _stream(f"{PATH}/twilio"), "a stream as Twilio's"
    ),
    "webrtc": Loop(
        _but(
            ("secret", "public_url", "advertise", "ports", "stun", "turn", "turn_user", "turn_password", "turn_secret"),
            path=PATH, page="", addresses=["127.0.0.1"], grace=0,
        ),
        _published,
        "two publishers by WHIP",
    ),
}  # fmt: skip
"""By kind of adapter."""


def loopback(loaded: Loaded, loops: Mapping[str, Loop] = LOOPS) -> list[Finding]:
    """What came of a call through each adapter, stage by stage. Takes some seconds for each."""
    found = []
    for name, section in loaded.config.adapters.items():
        loop = loops.get(str(section.get("type", name)))
        why = "" if loop is None else loop.impossible({key: value for key, value in section.items() if key != "type"})
        if loop is None or why:
            told = "cannot place a test call through it" + (f": {why}" if why else "")
            found.append(Finding("warning", f"loopback {name}", told, BY_HAND))
        else:
            with _folder() as folder:
                found += asyncio.run(through(loaded, name, loop, folder))
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is removed, also when a thread of the daemon still ends in it."""
    made = tempfile.TemporaryDirectory(prefix="vcond-loopback-", ignore_cleanup_errors=True)
    folder = Path(made.name)
    try:
        yield folder
    finally:
        for _ in range(REMOVALS):
            made.cleanup()
            if not folder.exists():
                break
            time.sleep(0.1)


async def through(loaded: Loaded, name: str, loop: Loop, folder: Path) -> list[Finding]:
    """Those of one adapter; its daemon keeps everything in ``folder``."""
    what, found = f"loopback {name}", list[Finding]()
    with structlog.testing.capture_logs() as lines:
        try:
            async for said in _stages(own(loaded, name, loop, folder), name, loop, folder):
                found.append(Finding("ok", what, said))
        except _FailedError as why:
            worst = [line for line in lines if line["log_level"] in {"warning", "error", "critical"}]
            told = next((line for line in reversed(worst) if "hint" in line), worst[-1] if worst else None)
            logged = f" ({told['event']}{_more(told)})" if told else ""
            fix = str(told.get("hint") or why.fix) if told else why.fix
            if why.allowed:
                found.append(Finding("warning", what, f"{why.stage}: {why.why}", why.fix))
            else:
                found.append(Finding("error", what, f"{why.stage}: {why.why}{logged}", fix))
        except VcondError as why:
            found.append(Finding("error", what, str(why), "correct the key named here"))
    return found


def _more(line: Mapping[str, Any]) -> str:
    return f": {line['error']}" if line.get("error") else ""


def own(loaded: Loaded, name: str, loop: Loop, folder: Path) -> Loaded:
    """The configuration of its own daemon: one adapter, everything it keeps in ``folder``, and no sink but one there."""
    config = loaded.config
    kind = {key: value for key, value in config.adapters[name].items() if key == "type"}
    mine = Config(
        vcond=msgspec.structs.replace(
            config.vcond, state_dir=str(folder / "state"), admin_socket=str(folder / "admin"), min_free_mb=0, drain=1
        ),
        web=WebConfig(listen="127.0.0.1:0", token=secrets.token_urlsafe(24)),
        ops=OpsConfig(listen="127.0.0.1:0"),
        speech=SpeechConfig(engine="none"),
        record=RecordConfig(transcript_deadline=0),
        seal=SealConfig(),
        keys=KeysConfig(store=str(folder / "keys")),
        adapters={name: {**loop.section(config.adapters[name]), **kind}},
        sinks=[{"type": "folder", "path": str(folder / "vcons")}],
    )
    return replace(loaded, config=mine)


async def _stages(loaded: Loaded, name: str, loop: Loop, folder: Path) -> AsyncIterator[str]:
    daemon = Daemon(loaded)
    running = asyncio.create_task(daemon.run(), name="vcond check --loopback")
    try:
        await _until(
            "start", lambda: _attached(daemon, name), running, READY_LIMIT, "run vcond check without --loopback"
        )
        yield "a daemon of its own is attached"
        web = daemon.parts.web
        section = {key: value for key, value in loaded.config.adapters[name].items() if key != "type"}
        try:
            async with asyncio.timeout(CALL_LIMIT):
                await loop.place(At(web.base_url, loaded.config.web.token, section, _said(daemon, name)[1]))
        except (PeerError, ConfigError, TimeoutError) as why:
            text = str(why) or f"did not end within {CALL_LIMIT:g} s"
            if loop.may_refuse and isinstance(why, RefusedError):
                raise _FailedError("call", text, f"allow it for this check, or {BY_HAND}", allowed=True) from None
            raise _FailedError("call", text, "run vcond check without --loopback") from None
        yield f"a call was placed, and hung up: {loop.means}"
        vcons = folder / "vcons"
        await _until("vCon", lambda: any(vcons.glob("*.vcon.json")), running, VCON_LIMIT, "report it, with vcond's log")
        (file,) = list(vcons.glob("*.vcon.json"))[:1]
        for said in _looked_at(await asyncio.to_thread(file.read_bytes)):
            yield said
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, VcondError):
            await running
        loop.tidy(loaded.config.adapters[name])


def _attached(daemon: Daemon, name: str) -> bool:
    return hasattr(daemon, "parts") and _said(daemon, name)[0]


def _said(daemon: Daemon, name: str) -> tuple[bool, str]:
    return daemon.parts.registry.attachments.said.get(name, (False, ""))


async def _until(
    stage: str, there: Callable[[], bool], running: asyncio.Task[None], limit: float, fix: str
) -> None:  # fmt: skip
    """Raises _FailedError, and what ended the daemon."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while not there():
                if running.done():
                    running.result()
                    raise _FailedError(stage, "the daemon stopped unexpectedly", fix)
                await asyncio.sleep(LOOK_EVERY)
            return
    raise _FailedError(stage, f"not done within {limit:g} s", fix)


def _looked_at(body: bytes) -> Iterator[str]:
    """What is right of a vCon. Raises _FailedError for what is not."""
    document = read(body)
    bad = [one for one in validate(document) if one.level == "error"]
    if bad:
        raise _FailedError("vCon", f"is not valid: {bad[0].path}: {bad[0].message}", "report it")
    (report,) = (one["body"] for one in document["attachments"] if one["purpose"] == "vcond-capture-report")
    if report.get("findings"):
        first = report["findings"][0]
        raise _FailedError("audio", first["text"], f"see {first['code']} in vcond doctor")
    heard = [party["seconds"]["received"] for party in report["parties"] if party["tracks"]]
    if len(heard) < len(report["parties"]) or min(heard, default=0) < ENOUGH * SECONDS:
        raise _FailedError("audio", f"of {SECONDS} s per party, only {heard} arrived", "check the load of this machine")
    yield f"audio of {len(heard)} parties arrived completely"
    yield f"its vCon is valid, {len(body)} bytes; it was sent to no sink and is deleted now"
