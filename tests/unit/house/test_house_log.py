import io
import json
import os
import subprocess
import sys
import threading

import pytest

from vcond.base import log

SCRIPT = """
import sys, structlog, logging
from vcond.base import log
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
def test_of_an_exception_only_type_and_place_are_logged(style: str):
    text = logged(style)
    assert "ValueError at" in text
    assert " hear < " in text
    for secret in ("a fault of ours", "secret words", "hear("):
        assert secret not in text
    assert "not shown" not in text


def test_a_task_that_failed_is_told_by_its_place(capfd):
    """asyncio's own message has the exception's text in it."""
    script = (
        SCRIPT[: SCRIPT.index("def hear")]
        + """
import asyncio, gc
async def fail():
    raise ValueError("the secret words")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
"""
    )
    done = subprocess.run([sys.executable, "-c", script, "json"], check=True, capture_output=True, text=True)
    (row,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert row["event"] == "Task exception was never retrieved"
    assert "ValueError at" in row["exception"]
    assert "secret" not in done.stderr


def test_causes_and_groups_are_told_too():
    try:
        try:
            {}["secret"]
        except KeyError as why:
            raise ExceptionGroup("secret", [OSError("secret")]) from why
    except ExceptionGroup as group:
        told = log.place(group)
    assert [part.split(" ")[0] for part in told.split("; ")] == ["ExceptionGroup", "OSError", "KeyError"]
    assert "secret" not in told


def test_nobody_waits_for_who_does_not_read_the_log():
    reading, writing = os.pipe()
    with open(writing, "w") as stream:  # noqa: PTH123 - a descriptor
        writer = log.Writer(stream)
        for _ in range(log.MAX_LINES + 2000):
            writer.write("x" * 99 + "\n")
        assert not writer.drain(0.01)
        assert 0 < writer._dropped <= 2000
        assert writer._lines.qsize() <= log.MAX_LINES + 1
        rest = threading.Thread(target=lambda: all(iter(lambda: os.read(reading, 1 << 16), b"")), daemon=True)
        rest.start()
        assert writer.drain(60)
        writer.write("again\n")
        assert writer.drain(60)
        assert writer._dropped == 0
    rest.join(60)
    os.close(reading)


def test_many_who_log_first_at_the_same_time_get_one_thread_and_no_line_twice():
    stream, many = io.StringIO(), 16
    for _ in range(50):
        writer, together = log.Writer(stream), threading.Barrier(many)
        began: list[threading.Thread] = []
        work = writer._work
        writer._work = lambda work=work, began=began: (began.append(threading.current_thread()), work())

        def say(writer=writer, together=together):
            together.wait(60)
            writer.write("line\n")

        threads = [threading.Thread(target=say) for _ in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert writer.drain(60)
        assert len(began) == 1
    assert stream.getvalue() == "line\n" * many * 50


def test_a_child_whose_parent_was_just_starting_its_log_logs_all_the_same():
    script = """
import os, structlog
from vcond.base import log
log.configure("info", "json")
log._writer._starting.acquire()
child = os.fork()
if child == 0:
    structlog.get_logger().info("from the child")
    log.drain(60)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "from the child" in done.stderr


def test_a_machine_without_threads_to_give_costs_lines_not_whoever_logs(monkeypatch):
    def none(_self):
        raise RuntimeError("can't start new thread")

    writer = log.Writer(io.StringIO())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        writer.write("first\n")
    writer.write("second\n")
    assert writer.drain(60)
    assert writer.stream.getvalue() == "first\nsecond\n"


def test_what_was_logged_last_is_there_at_the_end():
    script = "from vcond.base import log\nimport structlog\nlog.configure('info', 'json')\n"
    script += "for i in range(2000): structlog.get_logger().info('line', number=i)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert [json.loads(line)["number"] for line in done.stderr.splitlines()] == list(range(2000))


def test_json_is_one_object_a_line():
    rows = [json.loads(line) for line in logged("json").splitlines()]
    assert [row["event"] for row in rows] == ["crashed", "handler failed"]
    assert rows[0]["call"] == "u"
    assert all(row["timestamp"].endswith("Z") and row["level"] == "error" for row in rows)
