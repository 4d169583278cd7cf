"""The sink ``sftp`` against openssh's server."""

from __future__ import annotations

import stat

import pytest
from delivery_kit import body_of, record, uuid_of
from endure_kit import Endures
from sftp_rig import SftpRig

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.sftp import SftpConfig, SftpSink
from vcond.sdk.sink import Refused, Retry
from vcond.testing.sinks import SinkConformance

pytestmark = pytest.mark.peer


class TestSftpConformance(SinkConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        return SftpRig(tmp_path)


class TestSftpEndures(Endures):
    @pytest.fixture
    def rig(self, tmp_path):
        return SftpRig(tmp_path)


@pytest.fixture
async def rig(tmp_path):
    made = SftpRig(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_a_file_is_in_the_folder_of_its_day_and_readable_by_its_user_only(rig):
    sink = rig.sink()
    receipt = await sink.deliver(record())
    await sink.close()
    [file] = [path for path in rig.out.rglob("*") if path.is_file()]
    assert file == rig.out / "2026/01/05" / f"{uuid_of(1)}.json"
    assert receipt.target == f"127.0.0.1:{file}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_what_an_earlier_try_left_is_written_anew_and_erased_with_it(rig):
    sink = rig.sink()
    folder = rig.out / "2026/01/05"
    folder.mkdir(parents=True)
    left = folder / f".{uuid_of(1)}.json.part"
    left.write_bytes(b"x" * 100_000)
    await sink.deliver(record())
    assert (folder / f"{uuid_of(1)}.json").read_bytes() == body_of(1)
    assert not left.exists()
    left.write_bytes(b"x")
    await sink.erase(uuid_of(1))
    assert list(folder.iterdir()) == []
    await sink.close()


async def test_a_key_that_is_not_the_servers_holds_the_sink(rig):
    other = (rig.server.folder / "other.pub").read_text()
    sink = rig.sink(host_key=other)
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == ("host-key", True)
    assert "fingerprint" in why.value.hint
    await sink.close()


async def test_a_server_without_room_says_so_keeps_nothing_half_written_and_gets_it_when_there_is_room(rig):
    rig.server.room(100_000)
    sink = rig.sink()
    for _ in range(2):
        with pytest.raises(Retry) as why:
            await sink.deliver(record(2, 300_000))
        assert (why.value.reason, why.value.held, why.value.whole_sink) == ("not-written", False, True)
        assert ("quota" in why.value.hint, "300" in why.value.detail) == (True, True)
        assert [path for path in rig.out.rglob("*") if path.is_file()] == []
    await sink.deliver(record())
    assert (await rig.received()).keys() == {uuid_of(1)}, "what there is room for, by the same connection"
    await sink.close()
    rig.server.room()
    await sink.deliver(record(2, 300_000))
    await sink.close()
    assert (await rig.received())[uuid_of(2)] == [body_of(2, 300_000)]
    assert [path.suffix for path in rig.out.rglob("*") if path.is_file()] == [".json"] * 2


@pytest.mark.parametrize(
    "pasted",
    [
        "{kind} {key}",
        "{key}",
        "{key} root@archive",
        "archive.example.com {kind} {key}",
        "# archive.example.com:22 SSH-2.0-OpenSSH\n[archive.example.com]:22 {kind} {key}\n\n",
        "ssh-rsa {key}",
        "  {kind}\t{key}  \r\n",
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
async def test_a_host_key_is_read_as_people_paste_it(rig, pasted, as_file):
    kind, key, *_ = (rig.server.folder / "host.pub").read_text().split()
    told = pasted.format(kind=kind, key=key)
    if as_file:
        (rig.server.folder / "known").write_text(told)
        told = str(rig.server.folder / "known")
    sink = rig.sink(host_key=told)
    assert [one.level for one in await sink.look()] == ["ok"]
    await sink.close()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"key": "other"}, "refused"),
        ({"key": "", "password": "wrong"}, "refused"),
        ({"key": "host.pub"}, "key"),
        ({"key": "nowhere"}, "key"),
        ({"host_key": "ssh-ed25519 AAAA"}, "key"),
        ({"host_key": "ssh-ed25519 of the archive"}, "key"),
        ({"host_key": "@revoked archive {host}"}, "key"),
        ({"host_key": "@cert-authority archive {host}"}, "key"),
    ],
)
async def test_what_is_wrong_holds_the_sink_and_says_what_mends_it(rig, more, reason):
    if more.get("key"):
        more = {"key": str(rig.server.folder / more["key"])}
    if more.get("host_key"):
        more = {"host_key": more["host_key"].format(host=(rig.server.folder / "host.pub").read_text())}
    sink = rig.sink(**more)
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == (reason, True)
    with pytest.raises(Retry, match=reason):
        await sink.look()
    await sink.close()


async def test_other_bytes_are_never_replaced(rig):
    sink = rig.sink()
    file = rig.out / "2026/01/05" / f"{uuid_of(1)}.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    with pytest.raises(Refused, match="other-bytes-there"):
        await sink.deliver(record())
    assert file.read_bytes() == b"mine"
    await sink.close()


async def test_something_in_the_way_is_tried_again(rig):
    rig.out.write_text("no folder")
    sink = rig.sink()
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert why.value.whole_sink
    rig.out.unlink()
    await sink.deliver(record())
    await sink.close()


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({}, "key"),
        ({"key": "k", "password": "p"}, "key"),
        ({"key": "k", "path": "x"}, "path"),
        ({"key": "k", "path": "../{uuid}"}, "path"),
        ({"key": "k", "host_key": "SHA256:uNiVztksCsDhcc0u9e8BrJHp0cBQBUY42VTfsdfJbJM"}, "host_key"),
    ],
)
def test_what_cannot_work_is_said_before_it_runs(more, key):
    with pytest.raises(ConfigError) as why:
        SftpSink(SftpConfig(**{"host": "h", "user": "u", "host_key": "ssh-ed25519 AAAA"} | more))
    assert why.value.path == f"sinks.sftp.{key}"


def test_no_secret_is_in_what_a_configuration_says_of_itself():
    assert "hush" not in repr(SftpConfig(host="h", user="u", host_key="x", key="hush", password="hush"))
