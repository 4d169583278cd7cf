from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
for folder in (TESTS / "unit" / "vcon", TESTS / "peers" / "conserver"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
