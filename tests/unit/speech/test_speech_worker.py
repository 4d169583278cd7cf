from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.base.errors import ProtocolError
from vcond.speech.engine import Caps, EngineOptions, Final, Hint, Partial
from vcond.speech.workers import messages, worker

TOP = Path(worker.__file__).parents[2]
HERE = Path(__file__).parent


class Child:
    """A real worker process, spoken to without the parent's code."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vcond.speech.workers.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": f"{TOP}{os.pathsep}{HERE}"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def say(self, *requests: messages.Request) -> None:
        self.ours.sendall(b"".join(map(messages.pack, requests)))

    def hear(self) -> messages.Answer | None:
        body = messages.receive(self.ours)
        return None if body is None else messages.answer(body)

    def start(self, folder: Path, engine: str = "Scripted") -> messages.Answer | None:
        self.say(messages.Start(f"speech_engines:{engine}", str(folder), 1, 0))
        return self.hear()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.ours.close()
    child.process.kill()
    child.process.wait()


def pcm(*values: int) -> bytes:
    return np.repeat(np.array(values, np.int16), 80).tobytes()


def test_one_worker_serves_several_recognitions_at_once(child: Child, tmp_path: Path) -> None:
    ready = child.start(tmp_path, "Streaming")
    assert isinstance(ready, messages.Ready)
    assert (ready.engine, ready.model, ready.streaming) == ("scripted", "streaming", True)
    assert ready.memory > 1 << 20
    child.say(
        messages.Open(1, Hint(8000)), messages.Open(2, Hint(8000)), messages.Feed(1, pcm(1)), messages.Feed(2, pcm(2))
    )
    child.say(messages.Ask(1))
    assert child.hear() == messages.Said(1, "1")
    child.say(messages.Feed(1, pcm(3)), messages.Finish(1))
    done = child.hear()
    assert isinstance(done, messages.Done)
    assert (done.job, done.final.text) == (1, "1 3")
    child.say(messages.Finish(2))
    done = child.hear()
    assert isinstance(done, messages.Done)
    assert done.final.text == "2"


def test_it_ends_when_its_parent_is_gone(child: Child, tmp_path: Path) -> None:
    child.start(tmp_path)
    child.ours.close()
    assert child.process.wait(60) == 0


def test_it_ends_when_its_parent_is_gone_in_the_middle_of_work_that_never_ends(child: Child, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    child.start(tmp_path)
    child.say(messages.Open(1, Hint(8000)), messages.Feed(1, pcm(902)), messages.Finish(1))
    assert int((tmp_path / "fifo").read_text()) == child.process.pid
    child.ours.close()
    assert child.process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_the_whole_group_are_not_for_it(child: Child, tmp_path: Path, number: int) -> None:
    child.start(tmp_path)
    child.process.send_signal(number)
    child.say(messages.Open(1, Hint(8000)), messages.Feed(1, pcm(5)), messages.Finish(1))
    assert isinstance(child.hear(), messages.Done)


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x04junk",
        messages.pack(messages.Finish(1)),
        messages.pack(messages.Said(1, "an answer")),
    ],
)
def test_rubbish_instead_of_a_start_ends_it(child: Child, junk: bytes) -> None:
    child.ours.sendall(junk)
    assert child.hear() is None
    assert child.process.wait(60) == 2


@pytest.mark.parametrize(
    "requests",
    [
        [messages.Start("x:Y", "", 1, 0)],
        [messages.Open(1, Hint(8000)), messages.Open(1, Hint(8000))],
    ],
)
def test_requests_that_make_no_sense_end_it(child: Child, tmp_path: Path, requests: list[messages.Request]) -> None:
    child.start(tmp_path)
    child.say(*requests)
    assert child.hear() is None
    assert child.process.wait(60) == 2


def test_an_engine_that_cannot_be_loaded_says_what_to_do(child: Child, tmp_path: Path) -> None:
    answer = child.start(tmp_path, "Broken")
    assert answer == messages.Failed("ConfigError", None, "speech.model: the model is cracked; glue it")
    assert child.process.wait(60) == 0


def test_an_exception_is_answered_without_what_was_said_and_the_worker_lives(child: Child, tmp_path: Path) -> None:
    child.start(tmp_path)
    child.say(messages.Open(1, Hint(8000)), messages.Feed(1, pcm(903)), messages.Finish(1))
    assert child.hear() == messages.Failed("RuntimeError", 1)
    child.say(messages.Open(2, Hint(8000)), messages.Feed(2, pcm(4)), messages.Finish(2))
    assert isinstance(child.hear(), messages.Done)


class Odd:
    """An engine with a recognition that does what it is told to here."""

    name, model, caps = "odd", "odd", Caps(streaming=False)

    def __init__(self, options: EngineOptions) -> None:
        self.final = Final("x")
        self.raises: BaseException | None = None

    def open(self, hint: Hint) -> Odd:
        return self

    def feed(self, pcm: np.ndarray) -> None:
        if self.raises:
            raise self.raises

    def partial(self) -> Partial:
        return Partial("p")

    def finish(self) -> Final:
        return self.final

    def reset(self) -> None:
        if self.raises:
            raise self.raises


def test_one_step_has_one_answer_whatever_fails_in_it() -> None:
    engine = Odd(EngineOptions())
    engine.raises = ValueError("said")
    bench = worker.Bench(engine)
    step = [
        messages.Open(1, Hint(8000)),
        messages.Feed(1, b""),
        messages.Feed(1, b""),
        messages.Finish(1),
        messages.Drop(1),
    ]
    assert [reply for message in step if (reply := bench.do(message))] == [messages.Failed("ValueError", 1)]


def test_a_drop_has_no_answer_even_when_it_fails() -> None:
    engine = Odd(EngineOptions())
    bench = worker.Bench(engine)
    bench.do(messages.Open(1, Hint(8000)))
    engine.raises = ValueError("said")
    assert bench.do(messages.Drop(1)) is None
    assert bench.do(messages.Drop(7)) is None


def test_memory_that_is_used_up_ends_the_worker() -> None:
    engine = Odd(EngineOptions())
    engine.raises = MemoryError()
    bench = worker.Bench(engine)
    bench.do(messages.Open(1, Hint(8000)))
    with pytest.raises(MemoryError):
        bench.do(messages.Feed(1, b""))


def test_recognitions_are_bounded() -> None:
    bench = worker.Bench(Odd(EngineOptions()))
    for job in range(worker.MOST_OPEN):
        bench.do(messages.Open(job, Hint(8000)))
    with pytest.raises(ProtocolError):
        bench.do(messages.Open(worker.MOST_OPEN, Hint(8000)))


@pytest.mark.parametrize("final", [Final(np.float64(1)), Final("x" * messages.LONGEST), Final("\ud800")])
def test_an_answer_that_cannot_be_sent_counts_as_an_exception(final: Final) -> None:
    reply = messages.answer(worker.packed(messages.Done(1, final, 0, 0))[4:])
    assert isinstance(reply, messages.Failed)
    assert (reply.job, reply.text) == (1, "")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_whatever_comes_in_it_ends_by_itself_or_by_a_protocol_error(junk: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(messages.pack(messages.Start("test_speech_none:Nothing", "", 1, 0)) + b"".join(junk))
        ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ProtocolError):
            worker.serve(theirs)
