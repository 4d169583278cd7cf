"""Judges that need Python 3.12: PyPI's ``vcon`` and ``vcon-wtf`` in an environment of their own.

``tools/setup.sh test`` makes it where there is a Python 3.12; another one can be named in VCOND_JUDGES. Where a judge is wrong
against the draft, WRONG says so with the section.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

OURS = Path(__file__).parents[3] / ".peers" / "judges"
JUDGES = os.environ.get("VCOND_JUDGES", "") or (str(OURS / "bin" / "python") if (OURS / ".ready").exists() else "")
pytestmark = pytest.mark.skipif(not JUDGES, reason="no Python 3.12 on this machine for vcon and vcon-wtf")

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


def test_other_libraries_take_what_we_write(data):
    files = [str(file) for file in sorted(data.glob("*.vcon.json"))]
    done = subprocess.run(
        [JUDGES, "-W", "ignore", "-c", PROGRAM, *files], capture_output=True, check=True, timeout=120, text=True
    )
    found = msgspec.json.decode(done.stdout.rsplit("RESULT", 1)[1])
    assert len(found) == len(files)
    problems = [problem for each in found.values() for problem in each]
    assert [problem for problem in problems if not any(wrong in problem for wrong in WRONG)] == []
