from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcond.base.errors import ConfigError, MissingExtraError
from vcond.speech import engine
from vcond.speech.engine import EngineOptions, load

TOP = Path(engine.__file__).parents[2]
HEAVY = ["vosk", "ctranslate2", "tokenizers", "faster_whisper", "onnxruntime", "av", "soxr", "aiohttp"]


def test_nothing_heavy_is_imported_outside_a_worker() -> None:
    code = f"import vcond.speech.dispatcher, vcond.speech.engine_choice, sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert out.stdout.split() == []


def test_an_engine_by_module_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    made = load("speech_engines:Scripted", EngineOptions(model=str(tmp_path)))
    assert (made.name, made.model, made.caps.streaming) == ("scripted", "whole", False)


def test_a_registered_engine_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "third", "speech_engines:Scripted"

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(engine, "entry_points", lambda *, group: [Point()] if group == "vcond.engines" else [])
    assert load("third", EngineOptions(model=str(tmp_path))).name == "scripted"
    assert set(engine.registered()) == {"remote", "vosk", "whisper", "third"}


def test_a_name_that_nobody_registered() -> None:
    with pytest.raises(ConfigError, match=r"^speech.engine: no engine kaldi; engines: remote, vosk, whisper"):
        load("kaldi", EngineOptions())


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(MissingExtraError, match="pip install no_such_package_anywhere"):
        load("no_such_package_anywhere.engine:Engine", EngineOptions())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("collections:Nothing", "collections:Nothing (module 'collections' has no attribute 'Nothing')"),
        ("collections.nothing:Engine", "(No module named 'collections.nothing')"),
        ("third_broken:Engine", "(cannot import name 'Gone' from 'vcond.speech.engine'"),
        ("third_older:Engine", "(No module named 'vcond.gone')"),
    ],
)
def test_a_class_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, words: str) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "third_broken.py").write_text("from vcond.speech.engine import Gone")
    (tmp_path / "third_older.py").write_text("import vcond.gone")
    with pytest.raises(ConfigError, match=r"^speech\.engine: engine .* cannot be loaded from ") as why:
        load(spec, EngineOptions())
    assert words in str(why.value)
