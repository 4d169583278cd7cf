"""Draws curves into a PNG with numpy and zlib alone: a plot is not worth a package of 60 MB.

PNG: RFC 2083 (signature, IHDR, IDAT, IEND); one byte a pixel, palette of eight colours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PALETTE = ((255, 255, 255), (40, 40, 40), (205, 205, 205), (31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189),
           (255, 127, 14))  # fmt: skip
INK, GRID, FIRST = 1, 2, 3
COLOURS = len(PALETTE) - FIRST
SCALE = 2
"""Pixels of a dot of a letter."""
LETTER = (3 + 1) * SCALE
LINE = (5 + 3) * SCALE
GLYPHS = {
    # 15 dots of each letter, 3 wide and 5 high, row by row, in octal
    " ": 0o00000, "0": 0o75557, "1": 0o26227, "2": 0o71747, "3": 0o71317, "4": 0o55711, "5": 0o74717, "6": 0o74757,
    "7": 0o71222, "8": 0o75757, "9": 0o75717, ".": 0o00002, ",": 0o00024, ":": 0o02020, "-": 0o00700, "+": 0o02720,
    "%": 0o51245, "/": 0o11244, "(": 0o24442, ")": 0o21112, "=": 0o07070, "<": 0o12421, ">": 0o42124,
    "A": 0o25755, "B": 0o65656, "C": 0o34443, "D": 0o65556, "E": 0o74647, "F": 0o74644, "G": 0o34553, "H": 0o55755,
    "I": 0o72227, "J": 0o11152, "K": 0o55655, "L": 0o44447, "M": 0o57755, "N": 0o65555, "O": 0o25552, "P": 0o65644,
    "Q": 0o25573, "R": 0o65655, "S": 0o34216, "T": 0o72222, "U": 0o55557, "V": 0o55552, "W": 0o55775, "X": 0o55255,
    "Y": 0o55222, "Z": 0o71247,
}  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """Points to be joined."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    """Mark every point."""


def cdf(name: str, values: Sequence[float]) -> Curve:
    """How many of the values, in percent, are at most so large."""
    ordered = np.sort(np.asarray(values, float))
    return Curve(name, ordered.tolist(), (100 * (np.arange(len(ordered)) + 1) / max(1, len(ordered))).tolist())


class Picture:
    """Axes and curves, one panel under the other."""

    def __init__(self, width: int = 960, panel: int = 420) -> None:
        self._width, self._panel = width, panel
        self._panels: list[np.ndarray] = []

    def plot(
        self, title: str, x_name: str, y_name: str, curves: Sequence[Curve],
        *, x: tuple[float, float], y: tuple[float, float], ticks: int = 10,
    ) -> None:  # fmt: skip
        """One panel. ``x`` and ``y``: what the axes show, from and to."""
        dots = np.zeros((self._panel, self._width), np.uint8)
        left, top, right, bottom = 90, 40, self._width - 260, self._panel - 60
        _text(dots, left, 12, title)
        _text(dots, left, self._panel - 24, x_name)
        _text(dots, 8, top - 18, y_name)
        for part in range(ticks + 1):
            across, down = left + (right - left) * part // ticks, bottom - (bottom - top) * part // ticks
            dots[top:bottom, across] = dots[down, left:right] = GRID
            _text(dots, across - LETTER, bottom + 10, f"{x[0] + (x[1] - x[0]) * part / ticks:.3g}")
            _text(dots, 20, down - 5, f"{y[0] + (y[1] - y[0]) * part / ticks:.3g}")
        dots[top : bottom + 1, left] = dots[bottom, left : right + 1] = INK
        for number, curve in enumerate(curves):
            colour = FIRST + number % COLOURS
            at_x = left + (np.clip(curve.x, *x) - x[0]) / (x[1] - x[0]) * (right - left)
            at_y = bottom - (np.clip(curve.y, *y) - y[0]) / (y[1] - y[0]) * (bottom - top)
            _join(dots, at_x, at_y, colour)
            for across, down in zip(at_x.astype(int), at_y.astype(int), strict=True):
                if curve.dots:
                    dots[down - 3 : down + 4, across - 3 : across + 4] = colour
            dots[top + number * LINE + 3 : top + number * LINE + 7, right + 16 : right + 36] = colour
            _text(dots, right + 44, top + number * LINE, curve.name)
        self._panels.append(dots)

    def save(self, file: Path) -> None:
        """Write the PNG; the folder is made."""
        dots = np.concatenate(self._panels)
        rows = b"".join(b"\0" + row.tobytes() for row in dots)
        head = struct.pack(">IIBBBBB", dots.shape[1], dots.shape[0], 8, 3, 0, 0, 0)
        palette = bytes(value for colour in PALETTE for value in colour)
        parts = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        body = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _text(dots: np.ndarray, across: int, down: int, text: str) -> None:
    for number, letter in enumerate(text.upper()):
        bits = GLYPHS.get(letter, 0)
        glyph = np.array([bits >> (14 - at) & 1 for at in range(15)], bool).reshape(5, 3)
        large = glyph.repeat(SCALE, 0).repeat(SCALE, 1)
        place = dots[down : down + large.shape[0], across + number * LETTER :][:, : large.shape[1]]
        place[large[: place.shape[0], : place.shape[1]]] = INK


def _join(dots: np.ndarray, across: np.ndarray, down: np.ndarray, colour: int) -> None:
    for index in range(len(across) - 1):
        steps = int(max(abs(across[index + 1] - across[index]), abs(down[index + 1] - down[index]))) + 1
        x = np.linspace(across[index], across[index + 1], steps + 1).astype(int)
        y = np.linspace(down[index], down[index + 1], steps + 1).astype(int)
        dots[y, x] = dots[y - 1, x] = colour
