"""The sound of a vCon before it is packed. Apart from ``model``: who reads and validates documents loads no numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Mono 16-bit samples."""
