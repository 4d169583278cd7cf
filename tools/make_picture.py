"""Draws which room imports which, as an SVG: a room stands above all that it imports. ``make picture``.

``python tools/make_picture.py OUT [ROOT]``; ROOT is another tree of vcond, to compare (by default this one).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from import_graph import Graph, circles, graph, modules, reached

TOP = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 104, 30
"""Of a box, in pixels."""
ACROSS, DOWN = 124, 84
"""From one box to the next."""
MARGIN = 40
STYLE = """<style>
text { font: 13px sans-serif; text-anchor: middle; fill: #222 }
rect { fill: #eef3f8; stroke: #48607a }
rect.adapter { fill: #f6f0e4; stroke: #8a6d3b }
path { fill: none; stroke: #48607a; stroke-width: 1.4 }
path.implied { stroke: #c5ced8; stroke-width: 0.8 }
path.circle { stroke: #c0392b; stroke-width: 1.8 }
</style>"""


def room(module: str) -> str:
    """The top folder that a module is in, or its own name where it is in none; an adapter is one room."""
    parts = module.split(".")
    return parts[1] if parts[0] == "vcond" and len(parts) > 1 else parts[0]


def rooms(links: Graph) -> Graph:
    """Room to the rooms that it imports. The package itself and ``__main__`` are none."""
    found: Graph = {}
    for module, others in links.items():
        found.setdefault(room(module), set()).update(room(other) for other in others)
    for name in ("vcond", "__main__"):
        found.pop(name, None)
    return {name: (others & found.keys()) - {name} for name, others in sorted(found.items())}


def levels(links: Graph) -> dict[str, int]:
    """How far above the ground a room stands: one more than the highest that it imports. Circles stand on one level."""
    far = reached(links)
    found: dict[str, int] = {}
    for name in sorted(links, key=lambda name: (len(far[name] | {name}), name)):
        same = {other for other in far[name] if name in far[other]} | {name}
        below = {other for one in same for other in links[one]} - same
        found[name] = max((found[other] + 1 for other in below), default=0)
    return found


def draw(links: Graph, note: str) -> str:
    """The picture."""
    far, level = reached(links), levels(links)
    rows = [sorted(name for name in links if level[name] == row) for row in range(max(level.values()) + 1)]
    widest = max(map(len, rows))
    width, height = 2 * MARGIN + widest * ACROSS, 2 * MARGIN + len(rows) * DOWN
    place = {
        name: (width / 2 + (i - (len(row) - 1) / 2) * ACROSS, height - MARGIN - DOWN / 2 - level[name] * DOWN)
        for row in rows
        for i, name in enumerate(row)
    }
    lines: dict[str, list[str]] = {"implied": [], "": [], "circle": []}
    for name, others in links.items():
        for other in sorted(others):
            (x, y), (u, v) = place[name], place[other]
            back = name in far[other]
            implied = not back and any(
                other in far[between] and name not in far[between] for between in others - {other}
            )
            if back:
                y, v, bend = y - HEIGHT / 2, v - HEIGHT / 2, -30.0
            else:
                y, v, bend = y + HEIGHT / 2, v - HEIGHT / 2, (v - y) / 2
            end = v + bend if back else v - bend
            kind = "circle" if back else "implied" if implied else ""
            lines[kind].append(
                f'<path class="{kind}" d="M{x:g},{y:g} C{x:g},{y + bend:g} {u:g},{end:g} {u:g},{v:g}">'
                f"<title>{name} imports {other}</title></path>"
            )
    boxes = []
    for name, (x, y) in place.items():
        kind = "adapter" if name.startswith("vcond_") else "room"
        boxes.append(
            f'<rect class="{kind}" x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
            f'<text x="{x:g}" y="{y + 5:g}">{name.removeprefix("vcond_")}</text>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    title = f'<text x="{width / 2:g}" y="26">{note}</text>'
    paper = f'<path style="fill:#fff;stroke:none" d="M0,0H{width}V{height}H0Z"/>'
    return "\n".join([head, STYLE, paper, title, *lines["implied"], *lines[""], *lines["circle"], *boxes, "</svg>", ""])


def picture(top: Path) -> str:
    """The picture of a tree of vcond."""
    links = graph(modules(top))
    found = rooms(links)
    note = f"{len(found)} rooms; circles: {len(circles(found))} among rooms, {len(circles(links))} among modules"
    return draw(found, note)


def main(out: str, top: str = str(TOP)) -> None:
    """Write it."""
    Path(out).write_text(picture(Path(top)), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
