"""The configuration that a demo's daemon runs with."""

from __future__ import annotations

import json
import os
from pathlib import Path

from vcond.demo.demo_paths import DemoPaths


def toml(paths: DemoPaths, *, adapter: str, token: str) -> str:
    """The text of ``vcond.toml``. ``adapter``: the section ``[adapters.NAME]``, header included."""
    return f"""\
# Made by `vcond demo`. The ports are any free ones, the token is for this run only.
[vcond]
name = "demo.example.com"
state_dir = {_text(paths.state)}
admin_socket = {_text(paths.admin_socket)}
log_format = "text"
drain = 5

[web]
listen = "127.0.0.1:0"
token = {_text(token)}

[ops]
listen = "127.0.0.1:0"

[api]
listen = "127.0.0.1:0"

[speech]
engine = "auto"

{adapter.strip()}

[[sinks]]
type = "folder"
name = "folder"
path = {_text(paths.vcons)}
"""


def write(paths: DemoPaths, *, adapter: str, token: str) -> None:
    """Write ``vcond.toml``, for its owner only. Raises OSError."""
    with os.fdopen(os.open(paths.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(toml(paths, adapter=adapter, token=token))


def _text(value: Path | str) -> str:
    """A TOML basic string: for what a path or token may hold its escapes are those of JSON."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
