"""A vocabulary in the words of a model: what is missing is named, and nothing is decoded with what is left of nothing."""

from __future__ import annotations

import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from korean import UNDERSTOOD, line, say, steady_model
from structlog.testing import capture_logs

from vcond.base.time import Instant
from vcond.speech.check import check_speech
from vcond.speech.config import Route, SpeechConfig
from vcond.speech.engine import EngineOptions, Final, Hint
from vcond.speech.engines.vosk import MOST_FED, Pool, VoskEngine, VoskRecognition, Warm
from vcond.speech.results import Notes
from vcond.speech.vocabulary import Fitted, fit, words_of
from vcond.speech.workers.messages import Done

HAS = frozenset({"yes", "no", "OK", "dad's", "네", "Berlin", "new", "york", "<UNK>"}).__contains__


def test_words_are_taken_for_those_of_the_model_however_they_are_written() -> None:
    given = [
        "yes",
        "No!",
        "ok",
        "dad's",
        unicodedata.normalize("NFD", "네"),
        "네,",
        "BERLIN",
        "new York.",
        "[unk]",
        "¿yes?",
    ]
    fitted = fit(given, HAS)
    assert fitted == Fitted(("yes", "no", "OK", "dad's", "네", "Berlin", "new york", "<UNK>"), (), "<UNK>")
    assert (fitted.wrong, fitted.forced, fitted.note) == ("", "", "")


def test_a_model_that_writes_decomposed_words_is_given_those() -> None:
    apart = unicodedata.normalize("NFD", "é")
    assert fit(["É"], frozenset({apart}).__contains__).phrases == (apart,)


def test_missing_words_are_named_once_and_the_rest_of_a_phrase_stays() -> None:
    fitted = fit(["yes", "qqqq", "new qqqq", "5", "[unk]"], HAS)
    assert (fitted.phrases, fitted.missing) == (("yes", "new", "<UNK>"), ("qqqq", "5"))
    assert "'qqqq', '5'" in fitted.wrong
    assert "qqqq" not in fitted.note
    assert "2 of the vocabulary's words" in fitted.note
    assert fit([f"w{n}" for n in range(30)], HAS).named.endswith("and 10 more")


@pytest.mark.parametrize("given", [["qqqq", "zzzz"], ["qqqq", "[unk]"], ["[unk]"], ["<unk>"], [" "], ["..."]])
def test_of_nothing_but_others_nothing_is_left(given: list[str]) -> None:
    fitted = fit(given, HAS)
    assert (fitted.phrases, fitted.others) == ((), "")
    assert "all words" in fitted.wrong
    assert "all words were recognized" in fitted.note


def test_without_a_word_for_others_that_is_said() -> None:
    for given, has in ((["yes"], HAS), (["yes", "[unk]"], {"yes"}.__contains__)):
        assert "no [unk]" in fit(given, has).forced
        assert "no word for other speech" in fit(given, has).note


def graph(path: Path, words: list[str], *, inputs: bool = True, outputs: bool = True) -> None:
    """The head of a graph of OpenFst."""

    def text(of: str) -> bytes:
        return struct.pack("<i", len(of.encode())) + of.encode()

    table = struct.pack("<i", 2125658996) + text("words.txt") + struct.pack("<qq", len(words), len(words))
    table += b"".join(text(word) + struct.pack("<q", number) for number, word in enumerate(words))
    flags = inputs + 2 * outputs
    head = (
        struct.pack("<i", 2125659606) + text("ngram") + text("standard") + struct.pack("<iiqqqq", 4, flags, 0, 0, 1, 0)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + table * (inputs + outputs) + b"\1\0\0\0x" * 10)


@pytest.mark.parametrize("inputs", [True, False])
def test_words_of_a_model_are_read_from_its_graph(tmp_path: Path, inputs: bool) -> None:
    graph(tmp_path / "graph" / "Gr.fst", ["<eps>", "yes", "네"], inputs=inputs)
    has = words_of(tmp_path)
    assert [has(word) for word in ("yes", "네", "x", "ye")] == [True, True, False, False]


def test_or_from_the_list_beside_it(tmp_path: Path) -> None:
    graph(tmp_path / "graph" / "Gr.fst", ["<eps>"], outputs=False)
    (tmp_path / "graph" / "words.txt").write_text("<eps> 0\nyes 1\n\n네 2\n", "utf-8")
    assert words_of(tmp_path)("네")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is no graph at all", struct.pack("<i", 2125659606) + b"\xff" * 80]
)
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "Gr.fst").write_bytes(content)
    with pytest.raises(ValueError):
        words_of(tmp_path)


