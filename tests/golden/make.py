"""Writes the golden vCons of all adapters anew: ``python tests/golden/make.py``. Read the difference before you commit it.

With names of adapters only theirs: ``python tests/golden/make.py twilio``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT),
    *(str(ROOT / "adapters" / name) for name in ("asterisk", "freeswitch", "siprec", "twilio", "webrtc")),
]
sys.path += [str(ROOT / "adapters" / name / "tests") for name in ("asterisk", "freeswitch", "siprec")]

from golden_all import ADAPTERS  # noqa: E402 - the path comes first
from golden_kit import GOLDEN, made  # noqa: E402 - as above


def main(names: list[str]) -> None:
    for adapter in names or list(ADAPTERS):
        folder = GOLDEN / adapter
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.vcon.json"):
            if old.name.removesuffix(".vcon.json") not in ADAPTERS[adapter]:
                old.unlink()
        for name, script in ADAPTERS[adapter].items():
            begun = time.perf_counter()
            body = made(script())
            path = folder / f"{name}.vcon.json"
            changed = not path.exists() or path.read_bytes() != body
            path.write_bytes(body)
            print(f"{'changed' if changed else 'same':8}{adapter}/{name} {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
