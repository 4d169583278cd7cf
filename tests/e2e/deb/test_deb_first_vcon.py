"""From the package to the first vCon beside a real Asterisk, by the commands of docs/first-vcon.md, which it holds.

``VCOND_WRITE=1`` writes the page's transcript anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deb_kit import TOP, Machine, installed
from pbx_modules import farm, peer

from vcond.demo import child
from vcond.testing.sounds import voice

pytestmark = pytest.mark.peer
PAGE = TOP / "docs" / "first-vcon.md"
BEGIN, END = "<!-- made by test_deb_first_vcon.py -->\n\n```console\n", "```\n\n<!-- end -->"
CHANGES = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?"), "TIME"),
    (re.compile(r"(?<=version: Asterisk ).*"), "VERSION"),
    (re.compile(r"\d+(\.\d+)*"), "N"),
    (re.compile(r" \(texts (only|later)\)"), ""),
    (re.compile(r" +"), " "),
)
"""What is another one each time, or on each machine."""


@pytest.fixture
def machine(packages: dict[str, Path]) -> Iterator[Machine]:
    """Installed, as in a fresh root. Its folder may be entered by vcond's user."""
    if os.geteuid():
        pytest.skip("files of other users are for root, and this is not")
    folder = Path(tempfile.mkdtemp(prefix="vcond-root-"))
    folder.chmod(0o755)
    try:
        yield installed(folder / "root", packages["vcond"])
    finally:
        shutil.rmtree(folder)


def plain(text: str) -> str:
    for pattern, word in CHANGES:
        text = pattern.sub(word, text)
    return text


async def test_the_page_of_the_first_vcon_is_what_happens(machine: Machine, tmp_path: Path):
    with peer.running(tmp_path) as bed:
        http = f"http://127.0.0.1:{bed.pbx.http_port}"
        await machine.types("vcond setup asterisk --write /root/steps")
        steps = machine.root / "root/steps"
        toml = steps / "vcond.d/asterisk.toml"
        toml.write_text(toml.read_text().replace("http://127.0.0.1:8088", http).replace("1???", "agent*"))
        (bed.pbx.run / "etc/ari.conf").write_text((steps / "ari.conf").read_text())  # what "paste" means
        bed.pbx.cli("module reload res_ari.so")
        await machine.types("install -g 0 -m 0640 /root/steps/vcond.d/asterisk.toml /etc/vcond/vcond.d/")
        await machine.types("vcond check --loopback")
        notify = tmp_path / "notify"
        async with child.daemon(
            machine.root / "etc/vcond/vcond.toml", tmp_path / "log", notify, machine.command
        ) as vcond:
            await vcond.ready()
            try:
                await called(machine, bed)
            except BaseException:
                print(*machine.typed, (tmp_path / "log").read_text(), sep="\n")
                raise
    transcript = "\n".join(machine.typed)
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    shown, end, after = rest.partition(END)
    assert (begin, end) == (BEGIN, END)
    if os.environ.get("VCOND_WRITE"):
        PAGE.write_text(f"{before}{BEGIN}{transcript}{END}{after}", "utf-8")
    assert plain(shown).splitlines() == plain(transcript).splitlines()


async def called(machine: Machine, bed) -> None:
    """A call between two phones, and what becomes of it."""
    async with farm.Farm(bed, peer.USER, peer.PASSWORD) as phones:
        caller = await phones.dial("200", "15550100999")
        agent = await phones.ringing("agent", "15550100999")
        await agent.answer()
        await caller.up()
        await caller.say(phones.voice("first", voice(1, 2.0)))
        await machine.types("vcond calls")
        await agent.hang_up()
    vcons = machine.root / "var/lib/vcond/vcons"
    async with asyncio.timeout(240):
        while not list(vcons.glob("*.vcon.json")):  # noqa: ASYNC110 - a folder, which tells nothing by itself
            await asyncio.sleep(0.1)
    (file,) = vcons.glob("*.vcon.json")
    await machine.types(f"vcond validate /var/lib/vcond/vcons/{file.name}")
