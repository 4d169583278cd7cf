"""What the options of commands name: the configuration, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vcond.config import DaemonConfig, Loaded
    from vcond.storage.files import Files

MOST_EVIDENCE = 6000
"""Bytes of it in a request to the daemon."""
DEFAULT = Path("/etc/vcond/vcond.toml")
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="VCOND_CONFIG", help="The configuration file.", show_default=True)
]
OtherConfig = Annotated[Path | None, typer.Option("-c", "--config", help="The configuration.")]


def load_all(path: Path) -> Loaded:
    """Everything, secrets too. Raises ConfigError."""
    from vcond.config import load

    return load(path, os.environ)


def load_daemon(path: Path) -> DaemonConfig:
    """What is needed to ask the daemon: who may do that may not read every secret. Raises ConfigError."""
    from vcond.config import load_daemon as load

    return load(path, os.environ)


def evidence_of(items: Sequence[str]) -> str:
    """What proves a consent, for the daemon. Raises ConfigError, which names the item."""
    import json
    from urllib.parse import quote

    from vcond.base.errors import ConfigError
    from vcond.policy.consent import check_evidence

    if wrong := next((item for item in items if "=" not in item), None):
        raise ConfigError(f"--evidence must be NAME=VALUE: {wrong[:64]!r}")
    found = dict(item.split("=", 1) for item in items)
    try:
        check_evidence(found)
    except ValueError as why:
        raise ConfigError(str(why)) from None
    text = json.dumps(found, ensure_ascii=False)
    if len(quote(text)) > MOST_EVIDENCE:
        raise ConfigError(f"evidence: {len(text)} letters are too many for one command")
    return text


def kept_files(path: Path) -> Files:
    """What reads the files of calls: also encrypted ones, where the configuration has the master key. Raises OperatorError."""
    from vcond.storage.files import Files

    if not os.path.isfile(path):  # noqa: PTH113 - is_file() fails where one may not look
        return Files()
    from vcond.app import encryption
    from vcond.config import load_keys

    keys, state_dir = load_keys(path, os.environ)
    return encryption.disk(keys, encryption.key_store(keys, state_dir, writes=False), state_dir)