def test_a_graph_that_breaks_off_is_refused(tmp_path: Path) -> None:
    graph(tmp_path / "graph" / "Gr.fst", ["yes", "no"])
    whole = (tmp_path / "graph" / "Gr.fst").read_bytes()
    for size in range(1, 130, 7):
        (tmp_path / "graph" / "Gr.fst").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"graph|read"):
            words_of(tmp_path)


def test_check_names_the_words_that_a_model_lacks_for_every_route(tmp_path: Path) -> None:
    model = tmp_path / "vosk-model-en-0"
    graph(model / "graph" / "Gr.fst", ["yes", "no", "[unk]"])
    (model / "am").mkdir()
    for name in ("am/final.mdl", "graph/HCLr.fst"):
        (model / name).write_bytes(b"x")
    routes = [Route(vocabulary=["yes", "[unk]"]), Route(vocabulary=["Yes", "no"]), Route(vocabulary=["zzzz"])]
    config = SpeechConfig(engine="vosk", model=str(model), vocabulary=["yes", "qqqq", "[unk]"], routes=routes)
    found = check_speech(config, {})
    assert [one.level for one in found] == ["warning", "ok", "ok", "warning"]
    assert "'qqqq'" in found[0].detail
    assert "[unk]" in found[0].fix
    assert "no [unk]" in found[2].detail
    assert "'zzzz'" in found[3].detail


def test_a_note_goes_into_every_record_and_is_logged_once() -> None:
    notes = Notes()
    done = Done(1, Final("x", note="the model lacks words"), 0, 0)
    with capture_logs() as logged:
        assert [warned.text for _ in range(2) for warned in notes.of(done, Instant(1))] == ["the model lacks words"] * 2
        assert notes.of(Done(1, Final("x"), 0, 0), Instant(1)) == []
    assert [entry["error"] for entry in logged] == ["the model lacks words"]


class Counting:
    """A recognizer that says one word after what it was fed, with the clock a little behind as a float32 is."""

    def AcceptWaveform(self, _data: bytes) -> int:  # noqa: N802 - as vosk has it
        return 0

    def FinalResult(self) -> str:  # noqa: N802 - as vosk has it
        return '{"text": "w", "result": [{"word": "w", "start": 0.9995, "end": 0.9999, "conf": 1.0}]}'


def test_a_recognizer_that_was_fed_for_two_hours_is_not_used_again() -> None:
    rate = 10
    pool, warm = Pool(2), Warm(Counting(), (rate, ()))
    for seconds, kept in ((MOST_FED - 1, 1), (2, 0)):
        recognition = VoskRecognition(pool.take(warm.key) or warm, pool, "en")
        recognition.feed(np.zeros(int(seconds * rate), np.int16))
        recognition.finish()
        assert len(pool) == kept


def test_no_word_begins_before_its_utterance() -> None:
    warm = Warm(Counting(), (8000, ()))
    warm.feed(np.zeros(8000, np.int16))
    word = VoskRecognition(warm, Pool(1), "en").finish().words[0]
    assert (word.start, word.stop) == (0.0, 0.0)


@pytest.mark.speech
def test_the_real_library_and_the_files_agree_on_words(folder: Path) -> None:
    engine = VoskEngine(EngineOptions(model=str(folder), vocabulary=("네", "qqqq", "[unk]")))
    has, model = words_of(folder), next(iter(engine._models.values()))
    for word in (
        "네",
        "아니요",
        unicodedata.normalize("NFD", "네"),
        "네,",
        "[unk]",
        "<unk>",
        "<UNK>",
        "OK",
        "ok",
        "qqqq",
        "안녕하세요",
    ):
        assert has(word) == (model.vosk_model_find_word(word) >= 0), word
    assert "'qqqq'" in engine.caps.warning


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, which answers the same each time."""
    return steady_model(tmp_path_factory.mktemp("vosk"))


@pytest.mark.speech
def test_the_real_engine_hears_others_as_others_and_nothing_left_as_every_word(folder: Path) -> None:
    engine = VoskEngine(EngineOptions(model=str(folder), streams=1))

    def heard(*vocabulary: str, word: str = UNDERSTOOD[0]) -> Final:
        recognition = engine.open(Hint(8000, vocabulary=vocabulary))
        recognition.feed(line((0.5, say(word)), seconds=3))
        return recognition.finish()

    every = heard()
    assert every.note == ""
    lost = heard("qqqq", "[unk]")
    assert (lost.text, bool(lost.note)) == (every.text, True)
    others = heard("qqqq", UNDERSTOOD[0], "[unk]", word="전화")
    assert (others.text, [word.text for word in others.words]) == ("[unk]", ["[unk]"])
    assert "no word for other speech" in heard("아니요").note
