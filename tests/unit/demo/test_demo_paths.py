from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vcond.demo import settings
from vcond.demo.demo_paths import demo_paths
from vcond.demo.errors import DemoError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_after_success_configuration_and_vcons_stay_and_state_and_sockets_go(tmp_path: Path) -> None:
    with demo_paths(tmp_path / "deep" / "out") as where:
        where.config.write_text("x")
        where.vcons.mkdir()
        assert where.state.is_dir()
        assert where.sockets.is_dir()
    assert sorted(path.name for path in where.folder.iterdir()) == ["vcond.toml", "vcons"]
    assert not where.sockets.exists()


def test_after_a_failure_the_state_stays() -> None:
    with pytest.raises(DemoError), demo_paths(None) as where:
        raise DemoError("broken")
    assert where.state.is_dir()
    assert not where.sockets.exists()


def test_after_an_interruption_nothing_temporary_stays(temporary: Path) -> None:
    with pytest.raises(KeyboardInterrupt), demo_paths(None):
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_after_an_interruption_the_users_folder_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), demo_paths(tmp_path / "out") as where:
        raise KeyboardInterrupt
    assert where.folder.is_dir()
    assert not where.state.exists()


def test_new_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    with demo_paths(tmp_path / "out") as where:
        assert [path.stat().st_mode & 0o777 for path in (where.folder, where.state, where.sockets)] == [0o700] * 3


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match=r"cannot make a folder for the demo: .*file"), demo_paths(tmp_path / "file"):
        pass


def test_sockets_fit_into_an_address_however_deep_the_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    with demo_paths(tmp_path / ("deep" * 40)) as where:
        assert len(str(where.notify_socket)) < 108


def test_vcons_that_are_there_and_nothing_else(tmp_path: Path) -> None:
    with demo_paths(tmp_path / "out") as where:
        assert where.delivered() == set()
        where.vcons.mkdir()
        for name in ("a.vcon.json", ".b.vcon.json", "c.tmp"):
            (where.vcons / name).write_text("{}")
        assert where.delivered() == {where.vcons / "a.vcon.json"}


@pytest.mark.parametrize("name", ["out", 'with "quotes" and \\', "\u00fc \u2603", "\x7f"])
def test_configuration_is_toml_for_any_path_and_only_its_owner_reads_the_token(tmp_path: Path, name: str) -> None:
    with demo_paths(tmp_path / name) as where:
        settings.write(where, adapter="[adapters.twilio]\nstop_grace = 1\n", token="t0ken")
        read = tomllib.loads(where.config.read_text("utf-8"))
        assert where.config.stat().st_mode & 0o777 == 0o600
    assert read["vcond"]["state_dir"] == str(where.state)
    assert read["vcond"]["admin_socket"] == str(where.admin_socket)
    assert read["web"] == {"listen": "127.0.0.1:0", "token": "t0ken"}
    assert read["adapters"] == {"twilio": {"stop_grace": 1}}
    assert read["sinks"] == [{"type": "folder", "name": "folder", "path": str(where.vcons)}]
