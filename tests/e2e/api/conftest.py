from __future__ import annotations

import sys
from pathlib import Path

KIT = Path(__file__).parents[2] / "unit" / "server"
if str(KIT) not in sys.path:
    sys.path.insert(0, str(KIT))
