from __future__ import annotations

import sys
from pathlib import Path

VCON = Path(__file__).parents[1] / "vcon"
if str(VCON) not in sys.path:
    sys.path.insert(0, str(VCON))
