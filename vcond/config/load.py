"""From files and environment to typed configuration.

Order, later wins: defaults, ``vcond.toml``, ``vcond.d/*.toml`` by name, environment (``VCOND_WEB__LISTEN`` is
``web.listen``). Tables are merged key by key, arrays of tables are joined. A string that is ``${credential:NAME}``,
``${file:/path}`` or ``${env:NAME}``, as a whole or in a part, is replaced by what it refers to.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from vcond.base.errors import ConfigError
from vcond.config.renamed import refuse_renamed
from vcond.config.schema import Config, DaemonConfig, KeysConfig
from vcond.config.words import said

T = TypeVar("T")
MAX_FILE = 1 << 20
MAX_SECRET = 1 << 16
FOR_EVER = 36_500.0
"""Days: longer than any disk."""
CREDSTORE = "/etc/credstore"
"""Where systemd takes credentials from (systemd.exec(5)). Commands that are run by hand, as root, read them there."""
_REFERENCE = re.compile(r"\$\{(credential|file|env):([^}]+)\}")
_PATH = re.compile(r" - at `\$(.*)`$")
_URL = re.compile(r"(.*_)?url")
"""Keys whose value is an address, in whichever section."""


@dataclass(frozen=True)
class Loaded:
    """A configuration and where each key came from (``web.listen`` to file name or variable)."""

    config: Config
    origin: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    referred: Mapping[str, str] = field(default_factory=dict)
    """Keys with something in them that is kept elsewhere, and where: ``credential ari``, ``file /path``, ``env NAME``."""
    twice: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Keys that two files have: the one that does not count, and the one that does."""


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read everything. Raises ConfigError with the path of the key and what to do."""
    twice: dict[str, tuple[str, str]] = {}
    tree, origin, files = _tree(path, environ, twice)
    with naming_files(origin):
        refuse_renamed(tree, origin)
        _refuse_written_pin(tree)
    referred: dict[str, str] = {}
    tree = _resolved(tree, environ, "", referred)
    with naming_files(origin):
        _refuse_broken_urls(tree, "")
        return Loaded(in_force(convert(tree, Config, "")), origin, tuple(files), referred, twice)


def in_force(config: Config) -> Config:
    """What a hub's configuration means for other sections: vCons stay as ``[hub]`` says, and nothing is transcribed unless it is asked for."""
    if not config.hub.listen:
        return config
    replace, engine = msgspec.structs.replace, config.speech.engine
    return replace(
        config,
        delivery=replace(config.delivery, keep_days=config.hub.keep_days or FOR_EVER),
        speech=replace(config.speech, engine="none" if engine == "auto" else engine),
    )


@contextlib.contextmanager
def naming_files(origin: Mapping[str, str]) -> Iterator[None]:
    """A ConfigError inside says in which file its key is."""
    try:
        yield
    except ConfigError as why:
        key = why.path
        while key and key not in origin:
            key = key.rpartition(".")[0] if "." in key else key.partition("[")[0] if "[" in key else ""
            key = key if key in origin or not key.endswith("]") else key.rpartition("[")[0]
        below = sorted({file for at, file in origin.items() if why.path and at.startswith(f"{why.path}.")})
        where = origin.get(key, "") if key else ", ".join(below)
        if not where or where in str(why):
            raise
        raise ConfigError(f"{why.message} (in {where})", why.path) from None


def load_daemon(path: Path, environ: Mapping[str, str]) -> DaemonConfig:
    """``[vcond]`` alone, for who asks the daemon: it needs no secret of another section. Raises ConfigError."""
    tree, origin, _ = _tree(path, environ)
    with naming_files(origin):
        refuse_renamed({"vcond": tree.get("vcond", {})}, origin)
    return convert(_resolved(tree.get("vcond", {}), environ, "vcond", {}), DaemonConfig, "vcond")


def load_keys(path: Path, environ: Mapping[str, str]) -> tuple[KeysConfig, Path]:
    """``[keys]`` and the state folder, for who reads files of calls: no secret of another section. Raises ConfigError."""
    tree, origin, _ = _tree(path, environ)
    with naming_files(origin):
        _refuse_written_pin(tree)
        keys = convert(_resolved(tree.get("keys", {}), environ, "keys", {}), KeysConfig, "keys")
    return keys, Path(load_daemon(path, environ).state_dir)


