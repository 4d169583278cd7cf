"""Makes the kit, and the scripted systems of the adapters, importable: test folders are no packages."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ADAPTERS = HERE.parents[1] / "adapters"
KITS = HERE.parent / "unit" / "redaction"
for folder in (
    HERE,
    KITS,
    ADAPTERS / "asterisk" / "tests",
    ADAPTERS / "freeswitch" / "tests",
    ADAPTERS / "siprec" / "tests",
):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
