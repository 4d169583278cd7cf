from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vcond.base.errors import ConfigError
from vcond.cli.app import app
from vcond.cli.bench import row, verdict
from vcond.demo.errors import DemoError
from vcond.speech.config import SpeechConfig
from vcond.speech.load import capacity_bench
from vcond.speech.load.capacity_bench import LEVELS, Level, Report, Voice

ENGINES = Path(__file__).parents[1] / "speech"
ZERO = capacity_bench.Instant(0)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ENGINES))
    monkeypatch.setattr(os, "nice", lambda _: 0)

    def write(engine: str) -> Path:
        file = tmp_path / "vcond.toml"
        file.write_text(
            f'[vcond]\nadmin_socket = "{tmp_path}/admin.sock"\n[speech]\nengine = "{engine}"\nworkers = 1\n'
        )
        return file

    return write


def test_calls_that_a_machine_can_follow(config, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.bind(str(tmp_path / "admin.sock"))
        daemon.listen()
        words = ["bench", "speech", "-c", str(config("bench_engines:Quick")), "--calls", "4", "--level", "5", "--json"]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "a vcond is running here" in done.stderr
    report = json.loads(done.stdout)
    assert (report["engine"], report["model"], report["workers"]) == ("quick", "test", 1)
    (level,) = report["levels"]
    assert (report["capacity"], done.exit_code) == ((4, 0) if level["holds"] else (0, 1))
    assert level["utterances"] > 0
    assert level["shown"] > 0


def test_calls_that_no_machine_can_follow(config) -> None:
    words = ["bench", "speech", "-c", str(config("bench_engines:Slow")), "--seconds", "5", "--level", "5"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 1, done.output
    assert "does not hold" in done.output
    assert "0 live calls with quick test: 1 workers" in done.output


def test_without_an_engine_there_is_nothing_to_measure(config) -> None:
    with pytest.raises(ConfigError, match="nothing to measure"):
        CliRunner().invoke(app, ["bench", "speech", "-c", str(config("none"))], catch_exceptions=False)
    with pytest.raises(ConfigError, match="pip install no_such_engine"):
        CliRunner().invoke(app, ["bench", "speech", "-c", str(config("no_such_engine:A"))], catch_exceptions=False)


def test_a_recording_that_is_not_there_is_named_with_its_option_and_before_the_table(config, tmp_path, capsys) -> None:
    words = ["bench", "speech", "-c", str(config("bench_engines:Quick")), "--audio", str(tmp_path / "nope.wav")]
    with pytest.raises(DemoError, match=r"^--audio .*nope\.wav: cannot be read as audio: no such file"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert capsys.readouterr().out == ""


def test_the_help_names_the_section() -> None:
    assert "[speech] is measured" in " ".join(CliRunner().invoke(app, ["bench", "speech", "--help"]).output.split())


async def test_audio_in_which_nobody_speaks(config) -> None:
    config("")
    silence = [np.zeros(8000, np.int16)] * 2
    options = SpeechConfig(engine="bench_engines:Quick", workers=1)
    with pytest.raises(ConfigError, match="too little speech"):
        await capacity_bench.measure(options, silence, seconds=1, level_seconds=1, only=1)


def climb(holds: int, cpu: float = 0.0) -> list[int]:
    """The numbers of calls that are tried on a machine that holds so many."""
    levels: list[Level] = []
    tried = capacity_bench._counts(levels, 0)
    levels.extend(Level(count, count <= holds, 9, 0, 0.1, 0.1, None, 0, cpu) for count in tried)
    return [level.calls for level in levels]


def test_the_climb_ends_between_what_holds_and_what_does_not() -> None:
    assert climb(5) == [1, 2, 3, 4, 6, 5]
    assert climb(0) == [1]
    assert climb(20) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 20, 22, 21]
    assert climb(1000)[-1] == LEVELS[-1]
    assert list(capacity_bench._counts([], 7)) == [7]


def test_what_would_hold_anyhow_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert climb(20, cpu=0.1) == [1, 6, 8, 12, 16, 24, 20, 22, 21]


def test_a_level_is_judged_by_what_ended_in_its_time() -> None:
    voice = Voice("call", 0, np.zeros(8000, np.int16), 0, ZERO)
    calls = capacity_bench.Calls.__new__(capacity_bench.Calls)
    calls.going = [[(voice, None)]]
    second = capacity_bench.SECOND
    voice.spoken = {n: capacity_bench.Instant(n * second) for n in range(100)}
    voice.lags = dict.fromkeys(range(98), 0.9) | {98: 0.2, 99: 0.2}

    def judged(since: int, upto: int) -> Level:
        return capacity_bench._judge(
            calls, capacity_bench.Instant(since * second), capacity_bench.Instant(upto * second), 0.5
        )

    assert judged(0, 100) == Level(1, True, 100, 0, 0.9, 0.9, None, 0, 0.5)
    voice.lags[50] = 1.5
    assert judged(0, 100).holds, "one in a hundred may be late"
    assert not judged(50, 60).holds
    del voice.lags[50]
    assert (judged(50, 60).missing, judged(50, 60).lag_p95) == (1, None)
    voice.shown = [(capacity_bench.Instant(55 * second), 1.2)]
    assert not judged(51, 60).holds, "words come too late"
    assert judged(56, 60).holds
    assert not judged(200, 300).holds, "nothing was said: nothing is known"


def test_audio_goes_round() -> None:
    voice = Voice("call", 0, np.arange(10, dtype=np.int16), 3, ZERO)
    assert voice.read(0, 12).tolist() == [3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_the_table_says_never_where_no_text_came() -> None:
    late = Level(8, False, 20, 7, 0.4, None, 0.31, 5, 0.2)
    assert row(late).split() == ["8", "0.40", "never", "0.31", "7/20", "0.200", "does", "not", "hold"]
    assert row(Level(1, True, 0, 0, None, None, None, 0, 0.0)).split() == ["1", "-", "-", "-", "0/0", "0.000"]
    told = Report("vosk", "small", 2, 2, (late,), 6, limited=True)
    assert verdict(told)[0] == "6 or more live calls with vosk small: 2 workers on 2 CPUs"
