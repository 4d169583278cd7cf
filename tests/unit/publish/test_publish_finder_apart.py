"""Finders of other packages look in a process of their own: what hangs there is ended, and nothing passes for it."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from delivery_kit import uuid_of

from vcond.publish import apart as apart_module
from vcond.publish.finder_apart import ApartFinder, finders_apart
from vcond.publish.redactor import Redactor
from vcond.redaction.config import RedactionConfig
from vcond.redaction.contract import FinderOptions, Secret
from vcond.redaction.finders.cards import CardFinder
from vcond.redaction.finding import BUILT_IN, FinderError, found
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.testing.finders import said
from vcond.vcon import serialize

HERE = str(Path(__file__).parent)
SPOKEN = said((0, "my badge is green nine"), (1, "\ud800 green"), keys="12*")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, HERE])


@pytest.fixture
def apart():
    import finders_of_others

    made = []

    def one(name: str, limit: float = 60.0, **settings: object) -> ApartFinder:
        options = FinderOptions(settings=settings)
        made.append(ApartFinder(f"finders_of_others:{name}", options, getattr(finders_of_others, name)(options), limit))
        return made[-1]

    yield one
    for finder in made:
        finder.close()


def outgoing(n: int, text: str) -> OutgoingVcon:
    """Of a call in which this was said."""
    at = "2026-01-05T12:00:00Z"
    dialog = {"type": "text", "start": at, "parties": [0], "mediatype": "text/plain", "encoding": "none", "body": text}
    plain = {
        "vcon": "0.4.0",
        "uuid": uuid_of(n),
        "created_at": at,
        "parties": [{"tel": "+15551230001"}],
        "dialog": [dialog],
    }
    body = serialize(plain)
    return OutgoingVcon(uuid_of(n), body, hashlib.sha512(body).hexdigest())


def test_it_says_what_the_finder_says_and_what_that_prints_is_nowhere(apart, capfd):
    first, second = SPOKEN.turns
    assert found([apart("Good", words=["green", "nine"])], SPOKEN) == [
        Secret("badge", first.words[3:], certainty=0.5),
        Secret("badge", second.words[1:], certainty=0.5),
        Secret("badge", keys=SPOKEN.keys, turns=(1,)),
    ]
    assert "".join(capfd.readouterr()) == ""


def test_one_process_looks_at_one_conversation_after_another_and_a_new_one_comes_for_one_that_ended(apart):
    finder = apart("Good", words=["green"])
    first = found([finder], SPOKEN)
    process = finder._apart.process
    assert found([finder], SPOKEN) == first
    assert finder._apart.process is process
    process.kill()
    process.wait()
    with pytest.raises(FinderError):
        found([finder], SPOKEN)
    assert found([finder], SPOKEN) == first
    finder.close()
    assert finder._apart.process is None


def test_a_signal_to_all_of_a_service_does_not_end_it_while_vcond_still_delivers(apart):
    finder = apart("Good", words=["green"])
    first = found([finder], SPOKEN)
    process = finder._apart.process
    for number in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        assert found([finder], SPOKEN) == first
    assert finder._apart.process is process


def test_the_end_does_not_wait_for_what_a_finder_started(apart, monkeypatch):
    pair, others, begun, send = socket.socketpair, [], threading.Event(), apart_module.send

    def kept():
        ours, theirs = pair()
        others.append(theirs.dup())
        return ours, theirs

    def sent(channel, body, until):
        send(channel, body, until)
        begun.set() if b"wait" in body else None

    monkeypatch.setattr(apart_module.socket, "socketpair", kept)
    monkeypatch.setattr(apart_module, "send", sent)
    finder = apart("Waits", limit=600.0)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(found, [finder], said((0, "wait")))
        assert begun.wait(60)
        finder.close()
        with pytest.raises(FinderError):
            asked.result()
    for one in others:
        one.close()


def test_it_is_not_shown_our_environment(apart, monkeypatch):
    monkeypatch.setenv("VCOND_TEST_TOKEN", "secret")
    assert found([apart("Environment")], SPOKEN) == [Secret("badge", turns=(0,))]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Gone", "its process ended without an answer"),
        ("Fails", r"failed \(ValueError\): nothing is taken for redacted"),
        ("Other", "says what is not in the conversation"),
    ],
)
def test_one_that_does_not_do_its_work_lets_nothing_pass(apart, name, says):
    with pytest.raises(FinderError, match=says) as why:
        found([apart(name)], SPOKEN)
    assert "my" not in str(why.value).split()


def test_one_that_hangs_is_ended_and_named(apart, capsys):
    finder = apart("Waits", limit=0.2)
    with pytest.raises(FinderError, match=r"finder 'badges' failed: it took longer than 0\.2 s and was ended"):
        found([finder], said((0, "wait")))
    assert finder._apart.process is None
    assert "a finder takes too long and was ended" in capsys.readouterr().out


async def test_what_it_hangs_on_is_not_delivered_and_other_calls_go_on(apart, tmp_path: Path, monkeypatch):
    send = apart_module.send

    def sent(channel, body, until):  # what never ends gets no time
        send(channel, body, until)
        if b"wait" in body:
            raise TimeoutError

    monkeypatch.setattr(apart_module, "send", sent)
    made = Redactor([apart("Waits"), CardFinder(FinderOptions())], folder=tmp_path / "forms")
    good = outgoing(2, "card 4532 0151 1283 0366 ok")
    results = await asyncio.gather(made.redacted(outgoing(1, "wait")), made.redacted(good), return_exceptions=True)
    assert isinstance(results[0], Refused)
    assert (results[0].reason, "took longer than" in results[0].answer) == ("cannot-redact", True)
    assert isinstance(results[1], OutgoingVcon)
    assert b"4532" not in results[1].body
    assert [path.name[:36] for path in (tmp_path / "forms").iterdir()] == [good.uuid]
    made.close()


async def test_the_end_of_vcond_does_not_wait_for_it_and_refuses_no_vcon(apart, tmp_path: Path, monkeypatch):
    begun, send = threading.Event(), apart_module.send

    def sent(channel, body, until):
        send(channel, body, until)
        begun.set() if b"wait" in body else None

    monkeypatch.setattr(apart_module, "send", sent)
    made = Redactor([apart("Waits", limit=600.0)], folder=tmp_path / "forms")
    job = asyncio.get_running_loop().run_in_executor(None, made._redact, outgoing(1, "wait"), ())
    await asyncio.to_thread(begun.wait)
    made.close()
    with pytest.raises(Retry, match="redacting"):
        await job
    with pytest.raises(FinderError, match="does not start"):
        found(made._finders, SPOKEN)


def test_ours_look_in_this_process_and_all_others_do_not(monkeypatch):
    monkeypatch.setitem(BUILT_IN, "badges", "finders_of_others:Waits")
    cards, badges = finders_apart(RedactionConfig(finders=("cards", "badges")))
    assert isinstance(cards, CardFinder)
    assert isinstance(badges, ApartFinder)
    assert (badges.name, badges.kinds) == ("badges", ("badge",))


async def test_one_that_fails_at_the_second_look_lets_nothing_pass(tmp_path: Path):
    async def look(_):
        raise FinderError("finder 'badges' failed")

    made = Redactor([CardFinder(FinderOptions())], folder=tmp_path / "forms", look=look)
    with pytest.raises(Refused, match="cannot-redact"):
        await made.redacted(outgoing(1, "ok"))
    assert not (tmp_path / "forms").exists()
    made.close()


def test_no_core_file_has_what_a_finder_is_shown(apart):
    assert found([apart("Dumpable")], SPOKEN) == []
