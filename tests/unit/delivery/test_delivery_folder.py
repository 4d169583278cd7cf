"""The sink ``folder``."""

from __future__ import annotations

import hashlib
import os
import stat
from uuid import UUID

import pytest
from crash_kit import Crash, Steps
from delivery_kit import body_of, uuid_of

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry


def sealed(n, body=None, uuid=None):
    body = body_of(n) if body is None else body
    return OutgoingVcon(uuid or uuid_of(n), body, hashlib.sha512(body).hexdigest())


@pytest.fixture
def make(tmp_path):
    def sink(**options):
        return FolderSink(FolderConfig(**({"path": str(tmp_path / "out")} | options)))

    return sink


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


async def test_one_private_file_per_vcon(make, tmp_path):
    receipt = await make().deliver(sealed(1))
    path = tmp_path / "out" / f"{uuid_of(1)}.vcon.json"
    assert path.read_bytes() == body_of(1)
    assert (receipt.status, receipt.target) == (0, str(path))
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


async def test_by_the_day_the_call_began(make, tmp_path):
    sink = make(layout="date")
    await sink.deliver(sealed(1))
    assert (tmp_path / "out/2026/01/05" / f"{uuid_of(1)}.vcon.json").exists()
    other = str(UUID(int=1, version=4))
    await sink.deliver(sealed(1, uuid=other))
    far = "ffffffff-ffff-8000-8000-000000000000"
    await sink.deliver(sealed(1, uuid=far))
    assert {path.stem for path in (tmp_path / "out/undated").iterdir()} == {f"{other}.vcon", f"{far}.vcon"}


async def test_modes(make, tmp_path):
    before = os.umask(0o077)
    try:
        await make(mode="0640", layout="date").deliver(sealed(1))
    finally:
        os.umask(before)
    [path] = (tmp_path / "out").rglob("*.json")
    assert mode(path) == 0o640
    made = [path.parent, *path.parent.parents]
    assert [mode(each) for each in made[: made.index(tmp_path)]] == [0o750] * 4  # whatever the umask: a group can enter


async def test_again_is_fine_and_other_bytes_are_refused(make, tmp_path):
    sink = make()
    await sink.deliver(sealed(1))
    inode = next((tmp_path / "out").iterdir()).stat().st_ino
    await sink.deliver(sealed(1))
    with pytest.raises(Refused, match="other-bytes-there"):
        await sink.deliver(sealed(1, body_of(1, size=5)))
    [path] = (tmp_path / "out").iterdir()
    assert (path.stat().st_ino, path.read_bytes()) == (inode, body_of(1))


async def test_killed_at_any_step_it_is_there_completely_or_not_at_all(make, tmp_path):
    path = tmp_path / "out" / f"{uuid_of(1)}.vcon.json"
    for at in range(1, 100):
        sink = make()
        with Steps(at) as steps:
            try:
                sink._store(sealed(1))
            except Crash:
                assert not path.exists() or path.read_bytes() == body_of(1)
        if steps.count < at:
            break
        await sink.deliver(sealed(1))
        assert path.read_bytes() == body_of(1)
        path.unlink()
    assert at > 8


@pytest.mark.parametrize("errno", ["ENOSPC", "EROFS", "EIO", "EDQUOT", "EACCES"])
async def test_a_disk_in_trouble_is_tried_again(make, tmp_path, monkeypatch, errno):
    import errno as codes

    code = getattr(codes, errno)

    def fail(*_a, **_k):
        raise OSError(code, os.strerror(code))

    sink = make()
    await sink.deliver(sealed(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Retry) as caught:
            await sink.deliver(sealed(1))
        with pytest.raises(Retry):
            await sink.erase(uuid_of(2))
    assert (caught.value.reason, caught.value.whole_sink) == ("disk", True)
    assert caught.value.answer == os.strerror(code)
    await sink.deliver(sealed(1))


async def test_a_file_where_the_folder_should_be(make, tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(Retry, match="disk"):
        await make().deliver(sealed(1))


async def test_erase_also_what_was_never_there(make, tmp_path):
    sink = make(layout="date")
    await sink.erase(uuid_of(1))
    await sink.deliver(sealed(1))
    await sink.erase(uuid_of(1))
    assert list((tmp_path / "out").rglob("*.json")) == []
    with pytest.raises(Refused, match="not-a-uuid"):
        await sink.erase("../../etc/passwd")


async def test_check(make, tmp_path, monkeypatch):
    assert str(tmp_path / "out") in (await make().look())[0].text
    monkeypatch.setattr(os, "access", lambda *_a, **_b: False)
    with pytest.raises(Retry):
        await make().look()


async def test_close_twice(make):
    sink = make()
    await sink.close()
    await sink.close()


def test_a_relative_path_would_depend_on_where_the_daemon_was_started(make):
    with pytest.raises(ConfigError) as caught:
        make(path="vcons", name="disk")
    assert caught.value.path == "sinks.disk.path"
