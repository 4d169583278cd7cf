"""Composing the graph of a vosk model beforehand, with the tools of OpenFst (https://www.openfst.org).

What Kaldi's ``utils/mkgraph_lookahead.sh --compose-graph`` does for the publisher of a model, for a model as it is published:
``HCLr.fst`` looks ahead (OpenFst's ``olabel_lookahead``) while it is composed with ``Gr.fst``, as it does in the decoder; then
the labels that only keep words apart become nothing, and the graph is written as one that is not changed any more.

It takes minutes, gigabytes of memory and of disk, once for each model; each tool is bounded in memory, in what it writes
and in time.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vcond.base.errors import ConfigError, MissingExtraError, StorageError
from vcond.speech.models import graph_cache
from vcond.speech.models.fingerprint import Fingerprint, keep
from vcond.speech.models.graph_cache import GRAPH, LANGUAGE, MADE, MARKS, PARTS, SOUNDS, WORDS, Told
from vcond.speech.models.layout import laid_out
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles

TOOLS = ("fstsymbols", "fstcompose", "fstrelabel", "fstconvert")
HELPERS = ("choom", "setpriv", "prlimit", "nice")
"""Of util-linux and coreutils."""
PACKAGES = "apt-get install libfst-tools 'libfst*-plugins-base'"
PLUGIN = "olabel_lookahead-fst.so"
"""Debian keeps the kinds of graphs outside the folders where libraries are looked for."""
PLUGINS = (Path("/usr/lib"), Path("/usr/local/lib"))
MOST_SECONDS = 3600.0
"""For one tool."""
MOST_BYTES = 16 << 30
"""For one file."""
MEMORY_SHARE = 0.75
"""Of the memory that is free, what a tool may take."""
SPARE_DISK = 2 << 30
"""Bytes that stay free: calls are recorded on the same disk, and no new one below ``min_free_mb``."""
DISK_FACTOR = 10
"""How many times the two graphs are on the disk at once, at most: measured 8."""
MOST_MARKS = 1 << 20
"""Bytes of the labels that keep words apart."""

Say = Callable[[str], None]
Try = Callable[[Path], str]


def compose(model: Path, *, say: Say = lambda _text: None, tried: Try = lambda _model: "") -> Path:
    """Compose the graph of a model into its folder; the folder of it, in place of one that was there.

    Blocks for minutes. ``say`` is told what it does. ``tried`` says why a model cannot be loaded, or nothing: it is asked
    before what is made takes the place of anything. Raises ConfigError for a model that has nothing to compose or whose folder is
    not ours, MissingExtraError without the tools, StorageError when there is too little disk or memory, or when it cannot be loaded.
    """
    if not graph_cache.composable(model):
        raise ConfigError(f"{model} is not a vosk model with the graphs {', '.join(PARTS)}: nothing to compile")
    tools = Tools()
    with _work(model) as work:
        _room(model)
        made = work / graph_cache.FOLDER
        made.mkdir()
        try:
            graph = model / "graph"
            of = {name: keep(graph / name) for name in (*PARTS, WORDS) if (graph / name).is_file()}
            _make(tools, graph, work, made, say)
            say("testing whether it can be loaded")
            with laid_out(model, composed=made) as whole:
                why = tried(whole)
            if why:
                raise StorageError(f"the compiled graph of {model} cannot be loaded and was deleted: {why}")
            _finish(of, made, model.stat())
            _put(model, made, work / "old")
        except OSError as why:
            raise StorageError(f"cannot write to {model}: {why.strerror or type(why).__name__}") from why
    return model / graph_cache.FOLDER


def _room(model: Path) -> None:
    """Raises ConfigError and StorageError before minutes are spent."""
    goal = model / graph_cache.FOLDER
    if goal.is_symlink():
        raise ConfigError(f"{goal} is a link: remove it and link the whole model instead")
    if goal.exists() and not os.access(goal, os.W_OK):
        raise StorageError(f"{goal} belongs to another user: run as root or as its owner")
    free = shutil.disk_usage(model).free
    needed = DISK_FACTOR * sum((model / "graph" / name).stat().st_size for name in PARTS) + SPARE_DISK
    if free < needed:
        raise StorageError(
            f"{free >> 20} MB of disk are free below {model}, {needed >> 20} MB are needed while compiling"
        )


def _make(tools: Tools, graph: Path, work: Path, made: Path, say: Say) -> None:
    """Make the two files."""
    language, both, plain, nothing = work / "G.fst", work / "raw.fst", work / "plain.fst", work / "nothing"
    marks = []
    if (graph / MARKS).stat().st_size <= MOST_MARKS:
        marks = (graph / MARKS).read_text("ascii", "replace").split()
    if not marks or not all(mark.isascii() and mark.isdigit() for mark in marks):
        raise ConfigError(f"{graph / MARKS} does not have one number per line")
    nothing.write_text("".join(f"{mark} 0\n" for mark in marks), "ascii")
    say("1 of 4: its words")
    # Without its words the graph is smaller; vosk reads them from words.txt as well, if they are not in the graph.
    words = f"--save_osymbols={made / WORDS}"
    clear = ("--clear_isymbols", "--clear_osymbols")
    tools.run("fstsymbols", words, *clear, graph / LANGUAGE, out=language, may_say="there are no output symbols")
    if not (made / WORDS).exists():
        if not (graph / WORDS).is_file():
            raise ConfigError(f"neither {graph / LANGUAGE} nor {graph / WORDS} has the list of words")
        shutil.copyfile(graph / WORDS, made / WORDS)
    say("2 of 4: composing, the longest step")
    tools.run("fstcompose", graph / SOUNDS, language, out=both)
    language.unlink()
    say("3 of 4: removing disambiguation labels")
    tools.run("fstrelabel", f"--relabel_ipairs={nothing}", both, out=plain)
    both.unlink()
    say("4 of 4: writing")
    tools.run("fstconvert", "--fst_type=const", plain, out=made / GRAPH)
    plain.unlink()


def _finish(of: dict[str, Fingerprint], made: Path, owner: os.stat_result) -> None:
    """Write down what it is of, and see to it that the daemon can read it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    files = {name: keep(made / name, sync=True) for name in MADE}
    told = msgspec.convert({"of": of, "files": files, "made_at": now}, Told, from_attributes=True)
    WholeFiles(Files()).publish(made / graph_cache.TOLD, msgspec.json.format(msgspec.json.encode(told), indent=1))
    for path in (made, *made.iterdir()):
        path.chmod(0o755 if path == made else 0o644)  # whoever makes it, vcond's user reads it
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)
    Files().sync_folder(str(made))


