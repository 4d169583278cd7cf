from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (
    HERE,
    HERE.parent / "storage",
    HERE.parents[1] / "peers" / "conserver",
    HERE.parents[1] / "peers" / "receiver",
    HERE.parents[1] / "peers" / "nats",
):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
