"""An upgrade and a downgrade of the packages while people talk through a real Asterisk. By hand, as root:

    python tests/e2e/deb/upgrade.py COMMIT
    python tests/e2e/deb/upgrade.py OLD.deb NEW.deb

builds the package of COMMIT by its own recipe, and that of this checkout (or takes two that are there), installs them in a root of their
own, one over the other, and prints a line for each step (docs/operations.md has such lines). COMMIT needs the same lock file. A failure is a traceback.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "peers" / "sounds")]

from deb_kit import TOP, Machine, dpkg_again, installed, run  # noqa: E402 - found by the path above
from pbx_modules import farm, peer  # noqa: E402 - as above

from vcond.demo import child  # noqa: E402 - as above
from vcond.demo.errors import DemoError  # noqa: E402 - as above
from vcond.testing.sounds import find, voice  # noqa: E402 - as above
from vcond.vcon import read, validate  # noqa: E402 - as above
from vcond.vcon.building.wav import read_wav  # noqa: E402 - as above

LIMIT = 120.0
COUNT = itertools.count(1)
BEGUN = time.monotonic()


def told(line: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.1f} s  {line}", flush=True)


def built(tree: Path, out: Path) -> Path:
    """Its package; those of .venv are in it."""
    run(sys.executable, tree / "tools" / "deb.py", "--out", out, "--compression", "-Zgzip -z1")
    (file,) = out.glob("vcond_*.deb")
    told(f"built {file.name}")
    return file


async def calls(machine: Machine) -> list[dict]:
    return json.loads(await machine.types("vcond calls --json"))


async def until(machine: Machine, wanted) -> list[dict]:
    async with asyncio.timeout(LIMIT):
        while not wanted(rows := await calls(machine)):  # noqa: ASYNC110 - asked as an operator does
            await asyncio.sleep(0.2)
    return rows


@asynccontextmanager
async def daemon(machine: Machine, folder: Path):
    """Runs, and is stopped as systemd does."""
    number = next(COUNT)
    async with child.daemon(machine.config, folder / f"log-{number}", folder / f"n{number}", machine.command) as vcond:
        await vcond.ready()
        told(f"{(await machine.types('vcond version')).strip()} runs")
        yield vcond
        await vcond.stop()


def heard(document: dict, seed: int) -> float:
    """How well a voice is found in the recording."""
    best = 0.0
    for dialog in document["dialog"]:
        if "body" in dialog:
            _, frames = read_wav(base64.urlsafe_b64decode(dialog["body"] + "=" * (-len(dialog["body"]) % 4)))
            best = max(best, *(find(voice(seed, 2.0), frames[:, i])[0] for i in range(frames.shape[1])))
    return best


def both(commit: str, folder: Path) -> tuple[Path, Path]:
    """The package of a commit, and that of this checkout."""
    tree = folder / "tree"
    run("git", "-C", TOP, "worktree", "add", "-q", "--detach", tree, commit)
    try:
        return built(tree, folder / "old"), built(TOP, folder / "new")
    finally:
        run("git", "-C", TOP, "worktree", "remove", "--force", tree)


async def main(old: Path, new: Path, folder: Path) -> None:
    machine = installed(folder / "root", old)
    told(f"installed {old.name}")
    with peer.running(folder / "bed") as bed:
        section = f'[adapters.asterisk]\nurl = "{bed.pbx.url}"\nuser = "{peer.USER}"\npassword = "{peer.PASSWORD}"\n'
        machine.config.with_name("vcond.d").joinpath("asterisk.toml").write_text(section)
        async with farm.Farm(bed, peer.USER, peer.PASSWORD) as phones:
            await talked(machine, phones, folder, old, new)


async def talked(machine: Machine, phones, folder: Path, old: Path, new: Path) -> None:
    """One call over both changes."""

    async def say(seed: int) -> None:
        await caller.say(phones.voice(f"upgrade-{seed}", voice(seed, 2.0)))

    async def goes_on() -> None:
        """The call that was there is active again, and it alone."""
        rows = await until(machine, lambda rows: [row["call"] for row in rows] == [uuid])
        told(f"the call goes on, recorded: {rows[0]['recorded']}")

    async with daemon(machine, folder):
        caller = await phones.dial("200", "15550100777")
        agent = await phones.ringing("agent", "15550100777")
        await agent.answer()
        await caller.up()
        (row,) = await until(machine, lambda rows: [row for row in rows if row["answered"]])
        uuid = row["call"]
        await say(0)  # while the taps are made
        await say(1)
        told("a call, and somebody has spoken")
        run(*dpkg_again(machine.root), "--install", new)
        told(f"installed {new.name} over it, while the old one records")
    async with daemon(machine, folder):
        await goes_on()
        await say(2)
        run(*dpkg_again(machine.root), "--install", old)
        told(f"installed {old.name} over it, a downgrade, while the new one records")
    try:
        async with daemon(machine, folder):
            await goes_on()
            await say(3)
            seeds = (1, 2, 3)
            await ended(machine, agent, uuid)
    except DemoError as why:
        told(f"the old one refuses: {why}")
        run(*dpkg_again(machine.root), "--install", new)
        told(f"installed {new.name} again")
        async with daemon(machine, folder):
            await goes_on()
            seeds = (1, 2)
            await ended(machine, agent, uuid)
    files = list((machine.root / "var/lib/vcond/vcons").glob("*.vcon.json"))
    assert [file.name for file in files] == [f"{uuid}.vcon.json"]
    document = read(files[0].read_bytes())
    assert [one for one in validate(document) if one.level == "error"] == []
    found = {seed: round(heard(document, seed), 3) for seed in seeds}
    assert min(found.values()) > 0.9, found
    told(f"one vCon, valid, with what was said before, between and after: correlations {found}")


async def ended(machine: Machine, agent, uuid: str) -> None:
    await agent.hang_up()
    async with asyncio.timeout(LIMIT):
        while not (machine.root / f"var/lib/vcond/vcons/{uuid}.vcon.json").exists():  # noqa: ASYNC110 - a folder
            await asyncio.sleep(0.2)
    told("hung up, and delivered")


if __name__ == "__main__":
    work = Path(tempfile.mkdtemp(prefix="vcond-upgrade-"))
    work.chmod(0o755)
    try:
        packages = [Path(file).resolve() for file in sys.argv[1:]] if len(sys.argv) > 2 else both(sys.argv[1], work)
        asyncio.run(main(*packages, work))
    except BaseException:
        for log in sorted(work.glob("log-*")):
            print(f"--- {log.name}", *child.tail(log), sep="\n")
        raise
    finally:
        shutil.rmtree(work)
