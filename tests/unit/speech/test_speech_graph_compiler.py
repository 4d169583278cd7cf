"""Graphs that are composed beforehand: made by the real tools, loaded by the real library, and what happens when not."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import select
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from korean import ANYTHING, MODEL, UNDERSTOOD, VOCABULARY, WORDS, around, hear, said, say, steady_model
from structlog.testing import capture_logs
from typer.testing import CliRunner

from vcond.base.errors import ConfigError, MissingExtraError, StorageError
from vcond.cli.app import app
from vcond.speech.engine import EngineOptions
from vcond.speech.engines.vosk import VoskEngine
from vcond.speech.models import graph_cache, store
from vcond.speech.models.catalog import Known
from vcond.speech.models.graph_cache import Look, look
from vcond.speech.models.graph_compiler import PACKAGES, TOOLS, Tools, compose
from vcond.speech.models.layout import laid_out
from vcond.testing.needs import needs


class FakeTools:
    """Tools of OpenFst that are shell scripts: what they do, a test sets. Each begins by writing what it made of which file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        for tool in TOOLS:
            self.does(tool, MAKE)
        self.does("fstsymbols", f'case "$1" in --save_osymbols=*) echo hi 1 >"${{1#*=}}";; esac; {MAKE}')
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr("vcond.speech.models.graph_compiler.SPARE_DISK", 0)

    def does(self, tool: str, text: str) -> None:
        (self.folder / tool).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / tool).chmod(0o755)


MAKE = """for out; do last=$before; before=$out; done
{ echo "${0##*/} $*" | sed 's#[^ =]*/##g'; cat "$last"; } >$out"""
"""What it was called with, without folders, and what it read."""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    return FakeTools(tmp_path / "bin", monkeypatch)


