"""Judges: PyPI's ``vcon`` and ``vcon-wtf``, in an environment of their own that ``tools/setup.sh test`` makes.

Both ask for Python 3.12 and use nothing of it; ``test_they_judge`` shows that they do their work on the Python that is here.
Another environment can be named in VCOND_JUDGES. Where a judge is wrong against the draft, WRONG says so with the section.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from vcond.testing.needs import needs

OURS = Path(__file__).parents[3] / ".peers" / "judges"
JUDGES = os.environ.get("VCOND_JUDGES", "") or (str(OURS / "bin" / "python") if (OURS / ".ready").exists() else "")


@pytest.fixture(autouse=True)
def judges_are_here() -> None:
    needs(JUDGES, "vcon and vcon-wtf are not installed in .peers/judges: tools/setup.sh test")


WRONG = {
    # core-04 section 4.3 (since core-03): recording-set is a type of dialog, and Table 1 forbids it a mediatype
    "Dialog at index 0 has an invalid type: recording-set",
    # core-04 Table 1: mediatype is a must beside a body; a recording without content needs none
    "Dialog at index 0 has an invalid or missing mediatype: missing",
    # draft-howe-vcon-wtf-extension-02: two who speak at once overlap, which quality.overlapping_speech is for
    "have overlapping times",
    # the same draft: a call in which nobody spoke has the text ""
    "Transcript text cannot be empty",
}

PROGRAM = """
import json, logging, sys
sys.modules["logger"] = logging  # a package that vcon asks for and calls when it fails to cut a video
from vcon import Vcon
from wtf_transcript_converter.core.models import WTFDocument
logging.disable(logging.CRITICAL)
found = {}
for file in sys.argv[1:]:
    text = open(file).read()
    problems = list(Vcon.build_from_json(text).is_valid()[1])
    for analysis in json.loads(text).get("analysis", []):
        if analysis["type"] == "wtf_transcription":
            try:
                WTFDocument.model_validate(analysis["body"])
            except ValueError as why:
                problems.append(str(why))
    found[file] = problems
print("RESULT" + json.dumps(found))
"""


def judged(files: list[str]) -> dict[str, list[str]]:
    done = subprocess.run([JUDGES, "-W", "ignore", "-c", PROGRAM, *files], capture_output=True, check=True, text=True)
    return msgspec.json.decode(done.stdout.rsplit("RESULT", 1)[1], type=dict[str, list[str]])


def test_other_libraries_take_what_we_write(data):
    files = [str(file) for file in sorted(data.glob("*.vcon.json"))]
    found = judged(files)
    assert len(found) == len(files)
    problems = [problem for each in found.values() for problem in each]
    assert [problem for problem in problems if not any(wrong in problem for wrong in WRONG)] == []


def test_they_judge(data, tmp_path):
    """What is wrong is found, by each of them."""
    good = next(text for file in sorted(data.glob("*.vcon.json")) if "wtf_transcription" in (text := file.read_text()))
    document = msgspec.json.decode(good)
    document["dialog"][0]["type"] = "séance"
    for analysis in document["analysis"]:
        if analysis["type"] == "wtf_transcription":
            del analysis["body"]["transcript"]
    file = tmp_path / "wrong.vcon.json"
    file.write_bytes(msgspec.json.encode(document))
    problems = judged([str(file)])[str(file)]
    assert any("séance" in problem for problem in problems), problems
    assert any("transcript" in problem for problem in problems), problems
