"""Starts a private Asterisk as the PBX and a second one as its SIP phones, on free ports, for one test session.

Loaded by path (tests are no packages). ``start`` raises UnavailableError when there is no Asterisk to be had here.
Both die with this process, also when it is killed.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
USER, PASSWORD = "vcond", "vcond-test"
READY = 300.0
"""Seconds that an instance may need to start on a busy machine."""
BUILD = 900.0
"""Seconds for the first download and unpacking."""


class UnavailableError(Exception):
    """There is no Asterisk: no network for the first download, or a tool is missing."""


@dataclass
class Instance:
    """One running Asterisk."""

    role: str
    run: Path
    http_port: int
    sip_port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its HTTP server."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def sounds(self) -> Path:
        """Where ``sound:test/NAME`` is looked for as NAME.wav, 8 kHz, mono, 16 bit."""
        return self.run / "data/sounds/test"

    def cli(self, command: str) -> str:
        """The answer to a console command."""
        env = {**os.environ, "VCOND_AST_RUN": str(self.run), "VCOND_AST_ROLE": self.role}
        return subprocess.run(
            [HERE / "ast-cli", command], env=env, capture_output=True, text=True, timeout=READY, check=False
        ).stdout

    def stop(self) -> None:
        """Stop it, at once: nothing in it is worth keeping."""
        self.process.kill()
        self.process.wait(10)

    def log_tail(self) -> str:
        """The end of its log, for messages of failed tests."""
        with contextlib.suppress(OSError):
            return (self.run / "log/messages").read_text(errors="replace")[-3000:]
        return ""


@dataclass
class Bed:
    """The PBX and its phones."""

    pbx: Instance
    phones: Instance

    def stop(self) -> None:
        """Stop both."""
        self.phones.stop()
        self.pbx.stop()


def build() -> None:
    """Download and unpack Asterisk unless that was done before. Raises UnavailableError."""
    missing = [tool for tool in ("bash", "apt-get", "dpkg-deb", "flock", "setpriv", "xargs") if not shutil.which(tool)]
    if missing:
        raise UnavailableError(f"not installed here: {', '.join(missing)}")
    done = subprocess.run([HERE / "asterisk-build"], capture_output=True, text=True, timeout=BUILD, check=False)
    if done.returncode:
        raise UnavailableError(f"asterisk-build failed: {done.stderr.strip()[-500:]}")


def start(folder: Path, *, tries: int = 4, **settings: str) -> Bed:
    """Build if necessary, then start both in ``folder``. ``settings`` are VCOND_AST_* for the PBX, without prefix."""
    build()
    for attempt in range(tries - 1):
        with contextlib.suppress(RuntimeError):
            return _start(folder / str(attempt), settings)
    return _start(folder / "last", settings)


def _start(folder: Path, settings: dict[str, str]) -> Bed:
    """Ports are free when they are chosen; should somebody take one before Asterisk does, the caller tries again."""
    pbx_sip, phones_sip, pbx_http, phones_http = _free(socket.SOCK_DGRAM, 2) + _free(socket.SOCK_STREAM, 2)
    pbx = _launch("pbx", folder, pbx_http, pbx_sip, phones_sip, settings)
    try:
        phones = _launch("phones", folder, phones_http, phones_sip, pbx_sip, {})
    except BaseException:
        pbx.stop()
        raise
    return Bed(pbx, phones)


def _launch(role: str, folder: Path, http: int, sip: int, peer: int, settings: dict[str, str]) -> Instance:
    run = folder / role
    (run / "log").mkdir(parents=True)
    rtp = random.SystemRandom().randrange(10_000, 32_000, 400)
    values = {
        "ROLE": role, "RUN": str(run), "HTTP_PORT": http, "SIP_PORT": sip, "PEER_SIP_PORT": peer,
        "RTP_START": rtp, "RTP_END": rtp + 398, "ARI_USER": USER, "ARI_PASSWORD": PASSWORD, **settings,
    }  # fmt: skip
    env = {k: v for k, v in os.environ.items() if not k.startswith("VCOND_AST_") or k.endswith(("CACHE", "DEBDIR"))}
    env |= {f"VCOND_AST_{name}": str(value) for name, value in values.items()}
    with (folder / f"{role}.console").open("wb") as console:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", HERE / "asterisk-up", "-f"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    instance = Instance(role, run, http, sip, process)
    try:
        _wait_until_ready(instance)
    except BaseException:
        instance.stop()
        raise
    return instance


def _wait_until_ready(instance: Instance) -> None:
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        if instance.process.poll() is not None:
            raise RuntimeError(f"{instance.role} left while starting: {instance.log_tail()}")
        if _answers(instance.url) and "fully booted" in instance.cli("core waitfullybooted"):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{instance.role} was not ready in {READY:.0f} s: {instance.log_tail()}")


def _answers(url: str) -> bool:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{url}/ari/asterisk/ping", headers={"Authorization": f"Basic {login}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free(kind: socket.SocketKind, count: int) -> list[int]:
    """Ports that nobody has, all different."""
    with contextlib.ExitStack() as stack:
        return [_bound(stack.enter_context(socket.socket(socket.AF_INET, kind))) for _ in range(count)]


def _bound(one: socket.socket) -> int:
    one.bind((HOST, 0))
    return int(one.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Bed]:
    """A bed for the time of a ``with``."""
    bed = start(folder, **settings)
    try:
        yield bed
    finally:
        bed.stop()
