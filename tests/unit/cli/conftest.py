from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
ADAPTERS = TESTS.parent / "adapters"
for folder in (
    TESTS / "unit" / "cli", TESTS / "unit" / "vcon", TESTS / "peers" / "conserver", ADAPTERS / "asterisk" / "tests", ADAPTERS / "freeswitch" / "tests",
):  # fmt: skip
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