def _put(model: Path, made: Path, old: Path) -> None:
    """Put it into its place; what was there comes back when that fails."""
    goal = model / graph_cache.FOLDER
    with suppress(FileNotFoundError):
        goal.rename(old)
    try:
        made.rename(goal)
    except OSError:
        if old.exists():
            old.rename(goal)
        raise
    Files().sync_folder(str(model))


class Tools:
    """The tools of OpenFst on this machine."""

    def __init__(self) -> None:
        """Raises MissingExtraError."""
        missing = [tool for tool in (*TOOLS, *HELPERS) if shutil.which(tool) is None]
        if missing:
            raise MissingExtraError(f"{', '.join(missing)} not found: {PACKAGES}")
        below = (f"fst/**/{PLUGIN}", f"*/fst/**/{PLUGIN}")  # the second of a multiarch folder
        found = sorted(path.parent for folder in PLUGINS for place in below for path in folder.glob(place))
        self.environment = {**os.environ, "LC_ALL": "C"}
        if found:
            folders = [*map(str, found), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(folders)

    def run(self, tool: str, *given: str | Path, out: Path, may_say: str = "") -> None:
        """Run a tool that writes one file; it ends with this process. Raises MissingExtraError and StorageError."""
        memory = min(int(_free_memory() * MEMORY_SHARE), _hard(resource.RLIMIT_DATA))
        disk = min(shutil.disk_usage(out.parent).free - SPARE_DISK, MOST_BYTES, _hard(resource.RLIMIT_FSIZE))
        command = [
            # The kernel takes it first when memory runs out, not the daemon's workers, which have 500.
            "choom", "-n", "1000", "--", "setpriv", "--pdeathsig", "KILL",
            "prlimit", f"--data={memory}", f"--fsize={max(0, disk)}", "nice", "-n", "15", tool, *given, out,
        ]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - nothing of it comes from outside but paths
                list(map(str, command)), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=MOST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StorageError(f"{tool} did not finish in {MOST_SECONDS:g} seconds and was stopped") from None
        told = done.stderr.decode("utf-8", "replace").strip()[-1000:]
        if "Unknown FST type" in told:
            raise MissingExtraError(f"{tool} does not support this kind of graph: {PACKAGES}")
        failed = "ERROR" in told or "FATAL" in told  # some of their errors end with exit code 0
        if done.returncode or (failed and not (may_say and may_say in told)) or not out.exists():
            raise StorageError(
                f"{tool} failed, exit code {done.returncode}. It may need {memory >> 20} MB of memory, {disk >> 20} MB of disk;"
                f" if that is too much, compile on a larger machine and copy {graph_cache.FOLDER}. Its output: {told or 'nothing'}"
            )


def _hard(what: int) -> int:
    """A limit that this process may not go beyond."""
    most = resource.getrlimit(what)[1]
    return 1 << 62 if most == resource.RLIM_INFINITY else most


def _free_memory() -> int:
    """Bytes that are free on the machine, and in the cgroup (version 2) of this process."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    found = [next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) << 10]
    group = Path("/proc/self/cgroup").read_text("utf-8").rpartition("0::")[2].strip()
    for folder in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup") / group.lstrip("/")):
        with suppress(OSError, ValueError):  # no limit: "max", or there is no such file
            most = int((folder / "memory.max").read_text("ascii"))
            found.append(max(0, most - int((folder / "memory.current").read_text("ascii"))))
    return min(found)


@contextmanager
def _work(model: Path) -> Iterator[Path]:
    """A folder for what is not whole yet, ours alone, gone afterwards. Raises StorageError, ConfigError."""
    work = model / graph_cache.WORK
    hint = "run as root or as vcond's user; on a read-only disk, compile a copy of the model"
    try:
        handle = os.open(model, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as why:
        raise StorageError(f"cannot open {model}: {why.strerror}; {hint}") from why
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another `vcond model compile` is running in {model}") from None
        except OSError as why:
            raise StorageError(f"cannot lock {model}: {why.strerror}; compile a copy on a local disk") from why
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        try:
            work.mkdir()
        except OSError as why:
            raise StorageError(f"cannot write to {model}: {why.strerror}; {hint}") from why
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)
