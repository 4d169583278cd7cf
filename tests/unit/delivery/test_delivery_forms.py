import json
from pathlib import Path

import pytest

from vcond.base.errors import ConfigError
from vcond.delivery import FormedSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry

UUID = "01a2029a-3286-852d-a079-acef32f9616b"
BODY = json.dumps(
    {
        "vcon": "0.4.0", "uuid": UUID, "created_at": "2026-11-22T09:00:00Z",
        "parties": [{"tel": "201", "name": "Marcus", "validation": "none"}],
        "dialog": [{"type": "incomplete", "start": "2026-11-22T09:00:00Z", "parties": 0, "disposition": "busy"}],
    }
).encode()  # fmt: skip


class Receiver(FolderSink):
    """A folder that keeps what it was handed."""

    def __init__(self, path: Path, profile: str = "core") -> None:
        super().__init__(FolderConfig(path=str(path)))
        self.profile = profile
        self.got: list[OutgoingVcon] = []
        self.trouble: Exception | None = None

    async def deliver(self, record: OutgoingVcon):
        self.got.append(record)
        if self.trouble is not None:
            raise self.trouble
        return await super().deliver(record)


async def test_plain_is_the_very_bytes(tmp_path: Path):
    receiver = Receiver(tmp_path / "out")
    await FormedSink(receiver, folder=tmp_path / "forms").deliver(OutgoingVcon(UUID, BODY, "x"))
    assert receiver.got[0].body == BODY
    assert not (tmp_path / "forms").exists()


async def test_a_conserver_gets_what_it_can_take(tmp_path: Path):
    receiver = Receiver(tmp_path / "out", "conserver")
    sink = FormedSink(receiver, folder=tmp_path / "forms", domain="pbx.example.com")
    await sink.deliver(OutgoingVcon(UUID, BODY, "x"))
    sent = json.loads(receiver.got[0].body)
    assert sent["parties"][0]["sip"] == "201@pbx.example.com"
    assert "tel" not in sent["parties"][0]
    assert sent["dialog"][0]["parties"] == [0]
    assert sent["uuid"] == UUID


async def test_what_the_conserver_would_refuse_is_a_dead_letter_before_it_is_sent(tmp_path: Path):
    receiver = Receiver(tmp_path / "out", "conserver")
    body = json.dumps({"vcon": "0.4.0", "uuid": "no uuid", "created_at": "2026-11-22T09:00:00Z"}).encode()
    with pytest.raises(Refused) as why:
        await FormedSink(receiver, folder=tmp_path / "forms").deliver(OutgoingVcon(UUID, body, "x"))
    assert why.value.reason == "preflight"
    assert "$.uuid" in why.value.answer
    assert receiver.got == []


async def test_a_sealed_form_is_made_once_and_sent_again_as_it_was(tmp_path: Path):
    """Encryption differs each time; a receiver must not see two records of one uuid."""
    receiver, made = Receiver(tmp_path / "out"), []

    def seal(body: bytes) -> bytes:
        made.append(body)
        return b"sealed %d" % len(made)

    sink = FormedSink(receiver, seal=seal, folder=tmp_path / "forms")
    receiver.trouble = Retry("unreachable")
    with pytest.raises(Retry):
        await sink.deliver(OutgoingVcon(UUID, BODY, "x"))
    receiver.trouble = None
    again = FormedSink(receiver, seal=seal, folder=tmp_path / "forms")  # after a restart
    await again.deliver(OutgoingVcon(UUID, BODY, "x"))
    assert [each.body for each in receiver.got] == [b"sealed 1", b"sealed 1"]
    assert made == [BODY]
    (kept,) = (tmp_path / "forms").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    again.forget(UUID)
    again.forget(UUID)
    assert not kept.exists()


async def test_a_key_that_cannot_seal_any_more_is_a_dead_letter_that_says_why(tmp_path: Path):
    def seal(body: bytes) -> bytes:
        raise ConfigError("a certificate expired on 2026-11-21")

    with pytest.raises(Refused) as why:
        await FormedSink(Receiver(tmp_path / "out"), seal=seal, folder=tmp_path / "forms").deliver(
            OutgoingVcon(UUID, BODY, "x")
        )
    assert why.value.answer == "a certificate expired on 2026-11-21"
    assert "vcond outbox retry" in why.value.hint


async def test_a_disk_that_takes_no_form_is_waited_for(tmp_path: Path):
    (tmp_path / "forms").write_text("a file where the folder should be")
    with pytest.raises(Retry):
        await FormedSink(Receiver(tmp_path / "out"), seal=lambda _: b"x", folder=tmp_path / "forms").deliver(
            OutgoingVcon(UUID, BODY, "x")
        )