def test_what_is_composed_lies_beside_the_model_and_says_what_it_is_of(model_folder: Path, tools: FakeTools) -> None:
    steps: list[str] = []
    assert look(model_folder) == Look(there=False)
    if os.geteuid() == 0:
        os.chown(model_folder, 65_534, 65_534)
    before = os.umask(0o077)
    try:
        made = compose(model_folder, say=steps.append)
    finally:
        os.umask(before)
    assert made == model_folder / "composed"
    assert look(model_folder).ready
    assert store.verify(model_folder) == []
    told = graph_cache.told(model_folder)
    assert (set(told.of), set(told.files)) == (set(graph_cache.PARTS), {"HCLG.fst", "words.txt"})
    assert len(steps) == 5
    assert (made / "HCLG.fst").read_text().splitlines() == [
        "fstconvert --fst_type=const plain.fst HCLG.fst",
        "fstrelabel --relabel_ipairs=nothing raw.fst plain.fst",
        "fstcompose HCLr.fst G.fst raw.fst",
        "fstsymbols --save_osymbols=words.txt --clear_isymbols --clear_osymbols Gr.fst G.fst",
        "language",
    ]
    assert (made / "words.txt").read_text() == "hi 1\n"
    assert {path.name for path in made.iterdir()} == {"HCLG.fst", "words.txt", "composed.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o644}
    assert stat.S_IMODE(made.stat().st_mode) == 0o755
    assert {path.stat().st_uid for path in (made, *made.iterdir())} == {model_folder.stat().st_uid}
    assert not (model_folder / graph_cache.WORK).exists()
    with laid_out(model_folder, composed=made) as copy:
        assert sorted(path.name for path in (copy / "graph").iterdir()) == [
            "HCLG.fst", "disambig_tid.int", "phones", "phones.txt", "words.txt",
        ]  # fmt: skip
        assert {path.name for path in copy.iterdir()} == {"am", "conf", "graph"}
    with laid_out(model_folder, composed=made, max_active=1000) as copy:
        assert "--max-active=1000" in (copy / "conf" / "model.conf").read_text("utf-8")


def test_it_is_made_again_in_place_of_what_was_there(model_folder: Path, tools: FakeTools) -> None:
    compose(model_folder)
    change(model_folder)
    assert look(model_folder).why == "it was compiled from other files"
    (model_folder / graph_cache.WORK / "old").mkdir(parents=True)
    assert store.verify(model_folder)[0].startswith(".composing is left")
    compose(model_folder)
    assert look(model_folder).ready
    assert store.verify(model_folder) == []


def test_words_of_the_graph_come_before_those_of_a_file_as_vosk_takes_them(
    model_folder: Path, tools: FakeTools
) -> None:
    (model_folder / "graph" / "words.txt").write_text("ho 1\n")
    made = compose(model_folder)
    assert (made / "words.txt").read_text() == "hi 1\n"
    with laid_out(model_folder, composed=made) as copy:
        assert (copy / "graph" / "words.txt").read_text() == "hi 1\n"
    tools.does("fstsymbols", f'echo "ERROR: Saving osymbols but there are no output symbols." >&2; {MAKE}')
    made = compose(model_folder)
    assert (made / "words.txt").read_text() == "ho 1\n"
    (model_folder / "graph" / "words.txt").write_text("hu 1\n")
    assert look(model_folder).why == "it was compiled from other files"


def test_a_model_that_was_fetched_and_compiled_is_verified_as_a_whole(
    tmp_path: Path, model_folder: Path, tools: FakeTools
) -> None:
    archive = tmp_path / "my-model.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in model_folder.rglob("*"):
            packed.write(path, path.relative_to(model_folder))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    mine = Known("my-model", "", "", 0, "")
    found = asyncio.run(store.get(mine, tmp_path / "models", sha256=digest, local=archive))
    compose(found)
    assert store.verify(found) == []
    (found / "composed" / "HCLG.fst").write_text((found / "composed" / "HCLG.fst").read_text().upper())
    assert store.verify(found) == ["composed/HCLG.fst has changed"]


def change(folder: Path) -> str:
    (folder / "graph" / "Gr.fst").write_bytes(b"languagE")
    return "it was compiled from other files"


def shorten(folder: Path) -> str:
    (folder / "composed" / "HCLG.fst").write_bytes(b"m")
    return "it is not whole"


def remove(folder: Path) -> str:
    (folder / "composed" / "HCLG.fst").unlink()
    return "it is not whole"


def link(folder: Path) -> str:
    (folder / "composed" / "HCLG.fst").rename(folder / "graph.elsewhere")
    (folder / "composed" / "HCLG.fst").symlink_to(folder / "graph.elsewhere")
    return "it is not whole"


def lose(folder: Path) -> str:
    (folder / "composed" / "composed.json").unlink()
    return "it cannot be read: No such file"


def garble(folder: Path) -> str:
    (folder / "composed" / "composed.json").write_text("{}")
    return "it cannot be read: ValidationError"


def name_others(folder: Path) -> str:
    file = folder / "composed" / "composed.json"
    file.write_text(file.read_text().replace('"words.txt"', '"../../../etc/passwd"'))
    return "it cannot be read: ValidationError"


def name_fewer(folder: Path) -> str:
    file = folder / "composed" / "composed.json"
    told = json.loads(file.read_text())
    del told["of"]["Gr.fst"]
    file.write_text(json.dumps(told))
    return "it was compiled from other files"


def say_much(folder: Path) -> str:
    file = folder / "composed" / "composed.json"
    file.write_text(" " * (1 << 16) + file.read_text())
    return "it cannot be read: DecodeError"


def lose_part(folder: Path) -> str:
    (folder / "graph" / "HCLr.fst").unlink()
    return "the model has nothing to compile"


@pytest.mark.parametrize(
    "harm", [change, shorten, remove, link, lose, garble, name_others, name_fewer, say_much, lose_part]
)
def test_a_graph_of_another_model_or_not_whole_is_not_used(
    model_folder: Path, tools: FakeTools, harm: Callable[[Path], str]
) -> None:
    compose(model_folder)
    why = harm(model_folder)
    assert look(model_folder).why.startswith(why)
    told = f"composed/ is not used, {look(model_folder).why}: vcond model compile, or remove it"
    assert store.verify(model_folder) == [told]


def test_verify_sees_what_has_changed_in_what_was_made(model_folder: Path, tools: FakeTools) -> None:
    compose(model_folder)
    graph = model_folder / "composed" / "HCLG.fst"
    graph.write_text(graph.read_text().upper())
    (model_folder / "composed" / "more").touch()
    assert look(model_folder).ready, "of the size that it had: hashes of gigabytes are for verify"
    assert store.verify(model_folder) == ["composed/more was not made with it", "composed/HCLG.fst has changed"]


@pytest.mark.parametrize(
    ("does", "error", "says"),
    [
        ("exit 3", StorageError, "exit code 3"),
        (f'echo "FATAL: no space" >&2; {MAKE}', StorageError, "no space"),
        (f'echo "ERROR: Saving osymbols but there are no output symbols." >&2; {MAKE}', StorageError, "osymbols"),
        ("exit 0", StorageError, "Its output: nothing"),
        ("kill -KILL $$", StorageError, "larger machine"),
        ('echo "ERROR: Fst::Read: Unknown FST type olabel_lookahead" >&2; exit 1', MissingExtraError, "libfst"),
    ],
)
def test_a_tool_that_fails_leaves_what_was_there(
    model_folder: Path, tools: FakeTools, does: str, error: type[Exception], says: str
) -> None:
    compose(model_folder)
    tools.does("fstrelabel", does)
    with pytest.raises(error, match=says):
        compose(model_folder)
    assert look(model_folder).ready
    assert not (model_folder / graph_cache.WORK).exists()


def test_a_tool_may_write_no_more_than_there_is_room_for(
    model_folder: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.does("fstcompose", 'head -c 9000000 /dev/zero >"$3"')
    monkeypatch.setattr("vcond.speech.models.graph_compiler.MOST_BYTES", 1 << 20)
    with pytest.raises(StorageError, match="fstcompose failed"):
        compose(model_folder)
    assert not (model_folder / graph_cache.WORK).exists()


def test_a_tool_takes_what_is_free_stands_back_and_dies_first(model_folder: Path, tools: FakeTools) -> None:
    seen = model_folder / "seen"
    tools.does("fstcompose", f'{{ ulimit -d; nice; cat /proc/self/oom_score_adj; }} >"{seen}"; {MAKE}')
    compose(model_folder)
    memory, nice, first = map(int, seen.read_text().split())
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    assert 0 < memory < 0.76 * total
    assert (nice >= 15, first) == (True, 1000)


def test_a_tool_that_hangs_is_ended(model_folder: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcond.speech.models.graph_compiler.MOST_SECONDS", 0.05)
    os.mkfifo(model_folder / "fifo")
    tools.does("fstsymbols", f'read never <"{model_folder / "fifo"}"')
    with pytest.raises(StorageError, match=r"did not finish in 0\.05 seconds"):
        compose(model_folder)


def test_a_tool_ends_with_who_started_it(model_folder: Path, tools: FakeTools) -> None:
    fifo, never = model_folder / "fifo", model_folder / "never"
    os.mkfifo(fifo)
    os.mkfifo(never)
    tools.does("fstcompose", f'echo $$ >"{fifo}"; read never <"{never}"')
    code = f"from pathlib import Path\nfrom vcond.speech.models.graph_compiler import compose\ncompose(Path({str(model_folder)!r}))"
    with subprocess.Popen([sys.executable, "-c", code]) as compiling:
        process = os.pidfd_open(int(fifo.read_text()))
        with pytest.raises(ConfigError, match="another `vcond model compile`"):
            compose(model_folder)
        compiling.kill()
    assert select.select([process], [], [], 10)[0], "the tool ended as well"
    os.close(process)
    tools.does("fstcompose", MAKE)
    compose(model_folder)
    assert look(model_folder).ready
    assert not (model_folder / graph_cache.WORK).exists()


def test_what_cannot_be_loaded_takes_the_place_of_nothing(model_folder: Path, tools: FakeTools) -> None:
    seen: list[bool] = []

    def tried(whole: Path) -> str:
        seen.append((whole / "graph" / "HCLG.fst").is_file())
        return "rubbish"

    with pytest.raises(StorageError, match="was deleted: rubbish"):
        compose(model_folder, tried=tried)
    assert (look(model_folder), seen) == (Look(there=False), [True])
    compose(model_folder)
    with pytest.raises(StorageError, match="was deleted: rubbish"):
        compose(model_folder, tried=tried)
    assert look(model_folder).ready
    compiled = CliRunner().invoke(app, ["model", "compile", str(model_folder)])
    assert isinstance(compiled.exception, StorageError), "the real library, of files that are no model"
    assert "cannot be loaded" in str(compiled.exception)
    assert look(model_folder).ready


def test_what_was_there_comes_back_when_the_new_one_cannot_be_put_there(
    model_folder: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose(model_folder)
    before = graph_cache.told(model_folder)
    rename = Path.rename

    def full(path: Path, to: Path) -> Path:
        if path == model_folder / graph_cache.WORK / "composed":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StorageError, match="Input/output error"):
        compose(model_folder)
    assert graph_cache.told(model_folder) == before
    assert look(model_folder).ready


def test_there_must_be_room_before_minutes_are_spent(
    model_folder: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.does("fstsymbols", "exit 9")
    monkeypatch.setattr("vcond.speech.models.graph_compiler.SPARE_DISK", 1 << 60)
    with pytest.raises(StorageError, match="MB of disk are free"):
        compose(model_folder)
    (model_folder / "composed").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        compose(model_folder)


def test_without_the_tools_it_says_which_package(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtraError, match="apt-get install libfst-tools"):
        compose(model_folder)


def test_models_that_have_nothing_to_compose(model_folder: Path, tools: FakeTools) -> None:
    (model_folder / "graph" / "disambig_tid.int").write_text("one\n")
    with pytest.raises(ConfigError, match="not have one number per line"):
        compose(model_folder)
    (model_folder / "graph" / "HCLG.fst").touch()
    assert graph_cache.fixed(model_folder)
    with pytest.raises(ConfigError, match="nothing to compile"):
        compose(model_folder)


def test_a_graph_without_words_is_refused(model_folder: Path, tools: FakeTools) -> None:
    tools.does("fstsymbols", 'for out; do :; done; echo made >"$out"')
    with pytest.raises(ConfigError, match="the list of words"):
        compose(model_folder)


def test_one_at_a_time(model_folder: Path, tools: FakeTools) -> None:
    twice: list[str] = []

    def again(_text: str) -> None:
        with pytest.raises(ConfigError, match="another `vcond model compile`"):
            compose(model_folder)
        twice.append("refused")

    compose(model_folder, say=again)
    assert len(twice) == 5


def test_a_folder_without_rights(model_folder: Path, tools: FakeTools) -> None:
    (model_folder / graph_cache.WORK).touch()  # root may write everywhere, but makes no folder of a file
    with pytest.raises(StorageError, match="run as root or as vcond's user"):
        compose(model_folder)


# With the real tools and the real library.


@pytest.fixture(scope="module")
def ten_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with a language of ten words, so that composing takes seconds."""
    needs(shutil.which("fstcompile") is not None, f"fstcompile is missing: {PACKAGES}")
    folder = steady_model(tmp_path_factory.mktemp("vosk"))
    (folder / "graph").unlink()
    (folder / "graph").mkdir()
    for part in (MODEL / "graph").iterdir():
        if part.name != "Gr.fst":
            (folder / "graph" / part.name).symlink_to(part)
    environment = Tools().environment
    table = folder.parent / "words"
    subprocess.run(
        ["fstsymbols", f"--save_osymbols={table}", MODEL / "graph" / "Gr.fst", os.devnull], env=environment, check=True
    )
    numbers = dict(line.split("\t") for line in table.read_text("utf-8").splitlines())
    words = sorted(VOCABULARY, key=lambda word: int(numbers[word]))
    arcs = "".join(f"0 0 {numbers[word]} {numbers[word]} {1 + at / 10}\n" for at, word in enumerate(words))
    table.write_text("".join(f"{word}\t{numbers[word]}\n" for word in ("<eps>", *words)), "utf-8")
    bare = folder.parent / "bare.fst"
    subprocess.run(["fstcompile", "-", bare], input=f"{arcs}0 0\n".encode(), env=environment, check=True)
    symbols = [f"--isymbols={table}", f"--osymbols={table}"]
    subprocess.run(["fstsymbols", *symbols, bare, folder / "graph" / "Gr.fst"], env=environment, check=True)
    return folder


@pytest.fixture
def small(ten_words: Path, tmp_path: Path) -> Path:
    """It, made of links, for one test."""
    folder = tmp_path / ten_words.name
    folder.mkdir()
    for part in ten_words.iterdir():
        (folder / part.name).symlink_to(part)
    return folder


@pytest.mark.speech
def test_a_composed_graph_hears_the_same_to_the_last_digit(small: Path) -> None:
    utterances = [around(say(word)) for word in VOCABULARY] + [np.concatenate([around(say(w)) for w in UNDERSTOOD])]
    before = VoskEngine(EngineOptions(model=str(small), streams=1))
    assert (list(before._models), before.caps.warning) == ([False], "")
    expected = [said(hear(before.open(ANYTHING), pcm)) for pcm in utterances]
    assert [text for text, _ in expected[:10]].count("") < 3
    compiled = CliRunner().invoke(app, ["model", "compile", small.name, "--to", str(small.parent)])
    assert compiled.exit_code == 0, compiled.output
    assert f"{small / 'composed'}: made and loaded" in compiled.output
    assert store.verify(small) == []
    after = VoskEngine(EngineOptions(model=str(small), streams=1))
    assert list(after._models) == [True]
    assert [said(hear(after.open(ANYTHING), pcm)) for pcm in utterances] == expected
    assert hear(after.open(WORDS), utterances[VOCABULARY.index("서울")]).text == "서울"
    assert sorted(after._models) == [False, True], "for a vocabulary the model as it came was loaded beside it"
    worded = VoskEngine(EngineOptions(model=str(small), streams=1, vocabulary=VOCABULARY))
    assert list(worded._models) == [False], "most have a vocabulary: the model stays as it came"
    both = VoskEngine(EngineOptions(model=str(small), streams=1, vocabularies=True))
    assert sorted(both._models) == [False, True]


@pytest.mark.speech
async def test_a_composed_graph_that_cannot_be_used_costs_a_warning_and_no_text(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose(small)
    graph, pcm = small / "composed" / "HCLG.fst", around(say("서울"))
    data = graph.read_bytes()
    graph.write_bytes(bytes(len(data)))
    engine = VoskEngine(EngineOptions(model=str(small), streams=1))
    assert "composed is not used (vosk cannot load it): vcond model compile" in engine.caps.warning
    assert hear(engine.open(ANYTHING), pcm).text == "서울"
    with capture_logs() as logs:
        assert await store.loads(small) == "", "in a worker, as the daemon does"
    assert [one["warning"] for one in logs if "warning" in one] == [engine.caps.warning]
    graph.write_bytes(data)
    monkeypatch.setattr("tempfile.tempdir", str(small / "gone"))
    engine = VoskEngine(EngineOptions(model=str(small), streams=1))
    assert "No such file" in engine.caps.warning
    assert hear(engine.open(ANYTHING), pcm).text == "서울"
