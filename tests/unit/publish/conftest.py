"""Makes the kits of the rooms below importable: test folders are no packages."""

import sys
from pathlib import Path

UNIT = Path(__file__).resolve().parents[1]
for folder in (UNIT / "redaction", UNIT / "delivery"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
