"""The example is a package as a third party would write it; here it is importable without being installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
