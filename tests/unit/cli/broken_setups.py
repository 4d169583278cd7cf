"""Set-ups that are broken, each made for real against a fake peer, and what vcond says of it: the table of docs/troubleshooting.md.

``python tests/unit/cli/make_broken_setups.py``, as root, writes the table anew; read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from aiohttp import web
from certificates import certificate
from cryptography import x509
from fake_ari import PASSWORD, USER, FakeAsterisk
from fake_conserver import FakeConserver
from fakeswitch import FakeSwitch

from vcond.cli.check_rows import rows
from vcond.journal import Store
from vcond.sdk.contract import Finding
from vcond_freeswitch.commands import EVENTS, SUBCLASSES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "troubleshooting.md"
KEY = "list-key"
RIGHTS = "uuid_record uuid_dump uuid_buglist show global_getvar version module_exists"
NOBODY = pwd.getpwnam("nobody")


@dataclass
class Site:
    """A machine: a folder that every user reaches, and what stands in its configuration."""

    folder: Path
    asterisk: FakeAsterisk
    conserver: FakeConserver
    switch: FakeSwitch
    sections: dict[str, str] = field(default_factory=dict)

    def asterisk_section(self, url: str = "", **keys: object) -> str:
        """``[adapters.asterisk]``."""
        told = {"url": url or self.asterisk.url, "user": USER, "password": PASSWORD, "timeout": 2, **keys}
        return _section("[adapters.asterisk]", told)

    def freeswitch_section(self, **keys: object) -> str:
        """``[adapters.freeswitch]``."""
        told = {"port": self.switch.port, "directory": str(self.switch.directory), "user": "vcond@pbx",
                "password": "secret", "timeout": 2, **keys}  # fmt: skip
        return _section("[adapters.freeswitch]", told)

    def conserver_section(self, **keys: object) -> str:
        """A sink."""
        told = {"type": "conserver", "url": self.conserver.url, "ingress_lists": ["edge"], "token": KEY, **keys}
        return _section("[[sinks]]", told)

    async def says(self, *sections: str, vcond: str = "", speech: str = 'engine = "none"') -> list[Finding]:
        """What ``vcond check`` finds."""
        state = f'state_dir = "{self.folder}/state"\nadmin_socket = "{self.folder}/admin"\n'
        own = f'[vcond]\nname = "edge-1.example.com"\n{state}{vcond}\n[speech]\n{speech}\n'
        file = self.folder / "vcond.toml"
        file.write_text(own + "\n".join(sections or (self.asterisk_section(), self.conserver_section())))
        file.chmod(0o600)
        told = await asyncio.to_thread(rows, file, offline=False, errors_only=False, loopback=False)
        return [Finding(**row) for row in told]


def _section(head: str, keys: dict[str, object]) -> str:
    return "\n".join([head, *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""])


Make = Callable[[Site], Awaitable[list[Finding]]]


@dataclass(frozen=True)
class Broken:
    """A set-up, and the beginning of the line that names its cause."""

    title: str
    make: Make
    what: str
    """The part of the system that the line is about."""
    command: str = "vcond check"
    as_root: bool = False
    """Root looks with the eyes of the daemon's user."""


async def _two_on_one_application(site: Site) -> list[Finding]:
    theirs = await site.asterisk.rob("vcond")
    try:
        return await site.says()
    finally:
        theirs.close()


async def _only_root_may_write(site: Site) -> list[Finding]:
    """Seen by the daemon's user: root would see nothing wrong."""
    (site.folder / "vcons").mkdir(0o755)
    return await _as_nobody(site, site.asterisk_section(), _folder(site))


async def _as_nobody(site: Site, *sections: str) -> list[Finding]:
    """Asked twice: what the first has imported need not be readable by that user, as the interpreter may not be."""
    await site.says(*sections)
    (site.folder / "state").mkdir(exist_ok=True)
    os.chown(site.folder / "state", NOBODY.pw_uid, NOBODY.pw_gid)
    return await site.says(*sections)


def _folder(site: Site) -> str:
    return _section("[[sinks]]", {"type": "folder", "path": f"{site.folder}/vcons"})


async def _tls(site: Site, name: str, *, trusted: bool) -> list[Finding]:
    pair = certificate(site.folder, names=[x509.DNSName(name)])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    await site.conserver.down()
    await site.conserver.up(tls=tls)
    url = site.conserver.url.replace("127.0.0.1", "localhost")
    more = {"ca_file": str(pair)} if trusted else {}
    return await site.says(site.asterisk_section(), site.conserver_section(url=url, **more))


async def _off(site: Site) -> list[Finding]:
    site.asterisk.refuse[""] = 404
    return await site.says()


async def _without_module(site: Site) -> list[Finding]:
    site.asterisk.modules.remove("chan_audiosocket.so")
    return await site.says()


async def _old(site: Site) -> list[Finding]:
    site.asterisk.version = "16.3.0"
    return await site.says()


async def _acl(site: Site) -> list[Finding]:
    site.switch.greeting = "text/rude-rejection"
    return await site.says(site.freeswitch_section(), site.conserver_section())


async def _unreadable_tap(site: Site) -> list[Finding]:
    """The daemon's user may not look into the folder."""
    taps = site.folder / "taps"
    taps.mkdir(0o700)
    return await _as_nobody(site, site.freeswitch_section(directory=str(taps)), site.conserver_section())


async def _wrong_key(site: Site) -> list[Finding]:
    return await site.says(site.asterisk_section(), site.conserver_section(token="wrong", admin_token="api-token"))


