"""``docs/systemd.md`` is what the lines of tests/e2e/deb/systemd_life.py print, on both Debians."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]


def script():
    spec = importlib.util.spec_from_file_location("systemd_life", TOP / "tests/e2e/deb/systemd_life.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


life = script()


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_each_line_of_the_transcript_said_what_it_must(suite: str):
    began, ended = life.ends(suite)
    part = life.PAGE.read_text("utf-8").partition(began)[2].partition(ended)[0]
    sections = dict(re.findall(r"^### (.*)\n\n```console\n((?:.*\n)*?)```$", part, re.MULTILINE))
    assert list(sections) == list(life.LIFE)
    for title, steps in life.LIFE.items():
        shown = re.findall(r"^# (.*)\n((?:(?!# ).*\n)*)", sections[title], re.MULTILINE)
        assert [line for line, _ in shown] == [step.line for step in steps]
        for step, (_, said) in zip(steps, shown, strict=True):
            assert re.search(step.says, said.strip(), re.MULTILINE), step.line


def test_every_drop_in_was_lived_with():
    lived = "".join(step.line for steps in life.LIFE.values() for step in steps)
    ours = {file.name for file in (TOP / "systemd/vcond.service.d").glob("*.conf")}
    assert {name for name in ours if name not in lived} == {"webrtc.conf"}  # which the package brings
    assert "vcond-webrtc.deb" in lived
