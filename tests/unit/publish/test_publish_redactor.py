"""A sink that wants redacted vCons never gets another, whichever way the outbox comes to send it one."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from delivery_kit import MemorySink, Running, state, until, uuid_of
from redaction_kit import Knows, hidden_in, recording, voice, words, wtf

from vcond.delivery import Again, FormedSink, OutboxConfig
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.publish import redactor as module
from vcond.publish.redactor import Redactor
from vcond.redaction.contract import Conversation
from vcond.redaction.places import Place
from vcond.redaction.redact import own_uuid
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.storage.encrypted_files import EncryptedFiles
from vcond.storage.files import Files
from vcond.testing.time import LoopClock, run_virtual
from vcond.vcon import read, serialize, validate

SECRET = "4532 0151 1283 0366"
AT = "2026-01-05T12:00:00Z"
KEPT = OutboxConfig(keep_days=1, backoff_min=0.01, backoff_max=0.02)


def body(n: int, **more: Any) -> bytes:
    """A vCon with a secret in its message, its subject and its tags."""
    text = {
        "type": "text",
        "start": AT,
        "parties": [0],
        "mediatype": "text/plain",
        "encoding": "none",
        "body": f"it is {SECRET} ok",
    }
    return serialize(
        {"vcon": "0.4.0", "uuid": uuid_of(n), "created_at": AT, "subject": f"card {SECRET}", "parties": [{"tel": "+15551230001"}],
         "dialog": [text], "attachments": [{"purpose": "tags", "start": AT, "party": 0, "dialog": 0, "mediatype": "application/json",
                                            "encoding": "json", "body": [f"n:{SECRET}"]}], **more}
    )  # fmt: skip


def outgoing(n: int, **more: Any) -> OutgoingVcon:
    made = body(n, **more)
    return OutgoingVcon(uuid_of(n), made, hashlib.sha512(made).hexdigest())


@dataclass
class Receiver(MemorySink):
    """Can be asked."""

    address: str = ""
    max_bytes: int = 0
    confirm_after: float = 0.0

    async def has(self, uuid: str) -> bool:
        return uuid in self.got

    async def look(self) -> list[Any]:
        return []


class Broken(Knows):
    def find(self, conversation: Conversation):
        raise ValueError(SECRET)


def redactor(tmp_path: Path, finder: Any = None, **more: Any) -> Redactor:
    return Redactor([finder or Knows({"card": SECRET})], folder=tmp_path / "forms", **more)


def wants(inner: Receiver, made: Redactor, tmp_path: Path, content: Any = "redacted", **more: Any) -> FormedSink:
    return FormedSink(inner, folder=tmp_path / "forms", content=content, redactor=made, **more)


def leaked(*sinks: Receiver) -> set[str]:
    return {
        found
        for sink in sinks
        for one in sink.got.values()
        for each in one
        for found in hidden_in(each, [SECRET, "4532", "1283"])
    }


def test_each_sink_gets_its_own_content_and_the_redacted_one_is_made_once(tmp_path):
    async def main():
        full, one, two = Receiver("full"), Receiver("one"), Receiver("two")
        finder = Knows({"card": SECRET})
        made = redactor(tmp_path, finder)
        sinks = [wants(full, made, tmp_path, "full"), wants(one, made, tmp_path), wants(two, made, tmp_path)]
        async with Running(tmp_path, *sinks, clock=LoopClock()) as it:
            await it.outbox.publish(uuid_of(1), body(1))
            await it.wait_for(delivered=1)
        assert full.got == {uuid_of(1): [body(1)]}
        assert list(one.got) == list(two.got) == [own_uuid(uuid_of(1))]
        assert one.got == two.got
        assert sum(not each.turns for each in finder.shown) == 1, "the conversation is shown once"
        assert leaked(full) == {SECRET, "4532", "1283"}, "the search finds it"
        assert leaked(one, two) == set()
        (sent,) = one.got[own_uuid(uuid_of(1))]
        assert read(sent)["redacted"]["uuid"] == uuid_of(1)
        assert [each for each in validate(read(sent)) if each.level == "error"] == []

    run_virtual(main())


def test_nothing_is_made_when_no_sink_wants_it(tmp_path):
    async def main():
        full = Receiver("full")
        async with Running(tmp_path, wants(full, redactor(tmp_path), tmp_path, "full"), clock=LoopClock()) as it:
            await it.outbox.publish(uuid_of(1), body(1))
            await it.wait_for(delivered=1)
        assert not (tmp_path / "forms").exists()

    run_virtual(main())


def test_resent_retried_and_amended_vcons_are_redacted_too(tmp_path):
    async def main():
        sink, trouble = Receiver("one"), [Retry("unreachable", whole_sink=True), Refused("refused:422")]

        async def answer(record):
            if trouble:
                raise trouble.pop(0)
            return await MemorySink("x").answer(record)

        sink.answer = answer
        async with Running(tmp_path, wants(sink, redactor(tmp_path), tmp_path), clock=LoopClock(), config=KEPT) as it:
            await it.outbox.publish(uuid_of(1), body(1))
            await until(lambda: is_in(it, 1, "dead"))
            assert await it.outbox.retry() == 1
            await until(lambda: is_in(it, 1, "delivered"))
            await it.outbox.publish(uuid_of(2), body(2, amended={"uuid": uuid_of(1)}))
            await until(lambda: is_in(it, 2, "delivered"))
            assert await it.outbox.resend(Again(uuid_of(1))) == 1
            await until(lambda: twice(sink))
        assert set(sink.tried) == {own_uuid(uuid_of(1)), own_uuid(uuid_of(2))}
        assert leaked(sink) == set()
        first, second = sink.got[own_uuid(uuid_of(1))]
        assert first == second
        (amended,) = sink.got[own_uuid(uuid_of(2))]
        assert "amended" not in read(amended)
        report = read(amended)["attachments"][-1]["body"]
        assert report["amends"] == own_uuid(uuid_of(1))

    async def is_in(it, n, wanted):
        return (await state(it.outbox, n, "one")).state == wanted

    async def twice(sink):
        return len(sink.got[own_uuid(uuid_of(1))]) == 2

    run_virtual(main())


def test_a_receiver_is_asked_for_the_redacted_one_and_what_it_lost_is_sent_again_redacted(tmp_path):
    async def main():
        sink = Receiver("one", confirm_after=600)
        async with Running(tmp_path, wants(sink, redactor(tmp_path), tmp_path), clock=LoopClock(), config=KEPT) as it:
            await it.outbox.publish(uuid_of(1), body(1))
            await it.wait_for(delivered=1)
            await asyncio.sleep(900)
            assert (await state(it.outbox, 1, "one")).confirmed == "confirmed"
            await it.outbox.publish(uuid_of(2), body(2))
            await it.wait_for(delivered=2)
            del sink.got[own_uuid(uuid_of(2))]
            await asyncio.sleep(900)
            assert own_uuid(uuid_of(2)) in sink.got
        assert leaked(sink) == set()

    run_virtual(main())


async def test_erased_is_what_a_receiver_may_have_by_either_name(tmp_path):
    sink = Receiver("one")
    made = redactor(tmp_path)
    one = wants(sink, made, tmp_path)
    sink.got[uuid_of(1)] = [b"from before the sink wanted it redacted"]
    await one.deliver(outgoing(1))
    assert len(sink.got) == 2
    assert [path.name for path in (tmp_path / "forms").iterdir()] == [f"{uuid_of(1)}+redacted"]
    await one.erase(uuid_of(1))
    assert sink.got == {}
    assert list((tmp_path / "forms").iterdir()) == []


async def test_a_redacted_one_that_cannot_be_erased_keeps_no_other(tmp_path):
    sink = Receiver("one")
    sink.got[uuid_of(1)] = [b"{}"]
    erase = sink.erase

    async def locked(uuid: str) -> Any:
        if uuid == own_uuid(uuid_of(1)):
            raise Refused("locked")
        return await erase(uuid)

    sink.erase = locked
    with pytest.raises(Refused, match="locked"):
        await wants(sink, redactor(tmp_path), tmp_path).erase(uuid_of(1))
    assert sink.got == {}


@pytest.mark.parametrize("step", ["made", "kept", "sealed", "sent"])
async def test_wherever_it_was_interrupted_the_next_start_sends_the_same_redacted_bytes(tmp_path, step):
    """``step``: what was the last to be done."""
    sink = Receiver("one")
    seals: list[bytes] = []

    def seal(plain: bytes) -> bytes:
        seals.append(plain)
        if step == "kept":
            raise Killed
        return b"sealed %d " % len(seals) + plain

    class Dying(Files):
        def rename(self, old: str, new: str) -> None:
            if step == "made" and new.endswith("+redacted"):
                raise Killed
            super().rename(old, new)

    async def answer(record):
        if step == "sealed":
            raise Killed
        return await MemorySink("x").answer(record)

    sink.answer = answer
    with pytest.raises(Killed) if step != "sent" else nothing():
        await wants(sink, redactor(tmp_path, files=Dying()), tmp_path, seal=seal).deliver(outgoing(1))
    step = ""
    before = len(seals)
    for _ in range(2):
        await wants(sink, redactor(tmp_path), tmp_path, seal=seal).deliver(outgoing(1))
    assert len(set(sink.got[own_uuid(uuid_of(1))])) == 1, "a receiver must not see two records of one uuid"
    assert len(seals) - before <= 1
    assert leaked(sink) == set()
    assert all(hidden_in(each, [SECRET]) == set() for each in seals)


class Killed(BaseException):
    """Nobody handles it."""


class nothing:  # noqa: N801 - a context
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


async def test_a_sink_that_changed_what_it_wants_is_not_sent_what_was_made_before(tmp_path):
    sink = Receiver("one")
    made = redactor(tmp_path)
    took, sink.answer = sink.answer, refusing
    for content in ("full", "redacted"):
        with pytest.raises(Retry):
            await wants(sink, made, tmp_path, content, seal=lambda plain: b"sealed " + plain).deliver(outgoing(1))
    sink.answer = took
    await wants(sink, made, tmp_path, "redacted", seal=lambda plain: b"sealed again " + plain).deliver(outgoing(1))
    assert leaked(sink) == set()


async def refusing(_: OutgoingVcon) -> Any:
    raise Retry("unreachable")


@pytest.mark.parametrize("why", ["finder", "no redactor", "same", "sealed"])
async def test_what_cannot_be_redacted_is_a_dead_letter_and_nothing_leaves(tmp_path, why):
    sink = Receiver("one")
    record = outgoing(1)
    made: Any = redactor(tmp_path, Broken({"card": ""}) if why == "finder" else None)
    if why == "no redactor":
        made = None
    elif why == "same":
        made = Same()
    elif why == "sealed":
        record = OutgoingVcon(uuid_of(1), b'{"payload":"x","signatures":[]}', "x")
    with pytest.raises(Refused) as told:
        await wants(sink, made, tmp_path).deliver(record)
    assert told.value.reason == "cannot-redact"
    assert not told.value.asked
    assert told.value.hint
    assert SECRET not in str(told.value.__dict__)
    assert sink.tried == []


class Same:
    def uuid(self, original: str) -> str:
        return original

    async def redacted(self, record: OutgoingVcon) -> OutgoingVcon:
        return record

    def forget(self, uuid: str) -> None: ...

    def close(self) -> None: ...


async def test_a_disk_that_does_not_take_it_is_waited_for(tmp_path):
    (tmp_path / "forms").write_text("a file where the folder should be")
    with pytest.raises(Retry):
        await wants(Receiver("one"), redactor(tmp_path), tmp_path).deliver(outgoing(1))


async def test_what_is_kept_is_encrypted_where_everything_is(tmp_path, monkeypatch):
    assert issubclass(EncryptedFiles, Files), "it goes through the same door as the outbox"
    written: list[str] = []

    class Door(Files):
        def rename(self, old: str, new: str) -> None:
            written.append(Path(new).name)
            super().rename(old, new)

    await wants(Receiver("one"), redactor(tmp_path, files=Door()), tmp_path).deliver(outgoing(1))
    assert written == [f"{uuid_of(1)}+redacted"]


def test_what_takes_long_holds_up_no_sink_and_is_made_once(tmp_path):
    async def main():
        go = asyncio.Event()

        class Slow(Looks):
            async def __call__(self, made: Any) -> list[Place] | None:
                await go.wait()
                return await super().__call__(made)

        look, sink = Slow([]), Receiver("one")
        one = wants(sink, redactor(tmp_path, look=look), tmp_path)
        for _ in range(2):
            with pytest.raises(Retry) as why:
                await one.deliver(outgoing(1))
            assert (why.value.reason, why.value.whole_sink) == ("redacting", False)
        go.set()
        await one.deliver(outgoing(1))
        assert (look.saw, len(sink.tried)) == (1, 1)
        await one.deliver(outgoing(1))
        assert look.saw == 1
        await one.close()

    run_virtual(main())


async def test_what_waits_is_made_anew_when_the_finders_changed(tmp_path):
    sink, seals = Receiver("one"), []

    def seal(plain: bytes) -> bytes:
        seals.append(plain)
        return b"sealed " + plain

    took, sink.answer = sink.answer, refusing
    blind = redactor(tmp_path, Knows({"card": "not there"}), made_by=".a")
    with pytest.raises(Retry):
        await wants(sink, blind, tmp_path, seal=seal).deliver(outgoing(1))
    sink.answer = took
    one = wants(sink, redactor(tmp_path, made_by=".b"), tmp_path, seal=seal)
    await one.deliver(outgoing(1))
    assert hidden_in(seals[0], [SECRET]) == {SECRET}
    assert leaked(sink) == set()
    one.forget(uuid_of(1))
    assert list((tmp_path / "forms").iterdir()) == [], "nor of what was made before"


async def test_a_receiver_that_never_replaces_gets_the_newer_redaction_in_place_of_the_older(tmp_path):
    place = tmp_path / "there"
    sink: Any = FolderSink(FolderConfig(path=str(place)))
    for finder in (Knows({"card": "not there"}), None):
        one = wants(sink, redactor(tmp_path, finder, made_by=f".{finder is None}"), tmp_path)
        await one.deliver(outgoing(1))
        one.forget(uuid_of(1))
    (file,) = [each for each in place.rglob("*") if each.is_file()]
    assert hidden_in(file.read_bytes(), [SECRET]) == set()
    full = wants(sink, redactor(tmp_path), tmp_path, "full")
    await full.deliver(outgoing(2))
    with pytest.raises(Refused, match="other-bytes-there"):
        await full.deliver(outgoing(2, subject="another"))
    await full.close()


def test_what_is_forgotten_while_it_is_made_leaves_nothing(tmp_path):
    async def main():
        go, sink = asyncio.Event(), Receiver("one")

        class Slow(Looks):
            async def __call__(self, made: Any) -> list[Place] | None:
                await go.wait()
                return []

        made = redactor(tmp_path, look=Slow())
        one = wants(sink, made, tmp_path)
        with pytest.raises(Retry):
            await one.deliver(outgoing(1))
        (making,) = made._making.values()
        await one.erase(uuid_of(1))
        go.set()
        await asyncio.wait({making})
        assert list(tmp_path.glob("forms/*")) == []
        with pytest.raises(Retry):
            making.result()
        await one.deliver(outgoing(1))
        assert made._making == {}
        await one.close()

    run_virtual(main())


async def test_a_kept_one_that_cannot_be_read_is_waited_for(tmp_path):
    class Unreadable(Files):
        def open(self, *_: Any, **__: Any) -> int:
            raise OSError(5, "no key")

    await wants(Receiver("one"), redactor(tmp_path), tmp_path).deliver(outgoing(1))
    with pytest.raises(Retry) as why:
        await wants(Receiver("one"), redactor(tmp_path, files=Unreadable()), tmp_path).deliver(outgoing(1))
    assert (why.value.reason, why.value.answer) == ("disk", "no key")


async def test_the_end_waits_for_one_piece_of_a_recording_and_not_for_all(tmp_path):
    made = redactor(tmp_path)
    said = wtf((0, words(0.2, "all is well")))
    whole = outgoing(1, dialog=[recording([voice(3, 1)])], analysis=[said])
    made.close()
    with pytest.raises(Retry) as why:
        made._redact(whole, ())
    assert why.value.reason == "redacting"


PLACE = Place("card", 0, 0, -1, 1.0, 2.0)


class Looks:
    """A second look that says what it is told."""

    def __init__(self, *answers: list[Place] | None) -> None:
        self.answers, self.saw = list(answers), 0

    async def __call__(self, made: Any) -> list[Place] | None:
        self.saw += 1
        return self.answers.pop(0)


async def test_the_second_look_takes_more_out_until_nothing_is_found(tmp_path):
    look = Looks([PLACE], [])
    sink = Receiver("one")
    await wants(sink, redactor(tmp_path, look=look), tmp_path).deliver(outgoing(1))
    report = read(sink.got[own_uuid(uuid_of(1))][0])["attachments"][-1]["body"]
    assert (report["second_look"], look.saw) == ("clean", 2)
    assert [row["start"] for row in report["redactions"]].count(1.0) == 1


async def test_what_stays_suspicious_is_held_back(tmp_path):
    sink = Receiver("one")
    with pytest.raises(Refused) as why:
        await wants(sink, redactor(tmp_path, look=Looks(*[[PLACE]] * module.ROUNDS)), tmp_path).deliver(outgoing(1))
    assert why.value.reason == "second-look"
    assert "vcond outbox discard" in why.value.hint
    assert sink.tried == []
    assert list(tmp_path.glob("forms/*")) == []


async def test_without_a_worker_that_has_time_it_says_so_or_waits(tmp_path):
    sink = Receiver("one")
    with pytest.raises(Retry) as why:
        await wants(sink, redactor(tmp_path, look=Looks(None), must_look=True), tmp_path).deliver(outgoing(1))
    assert (why.value.reason, sink.tried) == ("second-look", [])
    await wants(sink, redactor(tmp_path, look=Looks(None)), tmp_path).deliver(outgoing(1))
    assert read(sink.got[own_uuid(uuid_of(1))][0])["attachments"][-1]["body"]["second_look"] == "not done"


async def test_a_sink_that_wanted_redacted_vcons_once_is_told_to_forget_those_too(tmp_path: Path):
    class Erases(Receiver):
        erased: list[str]

        async def erase(self, uuid: str):
            self.erased.append(uuid)
            if uuid != uuid_of(1):
                raise Refused("unknown")

    inner = Erases("plain")
    inner.erased = []
    await FormedSink(inner, folder=tmp_path / "forms", redacted_uuid=own_uuid).erase(uuid_of(1))
    assert inner.erased == [own_uuid(uuid_of(1)), uuid_of(1)]
