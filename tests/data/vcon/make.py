"""Writes the golden vCons anew: ``python tests/data/vcon/make.py``. Read the difference before you commit it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from scenarios import SCENARIOS

from vcond.call.state import fold
from vcond.vcon import build, serialize


def main() -> None:
    here = Path(__file__).parent
    for name, make in SCENARIOS.items():
        script = make()
        document = build(fold(script.events), script.audio)
        (here / f"{name}.vcon.json").write_bytes(msgspec.json.format(serialize(document), indent=1) + b"\n")


if __name__ == "__main__":
    main()
