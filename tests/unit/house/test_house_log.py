import json
import subprocess
import sys

import pytest

SCRIPT = """
import sys, structlog, logging
from vcond import log
log.configure("info", sys.argv[1])
def hear(words):
    raise ValueError("a fault of ours")
try:
    hear("the secret words")
except ValueError:
    structlog.get_logger().exception("crashed", call="u")
    logging.getLogger("aiohttp").exception("handler failed")
structlog.get_logger().debug("not shown")
"""


def logged(style: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, style], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_holds_no_local_variables(style: str):
    text = logged(style)
    assert "a fault of ours" in text
    assert "secret words" not in text.replace('hear("the secret words")', "")
    assert "not shown" not in text


def test_json_is_one_object_a_line():
    rows = [json.loads(line) for line in logged("json").splitlines()]
    assert [row["event"] for row in rows] == ["crashed", "handler failed"]
    assert rows[0]["call"] == "u"
    assert all(row["timestamp"].endswith("Z") and row["level"] == "error" for row in rows)
