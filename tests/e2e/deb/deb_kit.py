"""The packages of ``make deb``, and a root into which they are installed. Loaded by path."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


def run(*command: str | Path, code: int = 0) -> str:
    environ = {**os.environ, "PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}", "LC_ALL": "C"}
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if "--purge" in command else "")


def dpkg(root: Path) -> tuple[str, ...]:
    """``dpkg`` of a root of its own, which is made: nothing of this machine is touched."""
    for folder in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "etc").mkdir()
    return dpkg_again(root)


def dpkg_again(root: Path) -> tuple[str, ...]:
    """The same of one that is there."""
    return ("dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", "--log=/dev/null")


class Machine:
    """A root with nothing but our package, in which an operator types."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.typed: list[str] = []
        self._vcond = [str(root / "usr/lib/vcond/bin/python3"), "-I", str(root / "usr/lib/vcond/bin/vcond")]

    def path(self, words: str) -> str:
        """Paths of the root as this machine sees them."""
        return re.sub(r"(?<![\w.])/(etc|var|run|root|usr)/", rf"{self.root}/\1/", words)

    async def types(self, line: str, *, code: int = 0) -> str:
        """A command and what it prints, which the transcript has as it stands in the root."""
        words = [self.path(word) for word in shlex.split(line)]
        words[:1] = self._vcond if words[0] == "vcond" else words[:1]
        process = await asyncio.create_subprocess_exec(
            *words,
            env={**os.environ, "VCOND_CONFIG": str(self.config)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(240):
            said = (await process.communicate())[0].decode().replace(str(self.root), "")
        assert process.returncode == code, f"{line}: {process.returncode}\n{said}"
        self.typed.append(f"# {line}\n{said}")
        return said

    @property
    def config(self) -> Path:
        return self.root / "etc/vcond/vcond.toml"

    @property
    def command(self) -> tuple[str, ...]:
        """What the unit starts."""
        return (*self._vcond, "run", "--config")


def installed(root: Path, package: Path) -> Machine:
    """A root with the package alone; its configuration says where it stands."""
    run(*dpkg(root), "--install", package)
    machine = Machine(root)
    text = machine.config.read_text()
    for place in ("var/lib", "run"):
        text = text.replace(f'"/{place}/', f'"{root}/{place}/')
    machine.config.write_text(text.replace("# name = ", "name = ", 1))
    (root / "run/vcond").mkdir(parents=True, exist_ok=True)
    os.chown(root / "var/lib/vcond", 0, 0)  # not of who has the number of that root's vcond on this machine
    return machine