def adapter_kinds(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """By the name of each ``[adapters.NAME]`` which kind it is, without its secrets. Raises ConfigError."""
    adapters = _tree(path, environ)[0].get("adapters", {})
    sections = adapters.items() if isinstance(adapters, dict) else ()
    return {name: str(own.get("type", name)) for name, own in sections if isinstance(own, dict)}


def as_written(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """All files and the environment in one, with secrets by reference, nothing looked at; empty without a file. Raises ConfigError."""
    return _tree(path, environ)[0] if path.exists() else {}


def files_of(path: Path) -> list[Path]:
    """The file and those of ``vcond.d`` beside it, in the order in which they count. Raises ConfigError."""
    more = path.with_name("vcond.d")
    try:
        return [path, *sorted(file for file in more.iterdir() if file.suffix == ".toml")]
    except (FileNotFoundError, NotADirectoryError):
        return [path]
    except OSError as why:
        raise ConfigError(f"cannot be read: {why.strerror}", str(more)) from None


def _tree(
    path: Path, environ: Mapping[str, str], twice: dict[str, tuple[str, str]] | None = None
) -> tuple[dict[str, Any], dict[str, str], list[Path]]:
    """All files and the environment as they are written, where each key is from, and the files."""
    origin: dict[str, str] = {}
    files = files_of(path)
    tree: dict[str, Any] = {}
    for file in files:
        before = dict(origin)
        _merge(tree, _parse(file), origin, str(file))
        if twice is not None:
            changed = [key for key, source in origin.items() if before.get(key, source) != source]
            twice.update({key: (before[key], str(file)) for key in changed if "," not in origin[key]})
    for name, value in sorted(environ.items()):
        if name.startswith("VCOND_") and "__" in name:
            keys = name.removeprefix("VCOND_").lower().split("__")
            _merge(tree, _nested(keys, _toml_value(value)), origin, name)
    return tree, origin, files


def convert(tree: object, kind: type[T], at: str) -> T:
    """Typed, or a ConfigError that names the key below ``at`` and, for an unknown one, the key that was meant."""
    _refuse_unknown(tree, kind, at)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as why:
        text = str(why)
        found = _PATH.search(text)
        path = found.group(1).lstrip(".") if found else ""
        where = ".".join(part for part in (at, _named(tree, kind, path)) if part)
        raise ConfigError(said(_PATH.sub("", text), kind, path), where) from None


def _named(tree: Any, kind: Any, path: str) -> str:
    """``path`` with the key that msgspec does not tell: in a table with keys of any name it says ``[...]``."""
    before, gap, after = path.partition("[...]")
    for key in before.split(".") if gap else ():
        hints = get_type_hints(kind, include_extras=True) if isinstance(kind, type) else {}
        kind, tree = hints.get(key), tree.get(key) if isinstance(tree, Mapping) else None
    if get_origin(kind) is dict and isinstance(tree, Mapping):
        for key, value in tree.items():
            try:
                msgspec.convert(value, get_args(kind)[1])
            except msgspec.ValidationError:
                return f"{before}.{key}{after}"
    return path


def plugin_configs(
    sections: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, type[Any]], at: str
) -> dict[str, Any]:
    """Each section by the type its plug-in declares. An unknown name is an error with a suggestion."""
    typed = {}
    for name, section in sections.items():
        if name not in kinds:
            raise ConfigError(f"there is no {name!r} here{_suggest(name, kinds)}", f"{at}.{name}")
        typed[name] = convert(dict(section), kinds[name], f"{at}.{name}")
    return typed


def _parse(file: Path) -> dict[str, Any]:
    with reading(file):
        return tomllib.loads(file.read_text("utf-8-sig"))  # some editors begin a file with a mark


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """A file of the configuration is read within; raises ConfigError, which names it, for what cannot be read."""
    try:
        if file.stat().st_size > MAX_FILE:
            raise ConfigError(f"larger than {MAX_FILE} bytes", str(file))
        yield
    except FileNotFoundError:
        raise ConfigError("no such file; `vcond config sample` prints an example", str(file)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text: save it as UTF-8", str(file)) from None
    except RecursionError:
        raise ConfigError("has lists nested too deep for a configuration", str(file)) from None
    except (OSError, ValueError) as why:  # TOMLDecodeError is one, and a number of thousands of digits
        raise ConfigError(str(why), str(file)) from None


def _merge(into: dict[str, Any], new: Mapping[str, Any], origin: dict[str, str], source: str, at: str = "") -> None:
    for key, value in new.items():
        where = f"{at}.{key}" if at else key
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, origin, source, where)
        elif isinstance(value, list) and isinstance(into.get(key), list) and all(isinstance(v, dict) for v in value):
            into[key] = [*into[key], *value]
            origin[where] = f"{origin[where]}, {source}"
        else:
            into[key] = value
            origin[where] = source


def _nested(keys: list[str], value: object) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[return-value]  # a table, by its last turn


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text


def _resolved(value: Any, environ: Mapping[str, str], at: str, referred: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, environ, f"{at}.{key}" if at else key, referred) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, environ, f"{at}[{i}]", referred) for i, item in enumerate(value)]
    if not isinstance(value, str) or not _REFERENCE.search(value):
        return value
    referred[at] = ", ".join(f"{kind} {name}" for kind, name in _REFERENCE.findall(value))
    return _REFERENCE.sub(lambda found: _secret(found[1], found[2], environ, at), value)


