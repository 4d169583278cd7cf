"""Draws lines into an SVG, one panel under the other: a plot is not worth a package of 60 MB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, PANEL = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 34, 44
COLOURS = ("#1f5fa8", "#c0392b", "#2c8a4b", "#8a6d3b", "#6b4fa0")
STYLE = (
    "<style>text { font: 12px sans-serif; fill: #222 } text.m { text-anchor: middle } text.e { text-anchor: end }"
    " path { fill: none; stroke-width: 1.6 } path.grid { stroke: #d5dbe1; stroke-width: 0.8 }</style>"
)


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    name: str
    ticks: Sequence[float]
    """Where it is marked; the first and the last are its ends."""
    log: bool = False

    def part(self, value: float) -> float:
        """Where a value is between the ends, 0 to 1; what is beyond is at the end."""
        ends = (self.ticks[0], self.ticks[-1])
        value = min(max(value, ends[0]), ends[1])
        if self.log:
            return math.log(value / ends[0]) / math.log(ends[1] / ends[0])
        return (value - ends[0]) / (ends[1] - ends[0])


@dataclass(frozen=True)
class Line:
    """Points that are joined."""

    name: str
    points: Sequence[tuple[float, float]]


def panel(number: int, title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """One plot, below as many others as its number says."""
    top = number * PANEL + TOP
    wide, high = WIDTH - LEFT - RIGHT, PANEL - TOP - BOTTOM

    def place(u: float, v: float) -> str:
        return f"{LEFT + x.part(u) * wide:.1f} {top + (1 - y.part(v)) * high:.1f}"

    out = [f'<text x="{LEFT}" y="{top - 14}">{escape(title)}</text>']
    out.append(f'<text class="m" x="{LEFT + wide / 2:.0f}" y="{top + high + 36}">{escape(x.name)}</text>')
    for tick in x.ticks:
        at = LEFT + x.part(tick) * wide
        out.append(f'<path class="grid" d="M{at:.1f} {top}v{high}"/>')
        out.append(f'<text class="m" x="{at:.1f}" y="{top + high + 16}">{tick:g}</text>')
    for tick in y.ticks:
        at = top + (1 - y.part(tick)) * high
        out.append(f'<path class="grid" d="M{LEFT} {at:.1f}h{wide}"/>')
        out.append(f'<text class="e" x="{LEFT - 6}" y="{at + 4:.1f}">{tick:g}</text>')
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        at = top + 12 + 18 * index
        out.append(f'<path stroke="{colour}" d="M{"L".join(place(*point) for point in line.points)}"/>')
        out.append(f'<path stroke="{colour}" d="M{WIDTH - RIGHT + 10} {at - 4}h18"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 34}" y="{at}">{escape(line.name)}</text>')
    return "\n".join(out)


def drawn(panels: Sequence[str]) -> str:
    """The whole picture."""
    high = len(panels) * PANEL
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{high}" viewBox="0 0 {WIDTH} {high}">'
    ground = f'<rect width="{WIDTH}" height="{high}" fill="#fff"/>'
    return "\n".join([head, STYLE, ground, *panels, "</svg>"]) + "\n"
