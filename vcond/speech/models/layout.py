"""What to load instead of the folder of a vosk model: a copy made of links, with another search or with its composed graph."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcond.base.errors import ConfigError
from vcond.speech.models.graph_cache import FOLDER, GRAPH, LANGUAGE, MADE, SOUNDS, WORDS, WORK

ACTIVE = re.compile(r"\s*--(max|min)-active=(\d{1,9})\b")
MIN_ACTIVE = 200
"""Kaldi's own, where a model does not say; it refuses a ``max-active`` below it."""


@contextmanager
def laid_out(model: Path, *, max_active: int = 0, composed: Path | None = None) -> Iterator[Path]:
    """A folder of the same model to load it from; gone afterwards, when all is read.

    ``max_active``: how many states its search keeps at most; 0 = as many as the model says. ``composed``: the folder of the graph
    that was composed beforehand, to be used. Raises ConfigError when the search of a model cannot be bounded, OSError when
    there is no room for a folder of links.
    """
    lines = bounded(model, max_active)
    if lines is None and composed is None:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="vcond-model-") as made:
        copy = Path(made)
        without = {FOLDER, WORK}
        if lines is not None:
            without.add("conf")
            _link(model / "conf", copy / "conf", without={"model.conf"})
            (copy / "conf" / "model.conf").write_text("\n".join([*lines, ""]), "utf-8")
        if composed is not None:
            without.add("graph")
            _link(model / "graph", copy / "graph", without={SOUNDS, LANGUAGE, GRAPH, WORDS})
            for name in MADE:
                (copy / "graph" / name).symlink_to((composed / name).absolute())
        _link(model, copy, without=without)
        yield copy


def bounded(model: Path, most: int) -> list[str] | None:
    """The lines of ``conf/model.conf`` for a search of ``most`` states; None = as they are.

    Kaldi takes it from there only (``--max-active``), and reads that once. Raises ConfigError when the model has none.
    """
    if not most:
        return None
    try:
        lines = (model / "conf" / "model.conf").read_text("utf-8", "replace").splitlines()
    except OSError as why:
        raise ConfigError(f"{model} has no conf/model.conf: remove max_active", "speech.max_active") from why
    said = {found[1]: int(found[2]) for line in lines if (found := ACTIVE.match(line))}
    if said.get("max", most + 1) <= most:
        return None
    least = min(said.get("min", MIN_ACTIVE), most)
    kept = [line for line in lines if not ACTIVE.match(line)]
    return [*kept, f"--max-active={most}", f"--min-active={least}"]


def _link(folder: Path, copy: Path, *, without: set[str]) -> None:
    copy.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in without:
            (copy / path.name).symlink_to(path.absolute())