async def _html(site: Site) -> list[Finding]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Welcome to nginx!</title>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
        return await site.says(site.asterisk_section(), site.conserver_section(url=url))
    finally:
        await runner.cleanup()


async def _hour_off(site: Site) -> list[Finding]:
    class Late(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz or UTC) + timedelta(hours=1)

    with mock.patch("vcond.delivery.sinks.conserver.datetime", Late):
        return await site.says()


async def _two_on_one_folder(site: Site) -> list[Finding]:
    """Of the second daemon: it ends with exit code 2."""
    await site.says(_folder(site), site.asterisk_section())
    state = site.folder / "state"
    first = Store(state / "journal")
    try:
        words = [sys.executable, "-m", "vcond", "run", "-c", str(site.folder / "vcond.toml")]
        done = await asyncio.to_thread(subprocess.run, words, check=False, capture_output=True, text=True, timeout=600)
    finally:
        await first.close()
    assert done.returncode == 2, done.stderr
    why, _, fix = done.stderr.strip().splitlines()[-1].removeprefix("vcond: ").partition(": ")
    return [Finding("error", "state folder", why, fix)]


BROKEN = (
    Broken("two daemons on one ARI application", _two_on_one_application, "application vcond"),
    Broken("`url` ends with `/ari`", lambda s: s.says(s.asterisk_section(s.asterisk.url + "/ari"), s.conserver_section()), "ARI at"),
    Broken("wrong ARI password", lambda s: s.says(s.asterisk_section(password="wrong")), "ARI at"),
    Broken("ARI is switched off", _off, "ARI at"),
    Broken("Asterisk's HTTP port is blocked", lambda s: s.says(s.asterisk_section("http://127.0.0.1:9")), "ARI at"),
    Broken("the audio port is blocked", lambda s: s.says(s.asterisk_section(advertise="127.0.0.1:9")), "audio from Asterisk"),
    Broken("AudioSocket's module is missing", _without_module, "module chan_audiosocket.so"),
    Broken("the PBX is too old", _old, "version"),
    Broken("FreeSWITCH's access list refuses vcond", _acl, "event socket"),
    Broken("the tap folder cannot be read by vcond", _unreadable_tap, "directory", as_root=True),
    Broken("a folder that only root may write", _only_root_may_write, "sink folder", as_root=True),
    Broken("the conserver has its own CA", lambda s: _tls(s, "localhost", trusted=False), "sink conserver"),
    Broken("another name in its certificate", lambda s: _tls(s, "elsewhere.example.com", trusted=True), "sink conserver"),
    Broken("wrong key of a conserver's list", _wrong_key, "sink conserver"),
    Broken("something else answers with HTML", _html, "sink conserver"),
    Broken("no speech model", lambda s: s.says(speech='engine = "vosk"\nmodel = "/nowhere/model"'), "speech"),
    Broken("the disk is full", lambda s: s.says(vcond="min_free_mb = 999999999"), "disk"),
    Broken("the clock is off by an hour", _hour_off, "sink conserver"),
    Broken("two daemons on one state folder", _two_on_one_folder, "state folder", "vcond run"),
    Broken("a typing error in the configuration", lambda s: s.says(vcond="drian = 5"), "configuration"),
)  # fmt: skip


def _opened(name: Path) -> tuple[Path, Path]:
    """The folder, which every user reaches, and that of the switch's audio in it."""
    folder = name.resolve()
    folder.chmod(0o755)
    (folder / "taps-of-the-fake").mkdir()
    return folder, folder / "taps-of-the-fake"


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A fresh one: an Asterisk, a FreeSWITCH and a conserver that are as they should be."""
    with tempfile.TemporaryDirectory(prefix="vcond-") as name:
        folder, taps = _opened(Path(name))
        switch = FakeSwitch(taps)
        await switch.start()
        switch.users["vcond@pbx"] = {
            "password": "secret", "events": " ".join((*EVENTS, "CUSTOM", *SUBCLASSES)), "api": RIGHTS,
        }  # fmt: skip
        try:
            async with (
                FakeAsterisk() as asterisk,
                FakeConserver(ingress_auth={"edge": KEY}, tokens=["api-token"]) as one,
            ):
                yield Site(folder, asterisk, one, switch)
        finally:
            await switch.stop()


async def found(one: Broken) -> Finding:
    """The line that names its cause: the worst about that part."""
    async with site() as here:
        told = [line for line in await one.make(here) if line.what.startswith(one.what)]
        line = next(line for level in ("error", "warning", "ok") for line in told if line.level == level)
        fix = line.fix if line.level != "ok" else "nothing: it is taken off"
        return Finding(line.level, *[_plain(text, here.folder) for text in (line.what, line.detail, fix)])


def _plain(text: str, folder: Path) -> str:
    """Without what is another in every run."""
    text = text.replace(str(folder), "…").replace("127.0.0.1", "HOST").replace("localhost", "HOST")
    text = re.sub(r"HOST:\d+", "HOST:PORT", text)
    return re.sub(r"process \d+", "process N", re.sub(r"\d{2,} MB", "N MB", re.sub(r"\b3[56]\d\d s\b", "3600 s", text)))


def row(one: Broken, line: Finding) -> str:
    """A line of the table."""
    cells = (one.title, f"`{one.command}`", f"{line.what}: {line.detail}", line.fix)
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


async def table() -> str:
    """All of them; as root."""
    rows = ["| broken | asked | it says | and what to do |", "|---|---|---|---|"]
    return "\n".join([*rows, *[row(one, await found(one)) for one in BROKEN]])
