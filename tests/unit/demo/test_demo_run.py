"""The way of a demo, and what it says when something goes wrong. With the real daemon: tests/e2e/test_demo.py."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vcond.demo import child, run
from vcond.demo.call import Turn
from vcond.demo.run import DemoOptions, run_demo
from vcond.demo.wav import own_call

FAKE = Path(__file__).with_name("fake_daemon.py")


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch):
    """Choose how the daemon goes wrong."""

    def choose(name: str) -> None:
        monkeypatch.setattr(child, "COMMAND", (sys.executable, str(FAKE), name))

    return choose


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    path = tmp_path / "call.wav"
    soundfile.write(path, np.zeros((1600, 2)), 8000)
    return DemoOptions(wav=path, out=tmp_path / "out")


def test_a_good_run_ends_with_the_path(way, options: DemoOptions, capsys: pytest.CaptureFixture[str]) -> None:
    way("good")
    assert run_demo(options) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    path = Path(lines[-1].removeprefix("vCon: "))
    assert path.is_file()
    assert path.parent == options.out / "vcons"
    assert lines[0] == "call.wav: Caller and Agent, 0:00, as a Twilio media stream"
    assert any("Good morning." in line for line in lines)
    assert err == ""
    assert sorted(p.name for p in options.out.iterdir()) == ["vcond.log", "vcond.toml", "vcons"]


@pytest.mark.parametrize(("name", "shown"), [("good", True), ("no-page", False)])
def test_a_link_to_the_page_is_shown_where_there_is_one(
    way, options: DemoOptions, capsys, name: str, shown: bool
) -> None:
    way(name)
    assert run_demo(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ("watch it in a browser: http://127.0.0.1:1/login?code=x" in lines) is shown
    assert lines[-1].startswith("vCon: ")


def test_for_who_views_the_page_it_stays_up_until_ctrl_c(way, options: DemoOptions, capsys) -> None:
    way("viewed")
    assert run_demo(replace(options, view=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "its record in a browser: http://127.0.0.1:1/login?code=x" in lines
    assert lines[-1].startswith("vCon: ")


def test_a_daemon_that_dies_while_it_is_viewed_is_said(way, options: DemoOptions, capsys) -> None:
    way("dies-viewed")
    assert run_demo(replace(options, view=True)) == 1
    assert "the daemon stopped too early (exit code 3)" in capsys.readouterr().err


def test_a_vcon_of_an_earlier_run_is_not_taken_for_the_new_one(
    way, options: DemoOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    way("silent")
    monkeypatch.setattr(run, "TEXT_LIMIT", -0.1)
    (options.out / "vcons").mkdir(parents=True)
    (options.out / "vcons" / "old.vcon.json").write_text("{}")
    assert run_demo(options) == 1
    assert "no vCon was made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dies", "the daemon stopped too early (exit code 3)"),
        ("refuses", "the daemon refuses the call"),
        ("invalid", "is not a valid vCon:\n  error: $.parties: parties must be an array"),
        ("garbage", "vCon is not JSON"),
    ],
)
def test_what_went_wrong_is_said(
    way, options: DemoOptions, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    way(name)
    assert run_demo(options) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert "vCon: " not in out
    assert any(path.name.startswith("state-") for path in options.out.iterdir())  # kept for whoever looks into it


def test_the_end_of_the_daemons_log_is_shown(way, options: DemoOptions, capsys: pytest.CaptureFixture[str]) -> None:
    way("dies")
    run_demo(options)
    assert f"the last lines of {options.out / 'vcond.log'}:\n  out of memory\n" in capsys.readouterr().err


def test_a_call_of_which_nothing_was_understood_is_no_success(
    way, options: DemoOptions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    way("good")
    known = replace(own_call(options.wav), turns=(Turn(1, 0, 1, "Good morning.", ()),))
    monkeypatch.setattr(run, "demo_call", lambda: known)
    assert run_demo(replace(options, wav=None)) == 1
    out, err = capsys.readouterr()
    assert "Agent        0 of 2      0.0%" in out
    assert "has no audio or no text; the vCon is " in err
    assert "vCon: " not in out


def test_broken_live_text_does_not_end_the_demo(way, options: DemoOptions, capsys: pytest.CaptureFixture[str]) -> None:
    way("rubbish")
    assert run_demo(options) == 0
    assert "a caption event cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_it_in_order(
    way, options: DemoOptions, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    way(name)
    assert run_demo(options) == code
    out, err = capsys.readouterr()
    assert "stopping" in err
    assert "vCon: " not in out
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("speed", [0, -1, 0.05, 11, float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(speed: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(DemoOptions(speed=speed)) == 1
    assert "--speed must be from 0.1 to 10" in capsys.readouterr().err


def test_an_unknown_pbx_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(DemoOptions(pbx="avaya")) == 1
    assert "--pbx avaya: the only choice is asterisk" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(DemoOptions(wav=tmp_path / "no.wav", out=tmp_path / "out")) == 1
    assert "no.wav: cannot be read as audio: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