def _refuse_written_pin(tree: Mapping[str, Any]) -> None:
    """A token's PIN stands in a file of its own or is a credential: configurations are copied, shown and kept under version control."""
    at = "keys.token.pin"
    found: Any = tree
    for key in at.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, str) and found and not re.fullmatch(r"\$\{(credential|file):[^}]+\}", found):
        raise ConfigError("must be by reference: ${credential:token-pin} or ${file:/path}", at)


def _refuse_broken_urls(value: Any, at: str) -> None:
    """Whoever takes an address apart later on can: of what ``urlsplit`` raises for it an operator would learn nothing."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_broken_urls(item, f"{at}[{i}]")
    for key, item in value.items() if isinstance(value, dict) else ():
        where = f"{at}.{key}" if at else str(key)
        if not (isinstance(item, str) and _URL.fullmatch(key)):
            _refuse_broken_urls(item, where)
            continue
        try:
            _ = urlsplit(item).port
        except ValueError:
            raise ConfigError(
                "is no URL: an IPv6 address stands in [ ], a port is a number up to 65535", where
            ) from None


def _secret(kind: str, name: str, environ: Mapping[str, str], at: str) -> str:
    if kind == "env":
        if name not in environ:
            raise ConfigError(f"the environment variable {name} is not set", at)
        return environ[name]
    if kind == "credential":
        if "/" in name or name.startswith("."):
            raise ConfigError("a credential's name must not be a path", at)
        name = str(Path(environ.get("CREDENTIALS_DIRECTORY") or CREDSTORE) / name)
    file = Path(name)
    try:
        if file.stat().st_size > MAX_SECRET:
            raise ConfigError(f"{file} is larger than {MAX_SECRET} bytes", at)
        return file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as why:
        fix = ""
        if kind == "credential":
            fix = f": put it into {CREDSTORE}/{file.name}, with LoadCredential={file.name} in the unit; by hand be root"
        what = why.strerror if isinstance(why, OSError) else "it holds no text in UTF-8"
        raise ConfigError(f"cannot read {file}: {what}{fix}", at) from None


def _refuse_unknown(tree: object, kind: Any, at: str) -> None:
    if not isinstance(tree, dict) or not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return
    hints = get_type_hints(kind)
    for key, value in tree.items():
        where = f"{at}.{key}" if at else str(key)
        if key not in kind.__struct_fields__:
            raise ConfigError(f"unknown key{_suggest(str(key), kind.__struct_fields__)}", where)
        hint = hints[key]
        if get_origin(hint) is list and isinstance(value, list):
            for i, item in enumerate(value):
                _refuse_unknown(item, get_args(hint)[0], f"{where}[{i}]")
        else:
            _refuse_unknown(value, hint, where)


def _suggest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.7)
    return f", did you mean {near[0]!r}?" if near else f"; known are: {', '.join(sorted(known)) or 'none'}"
