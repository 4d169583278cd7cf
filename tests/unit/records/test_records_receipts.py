"""A receipt is checked with openssl and the script of docs/privacy.md, and a changed one is found."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pki import entity
from records_kit import config, edge

from vcond.testing.needs import needs

SCRIPT = re.search(
    r"<!-- receipt\.py -->\n```python\n(.*?)```",
    (Path(__file__).parents[3] / "docs/privacy.md").read_text("utf-8"),
    re.DOTALL,
)


def seal(root: Path, algorithm: str) -> dict[str, str]:
    authority = entity("authority", authority=True, days=(-10, 36_000))
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else None
    leaf = entity("edge.example.com", authority, key=key, usage=True, days=(-10, 36_000))
    for name, pem in (
        ("key.pem", leaf.key_pem),
        ("chain.pem", leaf.pem + authority.pem),
        ("authority.pem", authority.pem),
    ):
        (root / name).write_bytes(pem)
    return {"key": str(root / "key.pem"), "certificates": str(root / "chain.pem"), "algorithm": algorithm}


def checked(root: Path, receipt: object, authority: str = "authority.pem") -> subprocess.CompletedProcess[str]:
    assert SCRIPT is not None
    (root / "receipt.py").write_text(SCRIPT[1])
    (root / "receipt.json").write_text(json.dumps(receipt))
    return subprocess.run(
        [sys.executable, root / "receipt.py", root / "receipt.json", root / authority],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_script_has_thirty_lines_or_so():
    assert SCRIPT is not None
    assert len([line for line in SCRIPT[1].splitlines() if line.strip()]) <= 32


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_a_receipt_is_checked_by_who_distrusts_us(tmp_path: Path, algorithm: str):
    needs(shutil.which("openssl"), "openssl: apt install openssl")
    async with edge(config(tmp_path, seal=seal(tmp_path, algorithm))) as it:
        call = await it.ended()
        row = await it.write("forget", call=call)
        receipt = await it.read("receipt", id=row["receipt"])
    said = checked(tmp_path, receipt)
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    assert told["conversations"] == [{"call": call, "vcons": [call], "merged": []}]
    assert {one["state"] for one in told["places"]} == {"done"}
    other = {**told, "state": "open"}
    changed = base64.urlsafe_b64encode(json.dumps(other).encode()).rstrip(b"=").decode()
    assert checked(tmp_path, {**receipt, "payload": changed}).returncode != 0
    stranger = entity("stranger", authority=True, days=(-10, 36_000))
    (tmp_path / "stranger.pem").write_bytes(stranger.pem)
    assert checked(tmp_path, receipt, "stranger.pem").returncode != 0


async def test_there_is_no_receipt_of_another_name(tmp_path: Path):
    async with edge(config(tmp_path)) as it:
        for name in ("", "../tombstones", "01a2029a-3286-852d-a079-acef32f9616b"):
            with pytest.raises(LookupError, match="there is no receipt"):
                await it.read("receipt", id=name)
