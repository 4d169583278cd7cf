from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcond.cli.app import app
from vcond.errors import ConfigError

NOBODY = 65534


def test_root_writes_nothing_that_the_daemon_could_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir()
    if os.geteuid() == 0:
        os.chown(state, NOBODY, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    file = tmp_path / "vcond.toml"
    file.write_text(f"""
[vcond]
state_dir = "{state}"
[speech]
engine = "none"
[[sinks]]
type = "folder"
path = "{tmp_path}/vcons"
""")
    with pytest.raises(ConfigError, match=r"sudo -u [^ ]+ vcond recover"):
        CliRunner().invoke(app, ["recover", "-c", str(file)], catch_exceptions=False)
    assert list(state.iterdir()) == []
