"""Where a demo keeps what, and what stays of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vcond.demo.errors import DemoError

SUFFIX = ".vcon.json"


@dataclass(frozen=True)
class DemoPaths:
    """Folders and files of one run."""

    folder: Path
    """Configuration, log and vCons."""
    state: Path
    """The daemon's state."""
    sockets: Path
    """Sockets, whose paths must be short."""

    @property
    def config(self) -> Path:
        """``vcond.toml``."""
        return self.folder / "vcond.toml"

    @property
    def log(self) -> Path:
        """What the daemon logs."""
        return self.folder / "vcond.log"

    @property
    def vcons(self) -> Path:
        """Where the folder sink delivers."""
        return self.folder / "vcons"

    @property
    def admin_socket(self) -> Path:
        """The daemon's admin socket."""
        return self.sockets / "admin.sock"

    @property
    def notify_socket(self) -> Path:
        """Where the daemon says that it is ready."""
        return self.sockets / "notify.sock"

    def delivered(self) -> set[Path]:
        """The vCons that are there."""
        return {path for path in self.vcons.glob(f"*{SUFFIX}") if not path.name.startswith(".")}


@contextmanager
def demo_paths(out: Path | None) -> Iterator[DemoPaths]:
    """A folder for a demo: ``out``, or a new one among temporary files.

    When all went well configuration, log and vCons stay; after a failure the daemon's state stays too; after an
    interruption nothing that was made among temporary files does. Raises DemoError when a folder cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="vcond-demo-")) if out is None else out.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = Path(tempfile.mkdtemp(prefix="state-", dir=folder))
        sockets = Path(tempfile.mkdtemp(prefix="vcond-"))
    except OSError as why:
        raise DemoError(f"cannot make a folder for the demo: {why.filename}: {why.strerror}") from why
    try:
        yield DemoPaths(folder, state, sockets)
    except Exception:
        raise
    except BaseException:
        shutil.rmtree(state if out is not None else folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(state, ignore_errors=True)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
