"""One person in three calls of a real Asterisk, two conservers and a folder: found, forgotten in each place, and not back by an old backup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_conserver import FakeConserver
from pki import entity

from vcond.testing.needs import needs

pytestmark = pytest.mark.peer
KEY, API = "list-key-1", "api-token-1"
STRANGER = "15559990100"
SCRIPT = re.search(
    r"<!-- receipt\.py -->\n```python\n(.*?)```",
    (Path(__file__).parents[3] / "docs" / "privacy.md").read_text("utf-8"),
    re.DOTALL,
)


def sealed(root: Path) -> str:
    """``[seal]`` with a key whose certificate leads to ``authority.pem``."""
    authority = entity("authority", authority=True, days=(-10, 36_000))
    leaf = entity("edge.example.com", authority, usage=True, days=(-10, 36_000))
    parts = {"key": leaf.key_pem, "chain": leaf.pem + authority.pem, "authority": authority.pem}
    for name, pem in parts.items():
        (root / f"{name}.pem").write_bytes(pem)
    return f'[seal]\nkey = "{root}/key.pem"\ncertificates = "{root}/chain.pem"\n'


def sinks(folder: Path, *conservers: FakeConserver) -> str:
    of_conservers = [
        f'[[sinks]]\ntype = "conserver"\nname = "conserver-{n}"\nurl = "{one.url}"\ningress_lists = ["edge"]\ntoken = "{KEY}"\nadmin_token = "{API}"\n'
        for n, one in enumerate(conservers)
    ]
    return "".join([*of_conservers, f'[[sinks]]\ntype = "folder"\nname = "archive"\npath = "{folder}"\n'])


def conserver() -> FakeConserver:
    return FakeConserver(ingress_auth={"edge": KEY}, tokens=[API])


async def told(site, *words: str):
    """What a command of vcond says, as JSON."""
    code, out = await site.vcond.command(*words, "--json")
    assert code == 0, out
    return json.loads(out)


async def called(site, vcond, number: str, count: int) -> str:
    """A call in which both speak; its uuid when the folder has ``count`` vCons."""
    caller, agent, uuid = await site.talking(vcond, number=number)
    await site.say(v1=caller, v2=agent)
    await caller.hang_up()
    await vcond.delivered(count)
    return uuid


def kept(site) -> list[str]:
    return sorted(path.name[:36] for path in site.vcond.vcons.glob("*.vcon.json"))


async def test_a_person_of_three_real_calls_is_found_forgotten_everywhere_and_stays_forgotten(site, tmp_path):
    needs(shutil.which("openssl"), "openssl: apt install openssl")
    assert SCRIPT is not None
    number, state, backup = site.number, site.vcond.state, tmp_path / "backup"
    site.vcond.extra += f'\n[records]\nregion = "US"\n[keys]\nstore = "{tmp_path}/keys"\nmaster = "{tmp_path}/master"\n{sealed(tmp_path)}'
    (tmp_path / "master").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    async with conserver() as first, conserver() as second:
        both = (first, second)
        site.vcond.sinks = sinks(site.vcond.vcons, *both)
        async with site.running() as vcond:
            mine = [await called(site, vcond, number, count) for count in (1, 2, 3)]
            other = await called(site, vcond, STRANGER, 4)
            for one in both:
                await one.wait_for(4)
            everything = {*mine, other}
            await vcond.until(
                "status", lambda _: {p.name[:36] for p in (state / "outbox" / "kept").iterdir()} == everything
            )
            listed = await told(site, "subject", f"+{number}")
            assert {row["call"] for row in listed} == set(mine)
            shutil.copytree(state, backup, ignore=shutil.ignore_patterns(".lock"))
            (found,) = await told(site, "forget", f"tel:+{number}", "--yes")
            assert {place["place"]: place["state"] for place in found["places"]}.items() >= {
                ("sinks.conserver-0", "done"), ("sinks.conserver-1", "done"), ("sinks.archive", "done"), ("keys", "done"),
            }  # fmt: skip
            assert found["state"] == "complete"
            receipt = await told(site, "forget", "--receipt", found["receipt"])
            await site.nothing_left()
        for one in both:
            assert set(one.vcons) == {other}
        assert kept(site) == [other]
        check(tmp_path, receipt, mine, number)
        shutil.rmtree(state)
        shutil.copytree(backup, state)
        shutil.copytree(state / "outbox" / "kept", state / "outbox" / "pending", dirs_exist_ok=True)
        async with site.running() as vcond:
            await vcond.until(
                "status", lambda _: {p.name[:36] for p in (state / "outbox" / "kept").iterdir()} == {other}
            )
            code, out = await site.vcond.command("subject", f"+{number}", "--json")
            assert (code, json.loads(out)) == (1, []), "the index of the backup is emptied, too"
        for one in both:
            assert set(one.vcons) == {other}
        assert kept(site) == [other]
        assert not any(uuid in path.name for path in state.rglob("*") for uuid in mine)


def check(root: Path, receipt: dict[str, Any], calls: list[str], number: str) -> None:
    """With openssl and the script of the page, as somebody who distrusts us; a changed one is refused."""
    assert SCRIPT is not None
    (root / "receipt.py").write_text(SCRIPT[1])
    for name, changed in ("receipt", False), ("changed", True):
        body = receipt | ({"payload": receipt["payload"][:-4] + "AAAA"} if changed else {})
        (root / f"{name}.json").write_text(json.dumps(body))
        done = subprocess.run(
            [sys.executable, root / "receipt.py", root / f"{name}.json", root / "authority.pem"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is changed, done.stderr
        if not changed:
            said = json.loads(done.stdout)
            assert {one["call"] for one in said["conversations"]} == set(calls)
            assert {place["state"] for place in said["places"]} == {"done"}
            assert number not in done.stdout
