"""The kit of the hub's tests is part of the kit of these."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, *(HERE.parent / name for name in ("server", "vcon", "delivery"))):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
