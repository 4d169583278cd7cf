"""What ``vcond check`` finds in use by the very daemon that it looks for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vcond.cli import check
from vcond.config import load
from vcond.sdk.contract import Finding

TAKEN = Finding("warning", "application vcond", "in use", "another name", ours=True)


@pytest.mark.parametrize(
    ("status", "level"),
    [({"adapters": {"twilio": {"attached": True}}}, "ok"), ({"adapters": {"twilio": {"attached": False}}}, "warning"),
     ({"adapters": {}}, "warning"), ({}, "warning"), ([], "warning"), (FileNotFoundError(), "warning"),
     (PermissionError(), "warning")],
)  # fmt: skip
def test_what_the_running_daemon_uses_is_no_warning(
    status: object, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Adapter:
        name = "twilio"

        async def check(self):
            yield TAKEN

    def ask(socket: str, name: str) -> object:
        if isinstance(status, Exception):
            raise status
        return status

    monkeypatch.setattr(check, "ask", ask)
    monkeypatch.setattr(check.plugins, "adapters", lambda _: {"twilio": Adapter()})
    config = tmp_path / "vcond.toml"
    config.write_text(f'[vcond]\nstate_dir = "{tmp_path}"\n')
    found = {one.what: one for one in check.findings(load(config, os.environ), config, offline=False)}
    assert found["application vcond"].level == level
